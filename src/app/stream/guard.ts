import { fail, type NaruError } from '../../core/errors.ts'
import type { CaptureLag } from '../../services/adapter/contract-capture.ts'
import type { StreamDef } from './streams.ts'

/** Bytes that a source may keep for us before it is an alarm, unless its config says otherwise: 1 GiB. */
const alarmBytesDefault = 1024 ** 3
/** A pause ends when the source keeps less than this share of what it may, so that it does not begin again at once. */
const RESUME_SHARE = 0.8
/** Techniques of which the guard may remove at the source what keeps the changes: an outbox is the application's own. */
const droppable: readonly string[] = ['log', 'trigger']

/** What the guard does about a lag. */
export type Guarding =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'pause'; readonly problem: string }
  | { readonly kind: 'drop'; readonly problem: string }

/** Why the lag is an alarm; `null` when it is none. */
export function problemOf({ bytes, bytesLeft, trouble }: CaptureLag, alarmBytes: number): string | null {
  if (trouble !== null) return trouble
  if (bytes === null) return null
  if (bytesLeft !== null && bytes > bytesLeft) return `${bytes} bytes, and ${bytesLeft} more before it lets go of them`
  return bytes > BigInt(alarmBytes) ? `${bytes} bytes; lagAlarmBytes is ${alarmBytes}` : null
}

/** What is to be done about what a source keeps for a stream, by its config. */
export function guardingOf({ source, technique }: StreamDef, lag: CaptureLag, isPaused: boolean): Guarding {
  const { guard } = source
  const kept = keptOf(lag)
  if (guard === undefined || kept === null) return { kind: 'nothing' }
  const over = kept > BigInt(guard.bytes)
  const problem = `its disk keeps ${kept} bytes for it; guard.bytes is ${guard.bytes}`
  if (over && guard.then === 'drop' && droppable.includes(technique)) return { kind: 'drop', problem }
  const isStill = isPaused && Number(kept) > guard.bytes * RESUME_SHARE
  return over || isStill ? { kind: 'pause', problem } : { kind: 'nothing' }
}

/** The alarm of a lag, with what the guard does about it; `null` when all is well. */
export function alarmOf({ source, technique }: StreamDef, lag: CaptureLag, guarding: Guarding): NaruError | null {
  // Of what is gone nothing fills a disk, and there is nothing to guard.
  if (lag.isLost === true)
    return fail('POSITION_LOST', { source: source.name, technique, problem: lag.trouble ?? 'it keeps nothing for us' })
  const guarded = guarding.kind === 'nothing' ? null : guarding.problem
  const problem = guarded ?? problemOf(lag, source.lagAlarmBytes ?? alarmBytesDefault)
  return problem === null ? null : fail('STREAM_LAG', { source: source.name, technique, problem })
}

/** Bytes of its disk that a source keeps because of a stream. */
export function keptOf({ kept, bytes }: CaptureLag): bigint | null {
  return kept === undefined ? bytes : kept
}

/** Why a stream ends that the guard dropped. */
export function dropped({ source, technique }: StreamDef, problem: string, position: string | null): NaruError {
  const what = technique === 'log' ? 'what kept its log (the replication slot)' : 'its triggers and their tables'
  const from = position === null ? '' : `; changes behind ${position} are missed`
  return fail('POSITION_LOST', {
    source: source.name,
    technique,
    problem: `${problem}: the guard removed ${what}${from}`,
  })
}
