import type { CaptureTechnique } from '../../services/adapter/contract-capture.ts'
import type { Taken } from '../stream/tick.ts'

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

/** Transactions that the percentiles are of. */
const windowSize = 1_024

/** How far behind its source a table was, over the last transactions. */
export class LagWindow {
  readonly #seconds = new Float64Array(windowSize)
  #count = 0

  add(seconds: number): void {
    this.#seconds[this.#count % windowSize] = seconds
    this.#count += 1
  }

  read(): LiveTable['secondsBehind'] {
    if (this.#count === 0) return null
    const sorted = this.#seconds.slice(0, Math.min(this.#count, windowSize)).sort()
    const at = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] as number
    return { p50: at(0.5), p99: at(0.99), last: this.#seconds[(this.#count - 1) % windowSize] as number }
  }
}

/** What one table did in this session. */
export interface TableCounts {
  readonly lag: LagWindow
  rows: number
  rejected: number
}

/** Counts of each table of a session, by `source.table`. */
export class LiveCounts {
  readonly #tables = new Map<string, TableCounts>()

  of(name: string): TableCounts {
    const found = this.#tables.get(name) ?? { lag: new LagWindow(), rows: 0, rejected: 0 }
    this.#tables.set(name, found)
    return found
  }

  /** Called when a tick has committed. */
  note(taken: readonly Taken[], nowMicros: bigint): void {
    for (const { table, changes } of taken) {
      const counts = this.of(`${table.config.source}.${table.config.name}`)
      counts.rows += changes.rows
      counts.rejected += changes.rejected
      for (const micros of changes.committedMicros) counts.lag.add(Number(nowMicros - micros) / 1e6)
    }
  }
}
