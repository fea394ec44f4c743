import { fail, type NaruError } from '../../core/errors.ts'
import type { LiveSource, LiveStatus } from '../live/status-types.ts'

/** Where a source is, as it says itself; asked beside the loop that is watched. */
export interface SourceHead {
  readonly source: string
  readonly technique: string
  readonly head: string
  /** Below 0 when `a` lies before `b`. */
  readonly compare: (a: string, b: string) => number
}

/** A stream that stands still, as an error. */
export interface Alarm {
  readonly source: string
  readonly error: NaruError
}

/** Says when a stream stands still although the loop thinks that all is well: a stall has no error of its own. */
export interface Watchdog {
  /** What stands still at this moment. Called every few seconds. */
  look(nowMs: number, status: LiveStatus, heads: readonly SourceHead[]): readonly Alarm[]
}

/** Nothing waits: neither at the source nor, where that does not say where it is, in the durable log. */
function isLevel({ position, logged }: LiveSource, at: SourceHead | undefined): boolean {
  if (at === undefined) return logged === null || position === null || logged === position
  return position !== null && at.compare(at.head, position) <= 0
}

/**
 * A stream stands still when its source or its durable log is ahead and its place in the engine did not move for `stallMs`: a busy source is
 * always a little ahead, but then the place moves.
 */
export function makeWatchdog(stallMs: number): Watchdog {
  const seen = new Map<string, { readonly position: string | null; readonly sinceMs: number }>()
  const lookAt = (nowMs: number, stream: LiveSource, heads: readonly SourceHead[]): readonly Alarm[] => {
    const { source, technique, position } = stream
    const key = `${source} ${technique}`
    const at = heads.find(it => it.source === source && it.technique === technique)
    if (isLevel(stream, at)) {
      seen.delete(key)
      return []
    }
    const known = seen.get(key)
    if (known === undefined || known.position !== position) {
      seen.set(key, { position, sinceMs: nowMs })
      return []
    }
    const ms = nowMs - known.sinceMs
    if (ms < stallMs) return []
    const theirs = at?.head ?? `${stream.logged} of the durable log`
    const facts = { source, seconds: Math.round(ms / 1000), theirs, ours: position ?? 'the beginning' }
    return [{ source, error: fail('STREAM_STALLED', facts) }]
  }
  return { look: (nowMs, status, heads) => status.sources.flatMap(it => lookAt(nowMs, it, heads)) }
}
