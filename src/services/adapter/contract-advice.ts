import type { CaptureTechnique } from './contract-capture.ts'
import type { TableShape } from './contract.ts'

/**
 * Tells what catalogs, counters and settings of a source say about the change techniques. Used by `naru advise`, once for a
 * source. Takes seconds, reads at most a sample of each table, and changes nothing.
 */
export interface Advises {
  /** Techniques whose `install` makes nothing at the source. */
  readonly installsNothing: readonly CaptureTechnique[]
  /** Options that name what the streams of a source hold there: a trial leaves them out and goes by a name of its own. */
  readonly ownedOptions: readonly string[]
  /** What is known of these tables. A table that is not there or may not be read has no entry. Throws `SOURCE_UNREACHABLE`, `SOURCE_LOGIN`. */
  evidence(tables: readonly AskedTable[], signal: AbortSignal): Promise<SourceEvidence>
}

/** A table, and which of its columns are looked at. */
export interface AskedTable extends TableShape {
  /** Columns whose values may grow with every change: times and whole numbers. */
  readonly growing: readonly string[]
  /** Columns that may be flags: few values, each with its rows. */
  readonly flags: readonly string[]
}

/** What a source says of itself and its tables. */
export interface SourceEvidence {
  /** Settings that a technique depends on, as the source spells them. */
  readonly settings: readonly { readonly name: string; readonly value: string }[]
  /** The statement that lets the account see every open transaction. */
  readonly seeTransactions: string
  /** Since when changes are counted: microseconds since 1970-01-01 UTC; `null` when the source does not say. */
  readonly countedSinceMicros: bigint | null
  readonly tables: readonly TableEvidence[]
}

/** What a source says of a table. `null` where it cannot say. */
export interface TableEvidence {
  readonly remote: string
  readonly rows: bigint | null
  /** With its indexes. */
  readonly bytes: bigint | null
  /** Changes that the source counted. */
  readonly counters: { readonly inserts: bigint; readonly updates: bigint; readonly deletes: bigint } | null
  /** Why there are no counters, and how to have them; `null` when there are. */
  readonly uncounted: string | null
  /** Triggers of others that are there. */
  readonly triggers: readonly string[]
  /** Other things that a person should know: how old rows stand in the log, how it is stored. */
  readonly notes: readonly string[]
  readonly columns: readonly ColumnEvidence[]
  /** Statements that give the table a time that moves with every change. */
  readonly addStamp: readonly string[]
  /** The statement that gives it a key, for a person to complete. */
  readonly addKey: string
}

/** What a source says of a column that changes may be known by. */
export interface ColumnEvidence {
  readonly name: string
  /** The statement that makes an index which begins with it; `null` when there is one. */
  readonly makeIndex: string | null
  /** What sets it with every update, in the source's words; `null` when nothing there does. */
  readonly setBy: string | null
  /** Rows that were looked at: a sample of large tables. */
  readonly sampled: number
  readonly nulls: number
  readonly distinct: number
  /**
   * Sampled rows that were written after a row with a higher value (of times: a minute higher), so that whoever wrote them
   * left the column alone, or gave it an old value. `null` where the source does not tell the order of writes.
   */
  readonly behind: number | null
  /** One transaction wrote all sampled rows: how the column moves with writes cannot be known, and `behind` is `null`. */
  readonly isOneWrite?: boolean
  /** The most frequent values with their rows, eight at most: of flags only. */
  readonly values: readonly (readonly [value: string, rows: number])[]
}
