import { fail, type NaruError } from '../../core/errors.ts'
import type { LiveSource } from '../live-status.ts'

/** Where a source is, as it says itself; asked beside the loop that is watched. */
export interface SourceHead {
  readonly source: string
  readonly technique: string
  readonly head: string
  /** Below 0 when `a` lies before `b`. */
  readonly compare: (a: string, b: string) => number
}

/** Says when the loop stands still although it thinks that all is well: a stall has no error of its own. */
export interface Watchdog {
  /** What is wrong at this moment. Called every few seconds. */
  look(
    nowMs: number,
    nowMicros: bigint,
    sources: readonly LiveSource[],
    heads: readonly SourceHead[],
  ): readonly NaruError[]
}

/** A poll is late when several times its interval passed. */
const INTERVALS_MAX = 3

/** The server as a whole began to be watched at the first look; `stallMs` is how long a position may stand behind its source. */
export function makeWatchdog(stallMs: number): Watchdog {
  const behind = new Map<string, { readonly position: string | null; readonly sinceMs: number }>()
  let firstMicros: bigint | null = null
  const stalled = (nowMs: number, { source, technique, position }: LiveSource, heads: readonly SourceHead[]) => {
    const key = `${source} ${technique}`
    const at = heads.find(it => it.source === source && it.technique === technique)
    const isBehind = at !== undefined && (position === null || at.compare(at.head, position) > 0)
    if (!isBehind) {
      behind.delete(key)
      return []
    }
    const known = behind.get(key)
    if (known === undefined || known.position !== position) {
      behind.set(key, { position, sinceMs: nowMs })
      return []
    }
    const ms = nowMs - known.sinceMs
    if (ms < stallMs) return []
    const facts = { source, seconds: Math.round(ms / 1000), theirs: at.head, ours: position ?? 'the beginning' }
    return [fail('STREAM_STALLED', facts)]
  }
  const overdue = (nowMicros: bigint, { source, everyMs, readMicros, trouble }: LiveSource) => {
    if (everyMs === null || trouble !== null) return []
    const ms = Number((nowMicros - (readMicros ?? firstMicros ?? nowMicros)) / 1000n)
    if (ms < Math.max(stallMs, everyMs * INTERVALS_MAX)) return []
    return [fail('READ_OVERDUE', { source, seconds: Math.round(ms / 1000), everySeconds: everyMs / 1000 })]
  }
  return {
    look: (nowMs, nowMicros, sources, heads) => {
      firstMicros ??= nowMicros
      return sources.flatMap(it => [...stalled(nowMs, it, heads), ...overdue(nowMicros, it)])
    },
  }
}
