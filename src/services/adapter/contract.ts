import type { ColumnBatch } from '../../core/batch.ts'
import type { Env } from '../../core/env.ts'
import type { RowReject } from '../../core/reject.ts'
import type { Secret, SecretRef } from '../../core/secret.ts'
import type { Dialect } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { Advises } from './contract-advice.ts'
import type { CapturesByTechnique, Privileges } from './contract-capture.ts'
import type { ReadsFiles } from './contract-files.ts'
import type { WritesTables } from './contract-writes.ts'

export type { RowReject } from '../../core/reject.ts'

/** What every adapter is opened with. `app` makes it; nothing is connected before the first method is called. */
export interface AdapterOpening {
  /** Name of the source in the config, for messages. */
  readonly source: string
  /** Read by `readOptions` against the adapter's option table. */
  readonly options: Readonly<Record<string, unknown>>
  /** Reveals where a secret option comes from; `usedBy` names the option in `ENV_MISSING`. */
  readonly secret: (ref: SecretRef, usedBy: string) => Secret
  /** Folder of the user's config: drivers and relative paths are looked up from here. */
  readonly configDir: string
  /** Folder for what must outlive a run, such as taken files. */
  readonly stateDir: string
  readonly env: Env
}

/** `openAdapter` of every adapter's `open.ts`. */
export type OpenAdapter = (given: AdapterOpening) => Promise<Adapter>

/**
 * A system outside, by capability. What it cannot do is absent, so the types know it. Opened once per run by `app`,
 * used by one task at a time for each snapshot (which may read several chunks at once); several snapshots may be open.
 */
export interface Adapter {
  readonly kind: string
  /** How names and values are written in its SQL; absent where it has none, or none that a condition (`RowFilter.where`) could be made in. */
  readonly dialect?: Dialect
  readonly describes?: Describes
  readonly tables?: ReadsTables
  readonly writes?: WritesTables
  readonly files?: ReadsFiles
  readonly captures?: CapturesByTechnique
  readonly advises?: Advises
  /** Absent where a system has no statements that grant. */
  readonly privileges?: Privileges
  /** Ends every connection. Called once, last, also after a failure; never throws. */
  close(): Promise<void>
}

/** Reads the catalog. Called by `naru pull`, never during a load: that looks at one table. */
export interface Describes {
  /** Every table and view the account may read, by name, with exact types, keys, and enums. Throws `SOURCE_UNREACHABLE`, `SOURCE_LOGIN`. */
  describe(
    signal: AbortSignal,
    /** Takes a sentence about each thing that is there and not described, and why. */
    tell?: (text: string) => void,
  ): Promise<readonly TableDescription[]>
}

export interface DescribedColumn extends ColumnDef {
  /** The type in the source's own words. */
  readonly nativeType: string
}

/** The column without what an adapter itself knows of it. */
export function describedColumn({ name, type, nullable, personal, nativeType }: DescribedColumn): DescribedColumn {
  return { name, type, nullable, personal, nativeType }
}

/** A table or view as the catalog has it. */
export interface TableDescription {
  /** The name to read it by: `flight`, `sales.order`. */
  readonly name: string
  /** What the config may call it, where `name` is no pleasant name; two tables may have the same. */
  readonly shortName?: string | undefined
  readonly columns: readonly DescribedColumn[]
  /** Columns of the primary key, or of the first unique key without NULLs; empty when there is none. */
  readonly key: readonly string[]
  /** The source's own estimate; `null` when it has none. */
  readonly rowsEstimate: number | null
}

/** A table as the config knows it: what is asked of the source. */
export interface TableShape {
  /** Its name in the source, as `TableDescription.name`. */
  readonly remote: string
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
  /** Rows for which this condition, in the source's own SQL, does not hold are not part of the table. Only where the config of the kind allows it. */
  readonly where?: string | undefined
  /**
   * How `boundary`, `after` and `upTo` compare keys: as the source does, unless given; `common` only where `can.commonOrder`, and of
   * `commonOrderTypes`. Then text, enums and UUIDs are compared by the bytes of their text in UTF-8, everything else by its value.
   */
  readonly keyOrder?: 'common' | undefined
}

/** Types whose values every source with `can.commonOrder` and every engine can put into one order. */
export const commonOrderTypes: ReadonlySet<ColumnDef['type']['kind']> = new Set([
  'bool',
  'int',
  'decimal',
  'date',
  'time',
  'timestamp',
  'text',
  'enum',
  'uuid',
  'bytes',
])

/** Reads tables row by row, in columns. */
export interface ReadsTables {
  /** What the system can do: settled once a snapshot is open. The suite runs the matching parts; a false claim fails it. */
  readonly can: {
    /** A snapshot is one moment: what others write while it is open is not in it. */
    readonly snapshot: boolean
    /** It gives `boundary` and filters by key, so that a table is read in chunks; otherwise it is read in one piece. */
    readonly chunks: boolean
    /** It filters by `RowFilter.range`, so that a backfill reads a part of a table; otherwise a backfill is refused. */
    readonly range: boolean
    /** It computes `totals` itself; otherwise rows are counted as they come. */
    readonly totals: boolean
    /**
     * It cuts and filters by keys in the order that engines have (`TableShape.keyOrder`); not unless given. With one of the types
     * of `sorts` anywhere in a key, no index of that key has the order: each range of it looks at the whole table.
     */
    readonly commonOrder?: { readonly sorts: readonly ColumnDef['type']['kind'][] }
  }
  /** How much of it may be asked for: the adapter's options, defaults filled in. Kept by the interface stage; `retries` by `app`. */
  readonly limits: SourceLimits
  /**
   * Opens a view of the source: where `can.snapshot`, everything read through it is as of one moment. Called once per
   * source and run, once per transfer, and again after a failure that may pass. Throws `SOURCE_UNREACHABLE` (retry later), `SOURCE_LOGIN` (never).
   */
  openSnapshot(signal: AbortSignal): Promise<Snapshot>
}

/** What protects a source from its reader. */
export interface SourceLimits {
  /** Rows of a first load that are read and committed together. */
  readonly chunkRows: number
  /** Chunks that are read at the same time, each over a connection of its own. */
  readonly connections: number
  /** Rows of all its tables together; `null` is as fast as it goes. */
  readonly rowsPerSecond: number | null
  /** How often a run connects again after a failure that may pass. */
  readonly retries: number
  /** Hours of the day, in UTC, in which it may be read: minutes since midnight. `from` over `to` passes midnight. */
  readonly hours: { readonly fromMinute: number; readonly toMinute: number } | null
}

/** Text of the key columns of one row, in key order, in the source's own spelling: a bound that the source compares. */
export type KeyBound = readonly string[]

/** A physical range of a table, in the source's own spelling: `from <= place < to`; `null` is open. Means nothing in another snapshot. */
export interface PlaceRange {
  readonly from: string | null
  readonly to: string | null
}

/** A sign by which a changed row is known, as a change technique looks for it. Rows with NULL there do not show it. */
export type ChangeMark =
  /** `column >= atLeastMicros`, as `RowFilter.since`. */
  | { readonly kind: 'stamp'; readonly column: string; readonly atLeastMicros: bigint }
  /** `column >= atLeast`: a column of whole numbers. */
  | { readonly kind: 'version'; readonly column: string; readonly atLeast: bigint }
  /** `column = is`: a column of true and false (`true`, `false`), whole numbers, text, or an enum. */
  | { readonly kind: 'flag'; readonly column: string; readonly is: string }

/**
 * Which rows: `after < key <= upTo` in the source's key order, and `column >= atLeastMicros`. An absent part does not
 * filter. A row with NULL in its key lies on one side of every bound, so that chunks have it exactly once.
 */
export interface RowFilter {
  readonly after?: KeyBound | undefined
  readonly upTo?: KeyBound | undefined
  readonly place?: PlaceRange | undefined
  /** A condition in the source's own SQL, as `naru transfer --where` has it from the person who runs it. */
  readonly where?: string | undefined
  readonly since?: { readonly column: string; readonly atLeastMicros: bigint } | undefined
  /** Rows that show at least one of these marks. A source that cannot ask so refuses with `SINCE_UNSUPPORTED`. */
  readonly changed?: readonly ChangeMark[] | undefined
  /**
   * `from <= column < to`, both in the source's own spelling and compared by it as the column's type: rows of a backfill,
   * or what a transfer has not seen yet. Without `to` there is no end.
   */
  readonly range?: { readonly column: string; readonly from: string; readonly to?: string | undefined } | undefined
}

/** An open view of the source: everything of a run is read through one. */
export interface Snapshot {
  /** The source's own clock when the view was taken: microseconds since 1970-01-01 UTC. */
  readonly takenAtMicros: bigint
  /**
   * Every transaction that is not visible here began at or after this moment (source clock, microseconds), so a later
   * read from here on misses nothing that commits late. `null` when the source cannot tell: then the config states a lag. 0 is
   * any time: a transaction is open that began before the source's clock was put back.
   */
  readonly horizonMicros: bigint | null
  /**
   * True when the changes of a transaction (`SliceTransactions.ids`) are in this view: a snapshot and a stream meet by it.
   * Absent where the source has no such numbers.
   */
  includes?(transaction: bigint): boolean

  /**
   * What the source has now, looked up before a table is read; it is held as it is until the view is closed, where the
   * source can. What the config thinks of it is the interface stage's to compare. Throws `SOURCE_TABLE_GONE`, and
   * `SOURCE_DENIED` when nothing of it may be read.
   */
  look(remote: string): Promise<TableNow>

  /**
   * Called by `naru transfer --query`. Gives a SELECT of the source's own SQL a name, under which it is looked up, cut and read like a table of this
   * snapshot. Absent where the source has no queries. Throws `SOURCE_QUERY` with what the source says of it.
   */
  define?(name: string, query: string): Promise<void>

  /** The key of the `rows`th row after `after`, or `null` when fewer follow: how a table is cut into chunks of equal size, whatever its keys. */
  boundary(table: TableShape, after: KeyBound | undefined, rows: number): Promise<KeyBound | null>

  /**
   * Cuts a table into physical ranges of about `rows` rows by the source's statistics, for tables without a key. Absent
   * where the source has no such thing; empty when this table (a view) has none.
   */
  ranges?(table: TableShape, rows: number): Promise<readonly PlaceRange[]>

  /**
   * Reads the named columns of the matching rows, in any order. Batches are at most 8 MiB and may be consumed slowly:
   * memory stays bounded. Up to `limits.connections` reads are consumed at the same time. A batch may be used until the
   * next one is asked for: its buffers are filled again then. A value over the size limit, or one that its type cannot hold, makes a reject of its row.
   */
  read(
    table: TableShape,
    columns: readonly string[],
    filter: RowFilter,
    signal: AbortSignal,
  ): AsyncIterable<SourceBatch>

  /**
   * Control totals of the matching rows, computed by the source in this view, never by our decoder. `hash` asks for the
   * content hash as well (slower: it reads every value).
   */
  totals(
    table: TableShape,
    filter: RowFilter,
    options: { readonly hash: boolean },
    signal: AbortSignal,
  ): Promise<ControlTotals>

  /** Called once, last; never throws. */
  close(): Promise<void>
}

/** A table as it stands in the source at one moment. */
export interface TableNow extends TableDescription {
  /** Columns that are there and that the account may not read; they are not among `columns`. */
  readonly denied: readonly string[]
  /**
   * The stamp of the newest row, for a table whose rows come in the order of their stamps and never late: a read from here
   * on misses nothing, whatever the view's horizon. One that is lower than before means that the table was made anew.
   */
  readonly newestMicros?: bigint | undefined
  /** What a read of it may miss though nothing fails, and what to do about it: `naru check` says it. */
  readonly blindSpot?: { readonly text: string; readonly fix: string } | undefined
}

/** Rows as they arrive. */
export interface SourceBatch {
  readonly batch: ColumnBatch
  /** Line number of each row in its file, 1-based, for sources that have lines. */
  readonly lines?: Float64Array | undefined
  readonly rejects: readonly RowReject[]
  /** Columns of a file that nobody declared: with its first batch, which may have no rows. */
  readonly unknownColumns?: readonly string[] | undefined
  /** How a file is written, when that was found out and not declared: with its first batch. */
  readonly dialect?: string | undefined
}

/**
 * What both ends must agree on. All figures are exact text, so that no float rounds them:
 * - `rows`: rows that match.
 * - for each column `count` (not NULL), `sum`, `min`, `max`; `null` where the type has no such figure or there is no value:
 *   | type | sum | min and max |
 *   | int, decimal | of the values, scale kept | the values |
 *   | bool | number of true | - |
 *   | text, enum, json, uuid, bytes, interval | length in bytes of the text (bytes: of the value; interval: -) | text, enum: by bytes (C collation), cut to the first 64 characters; others: - |
 *   | date, timestamp, time | days, microseconds of the finite values | same, finite values |
 *   | float | - | shortest text that reads back equal, finite values |
 * - `hash`: when asked, the sum over rows of the first 15 hex digits of md5 of the row's canonical text, as a decimal number.
 *   Canonical text: columns in order joined by U+001F; NULL is U+001E; numbers as above, bool 0/1, dates and times as the
 *   numbers above (an infinity is `infinity` or `-infinity`), bytes hexadecimal, floats and intervals not part of it.
 *   `null` when no row matches.
 */
export interface ControlTotals {
  readonly rows: bigint
  readonly columns: readonly ColumnTotals[]
  readonly hash: string | null
}

export interface ColumnTotals {
  readonly column: string
  readonly count: bigint
  readonly sum: string | null
  readonly min: string | null
  readonly max: string | null
}
