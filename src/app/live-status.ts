import type { CaptureLag, Refused } from '../services/adapter/contract-capture.ts'

/** What the live loop tells of itself, again and again: `naru status` and the watchdog read it. */
export interface LiveStatus {
  readonly sources: readonly LiveSource[]
  readonly tables: readonly LiveTable[]
}

export interface LiveSource {
  readonly source: string
  /** How its tables are read: `poll`, or the technique of a stream. */
  readonly technique: string
  /** Up to where its changes are in the engine, in the source's own words; `null` before the first, and where it is not a stream. */
  readonly position: string | null
  /** How often it is read; `null` for a stream. */
  readonly everyMs: number | null
  /** When it was last read to its end, by our clock. */
  readonly readMicros: bigint | null
  /** Up to where its changes are in the durable log, in the source's own words; `null` where it is not a stream. */
  readonly logged: string | null
  /** What the source keeps for us, as it said last; `null` where it is not a stream, or before it said so. */
  readonly lag: CaptureLag | null
  /** Bytes that it kept for us, over its answers of the last hour; `null` before there are any. */
  readonly behindBytes: Percentiles | null
  /** The guard lets nothing else be read of it until its stream has caught up. */
  readonly isPaused: boolean
  /** Answers that senders of events got instead of being taken. */
  readonly refused: readonly LiveRefused[]
  /** What goes wrong with it, until it goes well again. */
  readonly trouble: LiveTrouble | null
}

export type LiveRefused = Refused

export interface LiveTrouble {
  readonly code: string
  readonly text: string
  readonly fix: string
  readonly sinceMicros: bigint
  /** Attempts that failed so far. */
  readonly failures: number
  /** When it is tried again; `null` when nobody does by himself, because only a person can mend it. */
  readonly againMicros: bigint | null
}

export interface LiveTable {
  /** As `source.table`. */
  readonly table: string
  /** `log, append`: it has no key, and each change is a row. */
  readonly technique: string
  readonly position: string | null
  /** How old changes were when they became visible, of the last ones; `null` before there are any. */
  readonly behindMs: Percentiles | null
  /** Bytes of its stream that the source and the durable log have and it has not, over the last looks; `null` where nobody can say. */
  readonly behindBytes: Percentiles | null
  /** `polled`: it is read from time to time. `joining` to `live`: its way into a stream. */
  readonly state: 'polled' | 'joining' | 'loading' | 'catching-up' | 'live' | 'stopped'
  /** Changes of a stream since the session began, and those of them that were rejected. */
  readonly rows: number
  readonly rejected: number
  /** Why it goes no further, and whether that is tried again by itself. */
  readonly error: {
    readonly code: string
    readonly text: string
    readonly fix: string
    readonly isRetried: boolean
  } | null
}

export interface Percentiles {
  readonly p50: number
  readonly p99: number
}

/** The middle and the end of a list of figures; `null` of none. */
export function percentilesOf(figures: readonly number[]): Percentiles | null {
  const sorted = figures.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
  return sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99) }
}
