import type { JsonList } from '../../core/json-list.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { DescribedColumn, SourceBatch } from './contract.ts'

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
   * The columns that each part of a taken file has, in the order of `read`: asked before it is read, when a contract
   * decides what becomes of a difference. Formats of text give text, and JSON a column that may be NULL as one that is
   * there, because its objects may do without. `null` when the fields of the format have no names,
   * and for a list within objects. Throws as `read` does.
   */
  look(file: TakenFile, files: FilesShape, signal: AbortSignal): Promise<readonly PartLook[] | null>

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
      /** The columns to read of a part, as `look` has them; those of the table unless given. */
      readonly columnsOf?: ((part: string) => readonly ColumnDef[]) | undefined
    },
    signal: AbortSignal,
  ): AsyncIterable<FilePart>

  /** Removes the local copy. */
  release(file: TakenFile): Promise<void>
}

/** What a file table asks of its adapter: where, and how the files are written. */
export interface FilesShape {
  /** Pattern of keys below the folder: `airports*.csv`, `orders/dt=2026-*`; `core/glob.ts` says what it means. */
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
  /** Members of JSON objects that are no columns and not told as unknown: other tables take them. */
  readonly passed?: readonly string[] | undefined
}

/** How the rows of a file are written. */
export type FileFormat =
  | {
      readonly kind: 'csv'
      /** Between two fields; found out when `null`. */
      readonly delimiter: string | null
      /** Around a field; found out when `null`, `''` when there are none. */
      readonly quote: string | null
      /** Makes the next character a part of the value; none when absent. */
      readonly escape?: string | undefined
      /** The first line names the fields; otherwise they are the declared columns in order. */
      readonly header: boolean
      /** Texts without quotes that mean NULL, beside the empty one. */
      readonly nulls: readonly string[]
    }
  /** With `list` the rows are the elements of a list within each object; see `listOf`. */
  | { readonly kind: 'ndjson'; readonly list?: JsonList | undefined }
  /** `path` leads to the array of objects: names of members, from the outside; empty when the file is the array. */
  | { readonly kind: 'json'; readonly path: readonly string[]; readonly list?: JsonList | undefined }
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

/** True for formats that give the declared types; the others give text. */
export function isTyped(format: FileFormat): boolean {
  return format.kind === 'parquet' || format.kind === 'avro' || listOf(format) !== null
}

/**
 * The list within each object whose elements are the rows; `null` when the objects themselves are. Behind the elements of
 * a list that came whole stands a row with the key of its object and nothing else: without it, a list that became shorter
 * or empty could not be told from one that was not sent, or not wholly read. It is no row of the table. All rows of a
 * list have the line of their object.
 */
export function listOf(format: FileFormat): JsonList | null {
  return format.kind === 'ndjson' || format.kind === 'json' ? (format.list ?? null) : null
}

/** The content of a file, or of one member of an archive. */
export interface FilePart {
  /** `orders.zip/monday.csv` for a member; the name of the file otherwise. */
  readonly name: string
  readonly batches: AsyncIterable<SourceBatch>
}

/** What a part of a file has. */
export interface PartLook {
  /** As `FilePart.name`. */
  readonly name: string
  readonly columns: readonly DescribedColumn[]
  /** There is a column beside them that its header does not name: it cannot be read. */
  readonly hasNameless?: boolean
}

export interface RemoteFile {
  /** Its key below the folder: `airports.csv`, `orders/dt=2026-01-01/part-0.csv`. */
  readonly name: string
  readonly bytes: number
  /** Microseconds since 1970-01-01 UTC, by the storage's clock. */
  readonly modifiedMicros: bigint
}

export interface TakenFile extends RemoteFile {
  /**
   * SHA-256 of the bytes, hexadecimal, and of the values in the path where it has some: the identity of the content. The
   * same content under two names is one file, in two partitions it is two.
   */
  readonly contentHash: string
  readonly localPath: string
}
