import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import {
  describedColumn,
  type ControlTotals,
  type KeyBound,
  type PlaceRange,
  type RowFilter,
  type Snapshot,
  type SourceBatch,
  type TableNow,
  type TableShape,
} from '../contract.ts'
import { withOwnRows } from '../own-rows.ts'
import { Bounds } from './bounds.ts'
import { readCatalog, type CatalogTable } from './catalog.ts'
import { Connection, type TextRow } from './connection.ts'
import { sourceError } from './errors.ts'
import { columnOf, fromTable, keyParts, whereRows, type KeyPart } from './filter.ts'
import { clockMicros, readHorizon } from './horizon.ts'
import { hasRanges, rangesOf } from './places.ts'
import { describeQuery } from './query-table.ts'
import { Reader } from './reader.ts'
import { seenBy } from './seen.ts'
import type { Target } from './target.ts'
import { readTotals } from './totals.ts'
import { lockTable } from './lock.ts'

/** What is known of a view when it was taken. */
interface Taken {
  readonly exportName: string
  readonly takenAtMicros: bigint
  readonly horizonMicros: bigint | null
  /** The time zone that the server stamps in when a client says nothing. */
  readonly zone: string
  /** Which transactions it has seen; `null` on a standby, which does not know. */
  readonly seen: string | null
}

/**
 * One repeatable-read transaction. It stays open on a control connection, which answers questions; tables are read by
 * threads of their own that join its exported view.
 */
export class PostgresSnapshot implements Snapshot {
  readonly takenAtMicros: bigint
  readonly horizonMicros: bigint | null
  /** Absent before PostgreSQL 14, which would read the whole table for each range. */
  readonly ranges?: NonNullable<Snapshot['ranges']>
  /** Absent on a standby. */
  readonly includes?: NonNullable<Snapshot['includes']>
  readonly #env: Env
  readonly #target: Target
  readonly #control: Connection
  readonly #taken: Taken
  /** Of the run: ends whatever the control connection waits for, such as a lock on a table. */
  readonly #signal: AbortSignal
  readonly #tables = new Map<string, Promise<CatalogTable>>()
  readonly #readers = new Set<Reader>()
  readonly #idle: Reader[] = []
  readonly #bounds = new Map<string, Bounds>()

  private constructor(
    { env, target, signal }: { readonly env: Env; readonly target: Target; readonly signal: AbortSignal },
    control: Connection,
    taken: Taken,
  ) {
    this.#env = env
    this.#target = target
    this.#signal = signal
    this.#control = control
    this.#taken = taken
    this.takenAtMicros = taken.takenAtMicros
    this.horizonMicros = taken.horizonMicros
    if (taken.seen !== null) this.includes = seenBy(taken.seen)
    if (hasRanges(control)) this.ranges = (shape, rows) => this.#ranges(shape, rows)
  }

  static async open(env: Env, target: Target, signal: AbortSignal): Promise<PostgresSnapshot> {
    let control: Connection | null = null
    try {
      control = await Connection.open(env, target, 'read', signal)
      return new PostgresSnapshot({ env, target, signal }, control, await takeView(control, signal))
    } catch (error) {
      control?.destroy()
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

  async define(name: string, query: string): Promise<void> {
    await this.#control.useOwnNames(this.#signal)
    const given = { name, query, signal: this.#signal }
    this.#tables.set(name, Promise.resolve(await describeQuery(this.#control, this.#target, given)))
  }

  async boundary(shape: TableShape, after: KeyBound | undefined, rows: number): Promise<KeyBound | null> {
    const table = await this.#table(shape.remote)
    const { where } = shape
    if (where !== undefined) await this.#control.useOwnNames(this.#signal)
    const cut = JSON.stringify([shape.remote, shape.key, shape.keyOrder ?? null, rows, where ?? null])
    const ask = (statement: Sql): Promise<readonly TextRow[]> => this.#ask(statement, shape.remote)
    const bounds =
      this.#bounds.get(cut) ??
      new Bounds(table, { key: this.#key(table, shape), isCommon: shape.keyOrder === 'common', rows, where }, ask)
    this.#bounds.set(cut, bounds)
    return bounds.next(after)
  }

  async *read(
    shape: TableShape,
    columns: readonly string[],
    asked: RowFilter,
    signal: AbortSignal,
  ): AsyncGenerator<SourceBatch, void> {
    const filter = withOwnRows(shape, asked)
    const table = await this.#table(shape.remote)
    const wanted = columns.map(name => wantedColumn(shape, table, name, this.#target))
    const list = joinSql(wanted.map(it => (it.asText ? sql`${columnOf(it.name)}::text` : sql`${columnOf(it.name)}`)))
    const rows = sql`select ${list} from ${fromTable(table, filter.place)} where ${this.#where(table, shape, filter)}`
    const job = {
      copy: sql`copy (${rows}) to stdout (format binary)`,
      columns: wanted,
      key: shape.key,
      hasOwnSql: hasOwnSql(table, filter),
    }
    const reader = this.#idle.pop() ?? this.#newReader()
    let finished = false
    try {
      yield* reader.read(job, signal)
      finished = true
    } catch (error) {
      throw sourceError(error, this.#target, shape.remote)
    } finally {
      if (finished) this.#idle.push(reader)
      else await this.#drop(reader)
    }
  }

  async totals(
    shape: TableShape,
    asked: RowFilter,
    options: { readonly hash: boolean },
    signal: AbortSignal,
  ): Promise<ControlTotals> {
    const filter = withOwnRows(shape, asked)
    const table = await this.#table(shape.remote)
    if (hasOwnSql(table, filter)) await this.#control.useOwnNames(signal)
    const rows = sql`from ${fromTable(table, filter.place)} where ${this.#where(table, shape, filter)}`
    const of = { columns: shape.columns, encoding: this.#control.encoding, hash: options.hash }
    return readTotals(of, async list => {
      const [row] = await this.#ask(sql`select ${list} ${rows}`, shape.remote, signal)
      return row as TextRow
    })
  }

  async close(): Promise<void> {
    await Promise.all(
      [...this.#readers].map(reader => (this.#idle.includes(reader) ? reader.close() : reader.terminate())),
    )
    this.#readers.clear()
    await this.#control.close()
  }

  async #ranges(shape: TableShape, rows: number): Promise<readonly PlaceRange[]> {
    const table = await this.#table(shape.remote)
    if (table.query !== undefined) return []
    try {
      return await rangesOf(this.#control, table, rows, this.#signal)
    } catch (error) {
      throw sourceError(error, this.#target, shape.remote)
    }
  }

  #where(table: CatalogTable, shape: TableShape, filter: RowFilter): Sql {
    return whereRows(table, this.#key(table, shape), filter, this.#taken.zone)
  }

  #key(table: CatalogTable, shape: TableShape): readonly KeyPart[] {
    return keyParts(table, shape, this.#control.encoding)
  }

  /** The table as the catalog has it, locked against changes of its shape from the first question on. */
  #table(remote: string): Promise<CatalogTable> {
    const known = this.#tables.get(remote)
    if (known !== undefined) return known
    const found = this.#findTable(remote)
    this.#tables.set(remote, found)
    found.catch(() => this.#tables.delete(remote))
    return found
  }

  async #findTable(remote: string): Promise<CatalogTable> {
    try {
      const [table] = await readCatalog(this.#control, { name: remote }, this.#signal)
      if (table === undefined) throw fail('SOURCE_TABLE_GONE', { source: this.#target.source, table: remote })
      await lockTable(this.#control, table, this.#target.source, this.#signal)
      return table
    } catch (error) {
      throw sourceError(error, this.#target, remote)
    }
  }

  async #ask(statement: Sql, remote: string, signal = this.#signal): Promise<readonly TextRow[]> {
    try {
      return await this.#control.query(statement, signal)
    } catch (error) {
      throw sourceError(error, this.#target, remote)
    }
  }

  #newReader(): Reader {
    const reader = new Reader(this.#env, { target: this.#target, snapshot: this.#taken.exportName })
    this.#readers.add(reader)
    return reader
  }

  async #drop(reader: Reader): Promise<void> {
    this.#readers.delete(reader)
    await reader.terminate()
  }
}

function hasOwnSql({ query }: CatalogTable, { where }: RowFilter): boolean {
  return query !== undefined || where !== undefined
}

async function takeView(control: Connection, signal: AbortSignal): Promise<Taken> {
  const horizonMicros = await readHorizon(control, signal)
  await control.query(sql`begin isolation level repeatable read read only`, signal)
  const [row] = await control.query(
    sql`select pg_export_snapshot(), ${clockMicros}, (select reset_val from pg_settings where name = 'TimeZone'),
      case when not pg_is_in_recovery() then pg_current_snapshot() end`,
    signal,
  )
  const [exportName, taken, zone, seen] = row as readonly string[]
  return { exportName, takenAtMicros: BigInt(taken as string), horizonMicros, zone, seen } as Taken
}

function wantedColumn(
  shape: TableShape,
  table: CatalogTable,
  name: string,
  { source }: Target,
): ColumnDef & { readonly asText: boolean } {
  const known = shape.columns.find(column => column.name === name)
  const found = table.columns.find(column => column.name === name)
  if (known === undefined) throw fail('INTERNAL', { what: `"${name}" of "${shape.remote}" is read but not configured` })
  if (found === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: shape.remote, column: name })
  return { ...known, type: found.type, asText: found.asText }
}
