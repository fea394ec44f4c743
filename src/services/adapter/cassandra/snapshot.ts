import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import { CellBatches } from '../../../systems/cells/batches.ts'
import type { ControlTotals, PlaceRange, RowFilter, Snapshot, SourceBatch, TableNow, TableShape } from '../contract.ts'
import { readTable, type CatalogTable } from './catalog.ts'
import type { Connection, Target } from './connection.ts'
import { tokenRanges } from './ranges.ts'
import { selected, valueOf } from './types.ts'

/** Rows of the first page: how large rows are is not known before. */
const firstRows = 16
const pageRowsMax = 5000
/** Bytes that a page should have, by the rows of the one before. */
const pageBytes = 2 << 20

const never = new AbortController().signal

/** What the cluster has now, read page by page. Nothing of it is held while it is read. */
export class CassandraSnapshot implements Snapshot {
  readonly takenAtMicros: bigint
  /** Replicas agree later than a write is answered: a timestamp column needs a stated lag. */
  readonly horizonMicros = null
  readonly #connection: Connection
  readonly #target: Target

  private constructor(connection: Connection, target: Target, takenAtMicros: bigint) {
    this.#connection = connection
    this.#target = target
    this.takenAtMicros = takenAtMicros
  }

  static async open(connection: Connection, target: Target, signal: AbortSignal): Promise<CassandraSnapshot> {
    try {
      const statement = sql`select timestampasblob(totimestamp(now())) as at from system.local`
      const [row] = await connection.rows(statement, signal)
      const at = row?.['at']
      if (!Buffer.isBuffer(at)) throw fail('INTERNAL', { what: 'a cluster has no clock' })
      return new CassandraSnapshot(connection, target, at.readBigInt64BE(0) * 1000n)
    } catch (error) {
      throw connection.problem(error, null)
    }
  }

  async look(remote: string): Promise<TableNow> {
    return this.#about(remote, async () => {
      const table = await this.#table(remote, never)
      // The catalog is open to all: that the account may read the table is seen by reading it.
      const [column = ''] = table.partition
      await this.#connection.rows(sql`select ${ident(column)} from ${nameOf(table)} limit 1`, never)
      const { name, columns, key, rowsEstimate } = table
      return { name, columns, key, rowsEstimate, denied: [] }
    })
  }

  async boundary(): Promise<null> {
    return null
  }

  async ranges({ remote }: TableShape, rows: number): Promise<readonly PlaceRange[]> {
    return this.#about(remote, async () => tokenRanges(this.#connection, await this.#table(remote, never), rows, never))
  }

  async *read(
    shape: TableShape,
    columns: readonly string[],
    filter: RowFilter,
    signal: AbortSignal,
  ): AsyncGenerator<SourceBatch, void> {
    const { source, rowBytesMax } = this.#target
    try {
      const table = await this.#table(shape.remote, signal)
      const natives = columns.map(name => nativeOf(table, name, source))
      const wanted = columns.map(name => {
        const declared = shape.columns.find(column => column.name === name)
        return declared ?? (table.columns.find(column => column.name === name) as TableShape['columns'][number])
      })
      const batches = new CellBatches(wanted, shape.key, rowBytesMax)
      const statement = selectOf(table, columns, natives, filter, source)
      let from: string | null = null
      let size = firstRows
      do {
        const page = await this.#connection.page(statement, from, size, signal)
        let bytes = 0
        for (const row of page.rows) {
          bytes += sizeOf(row)
          batches.add(row.map((value, i) => valueOf(natives[i] as string, value)))
          if (batches.full) yield batches.take()
        }
        from = page.next
        size = nextSize(size, page.rows.length, bytes)
      } while (from !== null)
      if (!batches.empty) yield batches.take()
    } catch (error) {
      throw this.#connection.problem(error, shape.remote)
    }
  }

  totals(): Promise<ControlTotals> {
    throw fail('INTERNAL', { what: 'Cassandra was asked for totals' })
  }

  async close(): Promise<void> {
    // The session belongs to the adapter.
  }

  #table(remote: string, signal: AbortSignal): Promise<CatalogTable> {
    return readTable(this.#connection, this.#target, remote, signal)
  }

  async #about<T>(table: string, task: () => Promise<T>): Promise<T> {
    try {
      return await task()
    } catch (error) {
      throw this.#connection.problem(error, table)
    }
  }
}

function nameOf({ keyspace, table }: CatalogTable): Sql {
  return sql`${ident(keyspace, table)}`
}

function nativeOf(table: CatalogTable, name: string, source: string): string {
  const column = table.columns.find(it => it.name === name)
  if (column === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: table.name, column: name })
  return column.nativeType
}

function selectOf(
  table: CatalogTable,
  columns: readonly string[],
  natives: readonly string[],
  filter: RowFilter,
  source: string,
): Sql {
  const list = columns.map((name, i) => sql`${selected(name, natives[i] as string)} as ${ident(`c${i}`)}`)
  const conditions = [
    ...placeOf(table, filter),
    ...sinceOf(table, filter, source),
    ...changedOf(table, filter, source),
    ...rangeOf(table, filter, source),
  ]
  if (filter.where !== undefined) conditions.push(rawSql(filter.where))
  // Filtering is done by the nodes: it costs them as much as a whole read, but not the wire.
  const isFiltered =
    filter.where !== undefined ||
    filter.since !== undefined ||
    filter.changed !== undefined ||
    filter.range !== undefined
  const where = conditions.length === 0 ? sql`` : sql` where ${joinSql(conditions, ' and ')}`
  return sql`select ${joinSql(list)} from ${nameOf(table)}${where}${rawSql(isFiltered ? ' allow filtering' : '')}`
}

function placeOf({ partition }: CatalogTable, { place }: RowFilter): Sql[] {
  const token = sql`token(${joinSql(partition.map(name => ident(name)))})`
  const conditions: Sql[] = []
  if (place?.from != null) conditions.push(sql`${token} >= ${BigInt(place.from)}`)
  if (place?.to != null) conditions.push(sql`${token} < ${BigInt(place.to)}`)
  return conditions
}

function rangeOf(table: CatalogTable, { range }: RowFilter, source: string): Sql[] {
  if (range === undefined) return []
  const { column, from, to } = range
  const native = nativeOf(table, column, source)
  const literal = (text: string): Sql => {
    if (/^(text|ascii|varchar|date|time|timestamp|inet)$/.test(native)) return sql`${text}`
    if (/^-?\d+(\.\d+)?$/.test(text)) return rawSql(text)
    throw fail('RANGE_UNSUPPORTED', { source, table: table.name, column })
  }
  const begins = sql`${ident(column)} >= ${literal(from)}`
  return to === undefined ? [begins] : [begins, sql`${ident(column)} < ${literal(to)}`]
}

function sinceOf(table: CatalogTable, { since }: RowFilter, source: string): Sql[] {
  if (since === undefined) return []
  const { column, atLeastMicros } = since
  if (nativeOf(table, column, source) !== 'timestamp') {
    throw fail('SINCE_UNSUPPORTED', { source, table: table.name, column })
  }
  // The column has milliseconds: the first that is not before the moment.
  const ms = atLeastMicros / 1000n + (atLeastMicros % 1000n > 0n ? 1n : 0n)
  return [sql`${ident(column)} >= ${ms}`]
}

/** One mark by a number: there is no OR. */
function changedOf(table: CatalogTable, { changed }: RowFilter, source: string): Sql[] {
  if (changed === undefined) return []
  const [mark, more] = changed
  const native = mark === undefined ? '' : nativeOf(table, mark.column, source)
  if (mark?.kind !== 'version' || more !== undefined || !/^(tiny|small|big)?int$|^counter$/.test(native)) {
    throw fail('SINCE_UNSUPPORTED', { source, table: table.name, column: (more ?? mark)?.column ?? '' })
  }
  return [sql`${ident(mark.column)} >= ${mark.atLeast}`]
}

function sizeOf(row: readonly unknown[]): number {
  return row.reduce<number>((sum, value) => {
    return sum + (Buffer.isBuffer(value) || typeof value === 'string' ? value.length : 8)
  }, 0)
}

/** Rows of the next page: as many as fill it, at most twice as many as before. */
function nextSize(size: number, rows: number, bytes: number): number {
  const fitting = Math.floor(pageBytes / Math.max(1, bytes / Math.max(1, rows)))
  return Math.max(1, Math.min(pageRowsMax, size * 2, fitting))
}
