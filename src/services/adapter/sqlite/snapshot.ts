import type { Env } from '../../../core/env.ts'
import { fail, messageOf } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import { removeSpool } from '../../../core/spool.ts'
import type { ControlTotals, KeyBound, RowFilter, Snapshot, SourceBatch, TableNow, TableShape } from '../contract.ts'
import { withOwnRows } from '../own-rows.ts'
import { describe, readTable, type CatalogTable } from './catalog.ts'
import type { Database } from './database.ts'
import { readError } from './errors.ts'
import { keyColumns, orderedBy, wantedColumn, whereRows } from './filter.ts'
import { keyText, RowBatches, selectList } from './rows.ts'
import { totalsList, totalsOf } from './totals.ts'
import { fitted } from './types.ts'

/** An open private copy of the file, and what a snapshot needs to know of its source. */
export interface OpenCopy {
  readonly env: Env
  readonly source: string
  readonly database: Database
  /** Folder of the copy: removed with the snapshot. */
  readonly spool: string
  readonly takenAtMicros: bigint
  readonly maxValueBytes: number
}

/** A private copy of the file as of one moment. Nothing of the source is held while it is read. */
export class SqliteSnapshot implements Snapshot {
  /** SQLite has no clock: it is ours, when the copy was taken. */
  readonly takenAtMicros: bigint
  /** The file tells nothing of transactions that are open: a timestamp column needs a stated lag. */
  readonly horizonMicros = null
  readonly #copy: OpenCopy

  constructor(copy: OpenCopy) {
    this.#copy = copy
    this.takenAtMicros = copy.takenAtMicros
  }

  async look(remote: string): Promise<TableNow> {
    return this.#about(remote, () => ({ ...describe(this.#copy.database, this.#table({ remote })), denied: [] }))
  }

  async define(name: string, query: string): Promise<void> {
    const { database, source } = this.#copy
    try {
      // The copy is ours alone: a view in it is seen by nobody else, and what the query could change is thrown away.
      database.rows(sql`pragma query_only = off`)
      // The driver passes over a second statement in silence; within parentheses there is room for one only.
      database.rows(sql`select * from (${rawSql(`${query}\n`)}) limit 0`)
      database.run(sql`create view ${ident(name)} as ${rawSql(query)}`)
      database.rows(sql`select * from ${ident(name)} limit 0`)
    } catch (error) {
      throw fail('SOURCE_QUERY', { source, problem: messageOf(error) }, { cause: error })
    } finally {
      database.rows(sql`pragma query_only = on`)
    }
  }

  async boundary(shape: TableShape, after: KeyBound | undefined, rows: number): Promise<KeyBound | null> {
    return this.#about(shape.remote, () => {
      const table = this.#table(shape)
      const key = keyColumns(table, shape, this.#copy.source)
      // Only a key that its types hold can be told as a bound: the others lie in the chunk around them.
      const isTold = joinSql(
        key.map(column => sql`${fitted(column.type, ident(column.name))} is not null`),
        ' and ',
      )
      const texts = key.map((column, i) => {
        const value = fitted(column.type, ident(column.name))
        return sql`${column.type.kind === 'text' ? sql`cast(${value} as blob)` : value} as ${ident(`k${i}`)}`
      })
      const [row] = this.#copy.database.rows(sql`
        select ${joinSql(texts)} from ${ident(table.name)} where ${this.#where(table, shape, { after })} and ${isTold}
        order by ${joinSql(key.map(orderedBy))} limit 1 offset ${rows - 1}`)
      if (row === undefined) return null
      return key.map((column, i) => keyText(column.type, row[`k${i}`] as string))
    })
  }

  async *read(
    shape: TableShape,
    columns: readonly string[],
    filter: RowFilter,
    signal: AbortSignal,
  ): AsyncGenerator<SourceBatch, void> {
    const { source, maxValueBytes, database, env } = this.#copy
    this.#refuseCancelled(shape, signal)
    try {
      const table = this.#table(shape)
      const wanted = columns.map(name => wantedColumn(table, name, source))
      const batches = new RowBatches(wanted, shape.key, maxValueBytes)
      const list = selectList(wanted, maxValueBytes)
      const where = this.#where(table, shape, filter)
      for (const row of database.iterate(sql`select ${list} from ${ident(table.name)} where ${where}`)) {
        batches.add(row)
        if (!batches.full) continue
        yield batches.take()
        // SQLite runs in this thread: timers and other sources get their turn between batches.
        await env.clock.sleep(0)
        this.#refuseCancelled(shape, signal)
      }
      if (!batches.empty) yield batches.take()
    } catch (error) {
      throw readError(error, source, shape.remote)
    }
  }

  async totals(
    shape: TableShape,
    filter: RowFilter,
    options: { readonly hash: boolean },
    signal: AbortSignal,
  ): Promise<ControlTotals> {
    this.#refuseCancelled(shape, signal)
    return this.#about(shape.remote, () => {
      const table = this.#table(shape)
      const columns = shape.columns.map(column => wantedColumn(table, column.name, this.#copy.source))
      const list = totalsList(columns, options.hash)
      const [row] = this.#copy.database.rows(
        sql`select ${list} from ${ident(table.name)} where ${this.#where(table, shape, filter)}`,
      )
      return totalsOf(row ?? {}, columns)
    })
  }

  async close(): Promise<void> {
    try {
      this.#copy.database.close()
    } catch {
      // The copy is removed all the same; there is nothing in it to save.
    }
    await removeSpool(this.#copy.env, this.#copy.spool)
  }

  #where(table: CatalogTable, shape: TableShape, filter: RowFilter): Sql {
    const { source } = this.#copy
    return whereRows(table, keyColumns(table, shape, source), withOwnRows(shape, filter), source)
  }

  #table(shape: Pick<TableShape, 'remote'>): CatalogTable {
    const table = readTable(this.#copy.database, shape.remote)
    if (table === null) throw fail('SOURCE_TABLE_GONE', { source: this.#copy.source, table: shape.remote })
    return table
  }

  #about<T>(table: string, task: () => T): T {
    try {
      return task()
    } catch (error) {
      throw readError(error, this.#copy.source, table)
    }
  }

  #refuseCancelled(shape: TableShape, signal: AbortSignal): void {
    if (signal.aborted) throw fail('CANCELLED', { what: `reading "${shape.remote}"` }, { cause: signal.reason })
  }
}
