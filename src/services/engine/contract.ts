import type { ColumnBatch } from '../../core/batch.ts'
import type { Env } from '../../core/env.ts'
import type { Secret, SecretRef } from '../../core/secret.ts'
import type { Dialect, Ident, Sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'

/** Where an engine is, as a configuration says it. */
export interface EngineSite {
  /** Read by `readOptions` against the engine's option table. */
  readonly options: Readonly<Record<string, unknown>>
  /** Folder of the configuration: paths are relative to it, and drivers are looked up from it first. */
  readonly configDir: string
  /** Gives the value of a secret that stands in the options. `usedBy` is named when it is missing. */
  readonly secret: (ref: SecretRef, usedBy: string) => Secret
  readonly env: Env
}

/** What every engine is opened with, once per process. */
export type EngineOpening = EngineSite & EngineAccess

/** What the `open.ts` of every engine exports. */
export interface EngineModule {
  /** How the engine writes SQL: what it cannot do is known before anything is opened. */
  readonly dialect: Dialect
  readonly can: Engine['can']
  readonly openEngine: OpenEngine
  /** True when a run has made the database already: a command that only reads makes none. Changes nothing. */
  databaseExists(site: EngineSite): Promise<boolean>
}

/** Who works with it: a run that writes, a command that reads, or the queries of people. */
export type EngineAccess =
  | { readonly access: 'write' | 'read' }
  /** Nothing can be written, and names in a query mean tables in which the masked columns are `***`. */
  | ({ readonly access: 'people' } & PeopleView)

/** What people see of a database. */
export interface PeopleView {
  readonly masked: readonly MaskedTable[]
  /** Schemas of which only the tables in `masked` are shown: what left the config has nobody to say what is personal. */
  readonly closed: readonly string[]
}

/** Columns of a table that people may not see. */
export interface MaskedTable {
  readonly schema: string
  readonly table: string
  readonly columns: readonly string[]
}

/** `openEngine` of every engine's `open.ts`. */
export type OpenEngine = (given: EngineOpening) => Promise<Engine>

/**
 * Where tables rest and SQL runs near the data. Opened once per process by `app`; one transaction at a time.
 * Stages write plain SQL for the engine's dialect and never see a connection.
 */
export interface Engine {
  readonly kind: string
  readonly dialect: Dialect
  readonly can: {
    /** Look-ups row by row are fast only by an index: the control tables that are looked into get theirs. */
    readonly indexes: boolean
    /** Values of a type that the engine does not hold, for people. A row with one becomes a reject: `Transaction.unfit`. */
    readonly losses: readonly string[]
  }

  /**
   * Runs `body` in one transaction: all of it is durable when this returns, or nothing of it is there when it throws.
   * A crash between the commit and the return may leave it done: callers look up what they wrote, never repeat blindly.
   */
  transaction<T>(signal: AbortSignal, body: (tx: Transaction) => Promise<T>): Promise<T>

  /** Reads outside a transaction, on a snapshot of its own, row by row in column order. For people and reports, not for bulk. */
  query(statement: Sql, signal: AbortSignal): Promise<QueryResult>

  /**
   * Reads beside whatever else this engine does, also while a transaction is going on: `body` sees what was committed when
   * it began and changes nothing. Any number at a time. `close` cancels it.
   */
  read<T>(signal: AbortSignal, body: (tx: Transaction) => Promise<T>): Promise<T>

  /**
   * The queries of people, as an engine opened with the access `people` answers them, beside whatever else this one does.
   * `viewOf` is asked before each query, in the state that the query sees.
   */
  forPeople(viewOf: (tx: Transaction) => Promise<PeopleView>): Pick<Engine, 'query'>

  /**
   * Moves what is committed into the main file, so that a damaged log cannot take it back. `held`: readers of this process still
   * need what it would replace, so it is left to the next call, or to `close`; what somebody reads slowly is put into temporary
   * files meanwhile, and needs it no longer. Then gives space of deleted rows back, in an
   * engine that does not do so by itself, for about `withinMs` milliseconds, to the end unless given; the signal ends it
   * sooner, and is no error.
   */
  checkpoint(withinMs?: number, signal?: AbortSignal): Promise<'done' | 'held'>

  /** Called once, last. After it every other method throws `ENGINE_CLOSED`. */
  close(): Promise<void>
}

/** A value as it leaves the engine in small results. 64-bit integers are bigint; decimals, dates and times are text. */
export type Cell = string | number | bigint | boolean | null | readonly Cell[]

export type Row = Readonly<Record<string, Cell>>

export interface QueryResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  /** Rows in pages of at most 2,048. Must be read to the end or closed with `return()`; holds the engine until then. */
  readonly pages: AsyncIterable<readonly (readonly Cell[])[]>
}

/** A column of a table as the engine knows it. */
export interface TableColumnNow {
  readonly name: string
  readonly type: string
}

/** What a stage is given. It must not be kept after the stage returns. */
export interface Transaction {
  readonly dialect: Dialect

  /** Runs one statement; gives the number of rows it changed (0 for DDL). Errors are `ENGINE_SQL` with the statement's start. */
  execute(statement: Sql): Promise<number>

  /** Reads a small result as rows. Throws `ENGINE_RESULT_TOO_LARGE` over 100,000 rows: bulk stays in the engine. */
  rows(statement: Sql): Promise<readonly Row[]>

  /**
   * Appends column batches to a table whose columns are exactly `columns`, in order. The fast path for bulk:
   * values go from the batch's buffers into the engine without becoming JavaScript values. Throws `ENGINE_VALUE`, with
   * nothing of the batch taken, for a value that has no place.
   */
  append(table: Ident, columns: readonly ColumnDef[], batch: ColumnBatch): Promise<void>

  /**
   * The rows of a batch with a value that the engine has no place for, in their order: `append` refuses a batch with one.
   * Asked before every batch of a source, whose rows of this kind become rejects. Absent where every value has a place.
   */
  readonly unfit?: (columns: readonly ColumnDef[], batch: ColumnBatch) => readonly UnfitRow[]

  /** True when the table (or view) exists in this transaction. */
  exists(table: Ident): Promise<boolean>

  /** The columns of a table or view in order, with their types as the engine spells them; none when there is no such relation. */
  columns(table: Ident): Promise<readonly TableColumnNow[]>

  /**
   * Moves the rows of a table that have one of the keys into the temporary table `into`, which replaces one of that name and
   * has the columns of `table`; gives their number. What a large table holds for a few keys is read and deleted at once.
   */
  takeRows(given: RowsToTake): Promise<number>

  /**
   * Makes a temporary table `ident('temp', …)` of the rows of a query, in place of one of that name; gives its rows. It
   * lives as long as the engine is open, unless the transaction is rolled back, and is seen by no query.
   */
  replaceTemp(table: Ident, query: Sql): Promise<number>
}

/** Rows of a table, by key. */
export interface RowsToTake {
  readonly table: Ident
  /** A table with the columns `key`, each key once. A key with NULL takes nothing. */
  readonly keys: Ident
  /** How many keys there are, about: it decides how they are looked for. */
  readonly count: number
  readonly key: readonly string[]
  readonly into: Ident
}

/** A row of a batch that an engine cannot hold. */
export interface UnfitRow {
  /** Row of the batch, from 0. */
  readonly row: number
  /** Place of its first column with such a value, from 0. */
  readonly column: number
  /** Why there is no place for it, without the value. */
  readonly problem: string
}
