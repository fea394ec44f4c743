import type { ColumnBatch } from '../../core/batch.ts'
import type { Env } from '../../core/env.ts'
import type { Secret, SecretRef } from '../../core/secret.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'

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
  readonly describes?: Describes
  readonly tables?: ReadsTables
  readonly writes?: WritesTables
  readonly files?: ReadsFiles
  /** Ends every connection. Called once, last, also after a failure; never throws. */
  close(): Promise<void>
}

/** Reads the catalog. Called by `naru pull`, never during a load. */
export interface Describes {
  /** Every table and view the account may read, by name, with exact types, keys, and enums. Throws `SOURCE_UNREACHABLE`, `SOURCE_LOGIN`. */
  describe(signal: AbortSignal): Promise<readonly TableDescription[]>
}

export interface DescribedColumn extends ColumnDef {
  /** The type in the source's own words. */
  readonly nativeType: string
}

/** A table or view as the catalog has it. */
export interface TableDescription {
  /** The name to read it by: `flight`, `sales.order`. */
  readonly name: string
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
}

/** Reads tables row by row, in columns. */
export interface ReadsTables {
  /** What the system can do: settled once a snapshot is open. The suite runs the matching parts; a false claim fails it. */
  readonly can: {
    /** A snapshot is one moment: what others write while it is open is not in it. */
    readonly snapshot: boolean
    /** It gives `boundary` and filters by key, so that a table is read in chunks; otherwise it is read in one piece. */
    readonly chunks: boolean
    /** It filters by `RowFilter.range`, so that a backfill reads a part of a table; otherwise a backfill is refused. */
    readonly range?: boolean
    /** It computes `totals` itself; otherwise rows are counted as they come. */
    readonly totals: boolean
  }
  /** How much of it may be asked for: the adapter's options, defaults filled in. Kept by the interface stage. */
  readonly limits: SourceLimits
  /**
   * Opens one consistent view of the source: everything read through it is as of one moment. Called once per source
   * and run. Throws `SOURCE_UNREACHABLE` (retry later), `SOURCE_LOGIN` (never).
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
  /** How often a run connects again after a failure that may pass; 0 when absent. */
  readonly retries?: number
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
  /** `from <= column < to`, both in the source's own spelling and compared by it as the column's type: rows of a backfill. */
  readonly range?: { readonly column: string; readonly from: string; readonly to: string } | undefined
}

/** An open view of the source: everything of a run is read through one. */
export interface Snapshot {
  /** The source's own clock when the view was taken: microseconds since 1970-01-01 UTC. */
  readonly takenAtMicros: bigint
  /**
   * Every transaction that is not visible here began at or after this moment (source clock, microseconds), so a later
   * read from here on misses nothing that commits late. `null` when the source cannot tell: then the config states a lag.
   */
  readonly horizonMicros: bigint | null

  /**
   * What the source has now, looked up before a table is read; it is held as it is until the view is closed, where the
   * source can. What the config thinks of it is the interface stage's to compare. Throws `SOURCE_TABLE_GONE`, and
   * `SOURCE_DENIED` when nothing of it may be read.
   */
  look(remote: string): Promise<TableNow>

  /**
   * Gives a SELECT of the source's own SQL a name, under which it is looked up, cut and read like a table of this
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
   * memory stays bounded. Up to `limits.connections` reads are consumed at the same time. A batch may be used until the next one is asked for: its buffers are filled again then. A
   * value over the size limit, or one that its type cannot hold, makes a reject of its row.
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
}

/**
 * Writes into tables of the system. Every write is staged beside its target, unit by unit, and made visible in one
 * step, so that it is all there or not at all whatever breaks, and one that was broken off goes on behind its last unit.
 */
export interface WritesTables {
  /** What the system can do: settled once connected. */
  readonly can: {
    /** `publish` is one transaction; without it, it may be seen half done and a repeat finishes it. */
    readonly transaction: boolean
    /** Modes beside `insert` and `replace` that it has. */
    readonly modes: readonly WriteMode[]
    /** It computes `totals`. */
    readonly totals: boolean
  }
  /**
   * Settles `can` and `typeName` where only the system behind the connection tells them; whoever writes calls it before it
   * asks for them. Absent where they are fixed. Throws `SOURCE_UNREACHABLE`, `SOURCE_LOGIN`, and an error that says so for
   * a system that is not written.
   */
  connect?(signal: AbortSignal): Promise<void>
  /** The type of the system that holds every value of `type` exactly, as CREATE TABLE calls it; `null` when it has none. */
  typeName(type: ColumnType): string | null
  /**
   * Opens the stage of one write, and finds what a broken one of the same `id` left. Makes the target when it is not
   * there and `create` says so. Throws `SOURCE_UNREACHABLE`, `SOURCE_LOGIN`, `WRITE_TARGET` for a target that is not
   * there or that the columns do not fit, `SOURCE_DENIED`.
   */
  openWriter(target: WriteTarget, signal: AbortSignal): Promise<TableWriter>
}

/**
 * - insert: adds rows; a key that is there already is an error of the system's own constraint.
 * - update: changes the named columns of rows found by key; a key that finds no row, or many, is counted.
 * - upsert: changes the row of the key, or adds it.
 * - delete: removes the rows of the keys (the only columns that are written).
 * - replace: the target holds exactly these rows afterwards; nobody sees it empty or half.
 */
export type WriteMode = 'insert' | 'update' | 'upsert' | 'delete' | 'replace'

export interface WriteTarget {
  /** Names this write; the same again goes on where it broke off. At most 32 letters, digits and `_`. */
  readonly id: string
  /** The table, as `TableDescription.name`. */
  readonly remote: string
  /** The columns that are written, in the order of the batches. */
  readonly columns: readonly ColumnDef[]
  /** Columns that find a row; empty for `insert` and `replace` into a table without one. */
  readonly key: readonly string[]
  readonly mode: WriteMode
  /** Makes the table, with `key` as its primary key, when it is not there. */
  readonly create: boolean
}

export interface TableWriter {
  /** Units that an earlier writer of this `id` staged whole, in the order they were staged. */
  readonly staged: readonly StagedUnit[]

  /**
   * What an earlier writer of this `id` published already, when nobody discarded its stage since: a crash may come between
   * a publish and its answer. Then there is nothing to stage and nothing to publish.
   */
  readonly published: Written | null

  /**
   * Stages one unit: when it returns, all of its rows are durable in the stage; a crash leaves all or none. A unit that is
   * staged again replaces the first. Called one at a time. Throws `WRITE_VALUE` naming column and row for a value that the
   * target's type does not hold; nothing is rounded or cut.
   */
  stage(unit: string, batches: AsyncIterable<ColumnBatch>, signal: AbortSignal): Promise<StagedUnit>

  /** Control totals of everything staged, or of the named units, computed by the system as `Snapshot.totals`. Only where `can.totals`. */
  totals(
    options: { readonly hash: boolean; readonly units?: readonly string[] },
    signal: AbortSignal,
  ): Promise<ControlTotals>

  /**
   * Applies everything staged to the target at once, and marks the stage as published in the same transaction. A crash
   * leaves the target old or new, never half. With `missed: 'refuse'`, keys of `update` and `delete` that find no row or
   * many end with `WRITE_KEYS_MISSED` and nothing changed. Staged rows that share a key throw `WRITE_KEY_REPEATED`, in
   * every mode that has a key.
   */
  publish(options: { readonly missed: 'refuse' | 'report' }, signal: AbortSignal): Promise<Written>

  /**
   * Removes the stage and its mark. Called after `publish` when its outcome is noted, or instead of it: then nothing was
   * visible. Harmless when repeated.
   */
  discard(signal: AbortSignal): Promise<void>

  /** Ends the connection; what is staged stays for a writer of the same `id`. Called once, last; never throws. */
  close(): Promise<void>
}

export interface StagedUnit {
  readonly unit: string
  readonly rows: bigint
}

/** What a publish did. Rows that were there and are the same count as updated. */
export interface Written {
  readonly inserted: bigint
  readonly updated: bigint
  readonly deleted: bigint
  /** Keys of `update` and `delete` that found no row. */
  readonly missedNone: bigint
  /** Keys of `update` and `delete` that found more than one row. */
  readonly missedMany: bigint
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
  /** Further rows, as lines that the engine reads by itself; only where the reader was asked for them. */
  readonly plain?: PlainLines | undefined
}

/**
 * Rows in a local file of ours that need no parser worth the name: UTF-8, one LF behind each, fields with one byte
 * between them, no quotes, no NUL; an empty field is NULL. The last field is the line number in the source's file.
 */
export interface PlainLines {
  readonly localPath: string
  readonly rows: number
  readonly bytes: number
  readonly delimiter: string
}

/** A row that could not be taken: it becomes a row of `naru.reject`, with its reason. Never more than 64 kB of `content`. */
export interface RowReject {
  readonly reason:
    | 'VALUE_TOO_LARGE'
    | 'VALUE_NOT_IN_TYPE'
    | 'LINE_TOO_LONG'
    | 'LINE_RAGGED'
    | 'LINE_NOT_TEXT'
    | 'LINE_QUOTE'
    | 'LINE_JSON'
    | 'LINE_FIELD_MISSING'
    | 'LINE_SHORT'
  readonly detail: string
  /** Key of the row, when it could be read. */
  readonly key: Readonly<Record<string, string | null>> | null
  readonly line: number | null
  readonly bytes: number
  /** The start of the offending text or row. */
  readonly content: string
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

/** A folder that somebody drops files into. */
export interface ReadsFiles {
  /**
   * What lies there now. `complete` are files that may be taken, by modification time then name; `waiting` are those
   * that may still be written, or wait for their side-car, with the reason.
   */
  list(
    files: FilesShape,
    signal: AbortSignal,
  ): Promise<{
    readonly complete: readonly RemoteFile[]
    readonly waiting: readonly { readonly name: string; readonly why: string }[]
  }>

  /**
   * Brings one file here whole, and checks it against its side-car. Throws `FILE_CHECKSUM` (that file stops, the run goes
   * on), `FILE_CHANGED` when it grew or shrank while it was read.
   */
  take(file: RemoteFile, files: FilesShape, signal: AbortSignal): Promise<TakenFile>

  /**
   * Reads a taken file in file order: one part, or one for each member of an archive, each to be read to its end before
   * the next. Formats of text give text columns, formats with types the declared ones (`isTyped`). A bad line becomes a
   * reject with its number, the rest goes on. Throws `FILE_DAMAGED`, `FILE_LIMIT`, `FILE_TYPE`, `FILE_TRAILER`,
   * `FILE_MEMBER`, `FILE_COLUMN_MISSING`: that file stops, the run goes on.
   */
  read(
    file: TakenFile,
    files: FilesShape,
    options: {
      /** Plain rows may come as files for the engine to read: `SourceBatch.plain`. */
      readonly plainLines: boolean
    },
    signal: AbortSignal,
  ): AsyncIterable<FilePart>

  /** Removes the local copy. */
  release(file: TakenFile): Promise<void>
}

/** What a file table asks of its adapter: where, and how the files are written. */
export interface FilesShape {
  /** Pattern of keys below the folder: `airports*.csv`, `orders/dt=2026-*`; `files/glob.ts` says what it means. */
  readonly glob: string
  readonly columns: readonly ColumnDef[]
  readonly format: FileFormat
  readonly encoding: string
  readonly checksum: 'md5-sidecar' | 'sha256-sidecar' | 'none'
  /** Marker without which a file is not taken: `*.done` for one beside each file, `_SUCCESS` for one in each folder. */
  readonly done?: string | undefined
  /** Pattern of the names inside an archive that are read; all unless given. */
  readonly members?: string | undefined
  /**
   * Regular expression of the last line, which is no row: its group `count` is the number of rows, a group named as a
   * column is the sum of that column. Absent when there is no such line.
   */
  readonly trailer?: string | undefined
}

/** How the rows of a file are written. */
export type FileFormat =
  | {
      readonly kind: 'csv'
      /** Between two fields; found out when `null`. */
      readonly delimiter: string | null
      /** Around a field; found out when `null`, `''` when there are none. */
      readonly quote: string | null
      /** The first line names the fields; otherwise they are the declared columns in order. */
      readonly header: boolean
      /** Texts without quotes that mean NULL, beside the empty one. */
      readonly nulls: readonly string[]
    }
  | { readonly kind: 'ndjson' }
  /** `path` leads to the array of objects: names of members, from the outside; empty when the file is the array. */
  | { readonly kind: 'json'; readonly path: readonly string[] }
  | {
      readonly kind: 'fixed'
      /** The fields of a line in order; a name that is no column is passed over. */
      readonly fields: readonly { readonly name: string; readonly width: number }[]
      /** What a width counts: characters, or bytes of the file's own encoding. */
      readonly unit: 'characters' | 'bytes'
      /** The first line holds no row. */
      readonly header: boolean
    }
  | { readonly kind: 'parquet' }
  | { readonly kind: 'avro' }

/** True for formats that know the types of their columns; the others hold text. */
export function isTyped(format: FileFormat): boolean {
  return format.kind === 'parquet' || format.kind === 'avro'
}

/** The content of a file, or of one member of an archive. */
export interface FilePart {
  /** `orders.zip/monday.csv` for a member; the name of the file otherwise. */
  readonly name: string
  readonly batches: AsyncIterable<SourceBatch>
}

export interface RemoteFile {
  /** Its key below the folder: `airports.csv`, `orders/dt=2026-01-01/part-0.csv`. */
  readonly name: string
  readonly bytes: number
  /** Microseconds since 1970-01-01 UTC, by the storage's clock. */
  readonly modifiedMicros: bigint
}

export interface TakenFile extends RemoteFile {
  /** SHA-256 of the bytes, hexadecimal: the identity of the content. The same content under two names is one file. */
  readonly contentHash: string
  readonly localPath: string
}
