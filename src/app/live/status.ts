import type { CaptureTechnique } from '../../services/adapter/contract-capture.ts'

/** What `naru start` is doing, as plain data that fits into JSON. Times are microseconds since 1970-01-01 UTC as text. */
export interface LiveStatus {
  readonly run: string
  readonly state: 'loading' | 'following' | 'ending'
  readonly streams: readonly LiveStream[]
  readonly tables: readonly LiveTable[]
  /** Publishing transactions of this session, and how long the last one took. */
  readonly ticks: number
  readonly lastTickMs: number | null
  readonly rows: number
}

export interface LiveStream {
  readonly source: string
  readonly technique: CaptureTechnique
  readonly state: 'connecting' | 'reading' | 'waiting' | 'stopped'
  readonly error: { readonly code: string; readonly text: string } | null
  /** Position that is in the durable log, and the one that the source was told it may forget. */
  readonly position: string | null
  readonly confirmed: string | null
}

export interface LiveTable {
  readonly table: string
  readonly technique: string
  /** polled: it is read from time to time. */
  readonly state: 'joining' | 'loading' | 'catching-up' | 'live' | 'stopped' | 'polled'
  /** Position of the source up to which the rows are there. */
  readonly position: string | null
  /** When the newest change that is there committed, by the source's clock. */
  readonly committedMicros: string | null
  /** Seconds between a commit in the source and the one here, over the last transactions; `null` before the first. */
  readonly secondsBehind: { readonly p50: number; readonly p99: number; readonly last: number } | null
  readonly rows: number
  readonly rejected: number
  readonly error: { readonly code: string; readonly text: string } | null
}
