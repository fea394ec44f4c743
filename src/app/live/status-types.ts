import type { CaptureLag, Refused } from '../../services/adapter/contract-capture.ts'
import type { Percentiles } from '../percentiles.ts'
import type { LiveTrouble } from '../stream/trouble.ts'

/** What the live loop tells of itself, again and again: `naru status` and the watchdog read it. */
export interface LiveStatus {
  readonly sources: readonly LiveSource[]
  readonly tables: readonly LiveTable[]
}

/** A source of the live loop, by one of the ways in which its tables are read. */
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
  readonly refused: readonly Refused[]
  /** What goes wrong with it, until it goes well again. */
  readonly trouble: LiveTrouble | null
}

/** A table of the live loop. */
export interface LiveTable {
  /** As `source.table`. */
  readonly table: string
  readonly technique: string
  /** It has no key, and each change is a row. */
  readonly isAppend: boolean
  readonly position: string | null
  /** How old changes were when they became visible, of the last ones; `null` before there are any. */
  readonly behindMs: Percentiles | null
  /** Bytes of its stream that the source and the durable log have and it has not, over the last looks; `null` where nobody can say. */
  readonly behindBytes: Percentiles | null
  /** The same at the last look. */
  readonly waitingBytes: number | null
  /** `polled`: it is read from time to time. `joining` to `live`: its way into a stream. `waiting`: its stream fails, and is tried again. */
  readonly state: 'waiting' | 'polled' | 'joining' | 'loading' | 'catching-up' | 'live' | 'stopped'
  /** Changes of a stream since the process began, and those of them that were rejected; `null` of a table that is polled. */
  readonly rows: number | null
  readonly rejected: number | null
  /** Why it goes no further, and whether that is tried again by itself. */
  readonly error: {
    readonly code: string
    readonly text: string
    readonly fix: string
    readonly isRetried: boolean
  } | null
}
