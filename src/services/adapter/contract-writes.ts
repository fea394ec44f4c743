import type { ColumnBatch } from '../../core/batch.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import type { ControlTotals } from './contract.ts'

/**
 * Writes into tables of the system. Every write is staged beside its target, unit by unit, and made visible in one
 * step, so that it is all there or not at all whatever breaks, and one that was broken off goes on behind its last unit.
 * Called by `naru transfer`, one writer at a time; a lease keeps a second one with the same `id` away.
 */
export interface WritesTables {
  /** What the system can do: settled once connected. */
  readonly can: {
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
   * Opens the stage of one write, and finds what a broken one of the same `id` left. What was staged for other columns,
   * another key or mode, or a target whose columns have changed since could go nowhere: it is removed, and the stage
   * begins empty. Makes the target when it is not there and `create` says so. Throws `SOURCE_UNREACHABLE`,
   * `SOURCE_LOGIN`, `WRITE_TARGET` for a target that is not there or that the columns do not fit, `SOURCE_DENIED`.
   */
  openWriter(target: WriteTarget, signal: AbortSignal): Promise<TableWriter>
}

/**
 * - insert: adds rows; a key that a constraint of the target keeps out, because it is there, is `WRITE_KEYS_TAKEN`.
 * - update: changes the named columns of rows found by key; a key that finds no row, or many, is counted.
 * - upsert: changes the row of the key, or adds it; a key that finds many is counted.
 * - delete: removes the rows of the keys (the only columns that are written); counts as update.
 * - replace: the target holds exactly these rows afterwards; nobody sees it empty or half.
 * - call: the target is a procedure, which is called once for each row in the order they were staged, with the columns as
 *   arguments in theirs; it has no key and is never made. One that ends the transaction itself is refused. What it does
 *   outside of the transaction is not taken back.
 *
 * Keys are equal as the target compares them. NULL is no key: `update`, `upsert` and `delete` refuse a row that has it in
 * its key, as `WRITE_VALUE` when it is staged, and so does a table that is made; elsewhere such rows share no key.
 */
export type WriteMode = 'insert' | 'update' | 'upsert' | 'delete' | 'replace' | 'call'

export interface WriteTarget {
  /** Names this write; the same again goes on where it broke off. At most 32 letters, digits and `_`. */
  readonly id: string
  /** The table, as `TableDescription.name`; a procedure is named likewise. */
  readonly remote: string
  /** The columns that are written, in the order of the batches. */
  readonly columns: readonly ColumnDef[]
  /** Columns that find a row; empty for `call`, and for `insert` and `replace` into a table without one. */
  readonly key: readonly string[]
  readonly mode: WriteMode
  /** Makes the table, with `key` as its primary key, when it is not there. */
  readonly create: boolean
  /** How a file is written; only where the target is one. */
  readonly file?: WrittenFile
}

/** How a file is written, beside what its name says. What a format has no place for is refused when its writer is opened. */
export interface WrittenFile {
  /** CSV: one ASCII character between fields; a comma, or a tab for `.tsv`, unless given. */
  readonly delimiter?: string
  /** CSV: one ASCII character around fields that need it, `"` unless given; `'none'` refuses values that need it. */
  readonly quote?: string
  /** CSV: one ASCII character before a quote within a value, and before itself; the quote, which stands twice, unless given. */
  readonly escape?: string
  /** CSV: what stands for NULL, such as `\N`; nothing unless given. A value that equals it is put in quotes. */
  readonly nullText?: string
  /** CSV: the names of the columns in the first line; there unless `false`. */
  readonly header?: boolean
  /** Parquet: `snappy` unless given, `zstd`, `gzip` or `none`. Avro: `deflate` unless given, or `none`. */
  readonly compression?: string
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
   * many, and keys of `upsert` that find many, end with `WRITE_KEYS_MISSED` and nothing changed. Staged rows that share a
   * key throw `WRITE_KEY_REPEATED`, in every mode that has a key. Throws `WRITE_KEYS_TAKEN` for keys of `insert` that are
   * there, `WRITE_NOT_UNIQUE` for other values that the target keeps unique, `WRITE_CALL` for a row that a procedure
   * refuses; nothing is changed then.
   */
  publish(options: { readonly missed: 'refuse' | 'report' }, signal: AbortSignal): Promise<Written>

  /**
   * Removes the stage and its mark. Called after `publish` when its outcome is noted, or instead of it: then nothing was
   * visible. Harmless when repeated.
   */
  discard(signal: AbortSignal): Promise<void>

  /**
   * Removes what other writes left where this one stages, when nobody touched it for `untouchedMs`: they were given up.
   * Gives how many stages there were. What another program works on, or another account owns, stays. Repeating it is
   * harmless.
   */
  removeAbandoned(untouchedMs: number, signal: AbortSignal): Promise<number>

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
  /** Keys of `update`, `upsert` and `delete` that found more than one row. */
  readonly missedMany: bigint
  /** Calls that were made; only of `call`. */
  readonly called?: bigint
}
