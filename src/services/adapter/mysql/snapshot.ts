import type { Env } from '../../../core/env.ts'
import { fail, messageOf } from '../../../core/errors.ts'
import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import {
  describedColumn,
  type ControlTotals,
  type KeyBound,
  type RowFilter,
  type Snapshot,
  type SourceBatch,
  type TableNow,
  type TableShape,
} from '../contract.ts'
import { withOwnRows } from '../own-rows.ts'
import { transactionId } from './capture/position.ts'
import { findTable, type CatalogColumn, type CatalogTable } from './catalog.ts'
import { columnOf, columnsOf, fromTable, listOf, readValue } from './columns.ts'
import { Connection, type TextRow } from './connection.ts'
import { sourceError } from './errors.ts'
import { keyPart, whereRows, type KeyPart } from './filter.ts'
import { readHorizon } from './horizon.ts'
import { describeQuery } from './query.ts'
import { Reader } from './reader.ts'
import type { Target } from './target.ts'
import { totalsList, totalsOf } from './totals.ts'

interface Parts {
  readonly env: Env
  readonly target: Target
  readonly signal: AbortSignal
  readonly control: Connection
  readonly readers: readonly Reader[]
}

/**
 * One view for each reading session: `START TRANSACTION WITH CONSISTENT SNAPSHOT`. A session of MySQL cannot join the
 * view of another, so there is one, and several only when a lock may stop all writers while they are opened. A control
 * session outside the view reads the catalog, which is in no view, and kills statements that nobody waits for.
 */
export class MysqlSnapshot implements Snapshot {
  readonly takenAtMicros: bigint
  readonly horizonMicros: bigint | null
  /** By where the log ended for the view; absent where the server keeps no log or does not tell. */
  readonly includes?: (transaction: bigint) => boolean
  readonly #target: Target
  readonly #control: Connection
  /** Of the run: ends whatever is waited for, such as a lock on a table. */
  readonly #signal: AbortSignal
  readonly #readers: readonly Reader[]
  readonly #free: Reader[]
  readonly #waiting: ((reader: Reader) => void)[] = []
  readonly #tables = new Map<string, Promise<CatalogTable>>()

  private constructor(
    { target, signal, control, readers }: Parts,
    takenAtMicros: bigint,
    horizonMicros: bigint | null,
    logged: bigint | null,
  ) {
    this.#target = target
    this.#control = control
    this.#signal = signal
    this.#readers = readers
    this.#free = [...readers]
    this.takenAtMicros = takenAtMicros
    this.horizonMicros = horizonMicros
    if (logged !== null) this.includes = transaction => transaction <= logged
  }

  static async open(env: Env, target: Target, signal: AbortSignal): Promise<MysqlSnapshot> {
    let control: Connection | null = null
    const readers: Reader[] = []
    try {
      const open = (control = await Connection.open(env, target, 'read', signal))
      const horizon = await readHorizon(open, signal)
      const kill = async (thread: number): Promise<void> => {
        await open.run(sql`kill query ${rawSql(String(thread))}`)
      }
      for (let i = 0; i < target.connections; i++) readers.push(new Reader({ env, start: { target }, kill }))
      const taken = await beginAll(open, readers, signal)
      const logged = await lastLogged(readers[0] as Reader, signal)
      return new MysqlSnapshot({ env, target, signal, control, readers }, taken, horizon, logged)
    } catch (error) {
      control?.destroy()
      await Promise.all(readers.map(reader => reader.terminate()))
      throw sourceError(error, target, null)
    }
  }

  async look(remote: string): Promise<TableNow> {
    const { name, key, rowsEstimate, columns } = await this.#table(remote)
    return {
      name,
      key,
      rowsEstimate,
      columns: columns.filter(column => column.readable).map(describedColumn),
      denied: columns.filter(column => !column.readable).map(column => column.name),
    }
  }

  /** The query is described outside the view, because what columns there are is in no view. */
  async define(name: string, query: string): Promise<void> {
    try {
      this.#tables.set(name, Promise.resolve(await describeQuery(this.#control, name, query, this.#signal)))
    } catch (error) {
      const known = sourceError(error, this.#target, name)
      if (known.code !== 'SOURCE_READ' && known.code !== 'SOURCE_TABLE_GONE') throw known
      throw fail('SOURCE_QUERY', { source: this.#target.source, problem: messageOf(error) }, { cause: error })
    }
  }

  async boundary(shape: TableShape, after: KeyBound | undefined, rows: number): Promise<KeyBound | null> {
    const { table, where, key } = await this.#asked(shape, { after })
    const isTold = key
      .filter(column => column.nullable)
      .reduce((all, column) => sql`${all} and ${column.value} is not null`, sql`true`)
    const [row] = await this.#ask(
      sql`select ${joinSql(key.map(it => it.text))} from ${fromTable(table)} where ${where} and ${isTold}
          order by ${joinSql(key.map(it => it.value))} limit 1 offset ${rows - 1}`,
      shape.remote,
    )
    return row === undefined ? null : row.map(text => text as string)
  }

  async *read(
    shape: TableShape,
    columns: readonly string[],
    filter: RowFilter,
    signal: AbortSignal,
  ): AsyncGenerator<SourceBatch, void> {
    const { table, where } = await this.#asked(shape, filter)
    const wanted = columnsOf(table, columns, this.#target.source)
    const query = sql`select ${listOf(wanted, readValue)} from ${fromTable(table)} where ${where}`
    const job = { query, columns: wanted.map(column => knownAs(shape, column)), key: shape.key }
    const reader = await this.#take()
    try {
      yield* reader.read(job, signal)
    } catch (error) {
      throw sourceError(error, this.#target, shape.remote)
    } finally {
      this.#give(reader)
    }
  }

  async totals(
    shape: TableShape,
    filter: RowFilter,
    options: { readonly hash: boolean },
    signal: AbortSignal,
  ): Promise<ControlTotals> {
    const { table, where } = await this.#asked(shape, filter)
    const names = shape.columns.map(column => column.name)
    const columns = columnsOf(table, names, this.#target.source)
    const list = totalsList(columns, this.#target.zeroDates, options.hash)
    const [row] = await this.#ask(sql`select ${list} from ${fromTable(table)} where ${where}`, shape.remote, signal)
    return totalsOf(row as TextRow, columns)
  }

  async close(): Promise<void> {
    await Promise.all(this.#readers.map(reader => (this.#free.includes(reader) ? reader.close() : reader.terminate())))
    await this.#control.close()
  }

  async #asked(
    shape: TableShape,
    filter: RowFilter,
  ): Promise<{ readonly table: CatalogTable; readonly where: Sql; readonly key: readonly KeyPart[] }> {
    const table = await this.#table(shape.remote)
    const key = columnsOf(table, shape.key, this.#target.source).map(column => keyPart(column, shape.keyOrder))
    return { table, key, where: whereRows(table, key, withOwnRows(shape, filter)) }
  }

  /** The table as the catalog has it, held against changes of its shape from the first question on. */
  #table(remote: string): Promise<CatalogTable> {
    const known = this.#tables.get(remote)
    if (known !== undefined) return known
    const found = this.#findTable(remote)
    this.#tables.set(remote, found)
    found.catch(() => this.#tables.delete(remote))
    return found
  }

  async #findTable(remote: string): Promise<CatalogTable> {
    const { source, database, otherEngines } = this.#target
    try {
      const table = await findTable(this.#control, remote, database, this.#signal)
      if (table === null) throw fail('SOURCE_TABLE_GONE', { source, table: remote })
      const readable = table.columns.filter(column => column.readable)
      if (readable.length === 0) {
        const problem = 'the account has no SELECT privilege'
        throw fail('SOURCE_DENIED', { source, object: `table "${remote}"`, problem })
      }
      if (table.engine !== null && table.engine !== 'InnoDB' && otherEngines === 'refuse') {
        throw fail('SOURCE_NO_SNAPSHOT', { source, table: remote, engine: table.engine })
      }
      // A table that is named in a transaction keeps its shape until its end; one that changed since the view is an error.
      // Only a row that is looked for shows the change; a view might compute all of its rows for one. Every column is named,
      // so that its privilege is asked for, and no value is fetched: it may be larger than any answer.
      const rows = sql`${table.engine === null ? 0 : 1}`
      const named = listOf(readable, column => sql`${columnOf(column)} is null`)
      await this.#ask(sql`select ${named} from ${fromTable(table)} limit ${rows}`, remote)
      return table
    } catch (error) {
      throw sourceError(error, this.#target, remote)
    }
  }

  async #ask(query: Sql, remote: string, signal = this.#signal): Promise<readonly TextRow[]> {
    const reader = await this.#take()
    try {
      return await reader.ask(query, signal)
    } catch (error) {
      throw sourceError(error, this.#target, remote)
    } finally {
      this.#give(reader)
    }
  }

  async #take(): Promise<Reader> {
    const free = this.#free.pop()
    return free ?? new Promise(resolve => this.#waiting.push(resolve))
  }

  #give(reader: Reader): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(reader)
    else next(reader)
  }
}

/** The last transaction of the binary log that a view has seen, as MariaDB tells it; `null` when there is no log. */
async function lastLogged(reader: Reader, signal: AbortSignal): Promise<bigint | null> {
  const rows = await reader.ask(sql`show session status like 'binlog\\_snapshot\\_%'`, signal)
  const told = new Map(rows.map(([name, value]) => [(name ?? '').toLowerCase(), value ?? '']))
  const file = told.get('binlog_snapshot_file') ?? ''
  return file === '' ? null : transactionId(file, Number(told.get('binlog_snapshot_position')))
}

/** Opens the views. Several are one moment because no writer may commit in between. */
async function beginAll(control: Connection, readers: readonly Reader[], signal: AbortSignal): Promise<bigint> {
  const [first] = readers as readonly [Reader]
  if (readers.length === 1) return first.begin(signal)
  await control.query(sql`flush tables with read lock`, signal)
  try {
    const taken = await Promise.all(readers.map(reader => reader.begin(signal)))
    return taken.reduce((a, b) => (a < b ? a : b))
  } finally {
    await control.query(sql`unlock tables`, signal)
  }
}

/** The column with the type that the source has now. */
function knownAs(shape: TableShape, column: CatalogColumn): ColumnDef {
  const known = shape.columns.find(it => it.name === column.name)
  if (known === undefined)
    throw fail('INTERNAL', { what: `"${column.name}" of "${shape.remote}" is read but not configured` })
  return { name: known.name, type: column.type, nullable: known.nullable, personal: known.personal }
}
