import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { joinSql, rawSql, sql } from '../../../core/sql.ts'
import type { ControlTotals, KeyBound, RowFilter, Snapshot, SourceBatch, TableNow, TableShape } from '../contract.ts'
import { columnOf, describe, describeQuery, findTable, fromTable, wantedColumn, type CatalogTable } from './catalog.ts'
import { TXN } from './constants.ts'
import { sourceError } from './errors.ts'
import type { FactColumn } from './facts.ts'
import { whereRows } from './filter.ts'
import type { ReadColumn } from './messages.ts'
import { openSession, type Session } from './session.ts'
import type { Target } from './target.ts'
import { totalsList, totalsOf, type NamedColumn } from './totals.ts'

/** One transaction of one connection. Reads of one snapshot follow each other: a connection runs one statement at a time. */
export class OdbcSnapshot implements Snapshot {
  readonly takenAtMicros: bigint
  /** No driver tells which transactions are open: the config states a lag. */
  readonly horizonMicros = null
  readonly #session: Session
  readonly #signal: AbortSignal
  readonly #tables = new Map<string, Promise<CatalogTable>>()
  readonly define?: NonNullable<Snapshot['define']>

  private constructor(session: Session, takenAtMicros: bigint, signal: AbortSignal) {
    this.#session = session
    this.takenAtMicros = takenAtMicros
    this.#signal = signal
    const { queries } = session.facts
    if (queries === null) return
    this.define = async (name, query) => {
      const table = await describeQuery(session, queries, { name, query, signal })
      this.#tables.set(name, Promise.resolve(table))
    }
  }

  static async open(
    env: Env,
    target: Target,
    remembered: { driver: string | null },
    signal: AbortSignal,
  ): Promise<OdbcSnapshot> {
    const session = await openSession(env, target, remembered, signal)
    try {
      const taken = await beginView(env, session, signal)
      return new OdbcSnapshot(session, taken, signal)
    } catch (error) {
      session.connection.destroy()
      throw sourceError(error, target, null)
    }
  }

  get session(): Session {
    return this.#session
  }

  async look(remote: string): Promise<TableNow> {
    return { ...describe(await this.#table(remote)), denied: [] }
  }

  async boundary(shape: TableShape, after: KeyBound | undefined, rows: number): Promise<KeyBound | null> {
    const { facts, query, target } = this.#session
    const table = await this.#table(shape.remote)
    const key = this.#key(table, shape)
    const named = key.map(column => ({ column, value: columnOf(column.name) }))
    const texts = named.map(({ column, value }) => facts.keyText(column, value))
    const order = named.map(({ column, value }) => facts.ordered(column, value))
    const told = named.filter(({ column }) => column.nullable).map(({ value }) => sql`${value} is not null`)
    const where = whereRows(facts, table, key, { after }, target.source)
    const only =
      told.length === 0
        ? where
        : sql`${after === undefined ? sql` where ` : sql`${where} and `}${joinSql(told, ' and ')}`
    const nth = facts.nth?.(rows - 1) ?? sql``
    const statement = sql`select ${joinSql(texts)} from ${fromTable(table)}${only} order by ${joinSql(order)}${nth}`
    const [row] = await query(statement, shape.remote, this.#signal, facts.nth === null ? rows - 1 : 0)
    return row === undefined ? null : row.map(text => text as string)
  }

  async *read(
    shape: TableShape,
    columns: readonly string[],
    filter: RowFilter,
    signal: AbortSignal,
  ): AsyncGenerator<SourceBatch, void> {
    const { facts, connection, render, target, driver } = this.#session
    if (signal.aborted) throw fail('CANCELLED', { what: `reading "${shape.remote}"` }, { cause: signal.reason })
    const table = await this.#table(shape.remote, signal)
    const selected = columns.map(name => {
      const column = wantedColumn(table, name, target.source)
      return { column, ...facts.select(column, columnOf(name)) }
    })
    const where = whereRows(facts, table, this.#key(table, shape), filter, target.source)
    const statement = sql`select ${joinSql(selected.map(it => it.sql))} from ${fromTable(table)}${where}`
    const job = {
      statement: render(statement),
      columns: selected.map(({ column: { name, type }, via }): ReadColumn => ({
        name,
        type,
        via: driver.textIsUtf8 && via === 'native' && type.kind === 'text' ? 'utf8' : via,
      })),
      key: shape.key,
      rowBytesMax: target.rowBytesMax,
      oneByOne: !connection.info.longInBlocks || driver.longInBlocksFails,
    }
    try {
      yield* connection.read(job, signal)
    } catch (error) {
      throw sourceError(error, target, shape.remote)
    }
  }

  async totals(
    shape: TableShape,
    filter: RowFilter,
    { hash }: { readonly hash: boolean },
    signal: AbortSignal,
  ): Promise<ControlTotals> {
    const { facts, query, target } = this.#session
    const table = await this.#table(shape.remote, signal)
    const columns = shape.columns.map(({ name }): NamedColumn => ({
      column: wantedColumn(table, name, target.source),
      value: columnOf(name),
    }))
    const where = whereRows(facts, table, this.#key(table, shape), filter, target.source)
    const list = totalsList(columns, facts.totals, hash)
    const [row] = await query(sql`select ${list} from ${fromTable(table)}${where}`, shape.remote, signal)
    return totalsOf(row ?? [], columns, facts.totals)
  }

  async close(): Promise<void> {
    await this.#session.connection.close()
  }

  #key(table: CatalogTable, shape: TableShape): readonly FactColumn[] {
    return shape.key.map(name => wantedColumn(table, name, this.#session.target.source))
  }

  #table(remote: string, signal = this.#signal): Promise<CatalogTable> {
    const known = this.#tables.get(remote)
    if (known !== undefined) return known
    const { source } = this.#session.target
    const found = findTable(this.#session, remote, signal).then(table => {
      if (table === null) throw fail('SOURCE_TABLE_GONE', { source, table: remote })
      return table
    })
    this.#tables.set(remote, found)
    found.catch(() => this.#tables.delete(remote))
    return found
  }
}

/** Begins the transaction and takes its view; gives the moment. */
async function beginView(env: Env, { connection, facts, query }: Session, signal: AbortSignal): Promise<bigint> {
  const { info } = connection
  const ours = env.clock.nowMicros()
  if (info.hasTransactions) {
    const wanted = facts.isolations ?? TXN.SERIALIZABLE | TXN.REPEATABLE_READ | TXN.READ_COMMITTED
    await connection.beginTransactions(info.isolations & wanted, signal)
    for (const text of facts.begin) await connection.execute(text, signal)
  }
  if (facts.clockMicros === null) return ours
  const [row] = await query(rawSql(facts.clockMicros), null, signal)
  return row?.[0] == null ? ours : BigInt(row[0])
}
