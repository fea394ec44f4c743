import { buffersOf } from '../../../../core/batch.ts'
import { bufferPool } from '../../../../core/buffer-pool.ts'
import { fail } from '../../../../core/errors.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../../../core/sql.ts'
import { bytesOf, type ClaimedRows, type ClaimSource } from '../../claim-feed.ts'
import { CLAIM_ROWS_MAX } from '../../claims.ts'
import type { SourceBatch } from '../../contract.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import { readCatalog, type CatalogColumn } from '../catalog.ts'
import { sourceIdent } from '../source-name.ts'
import { readColumn } from '../change-table/window.ts'
import type { Connection } from '../connection.ts'
import { CopyStream } from '../copy-stream.ts'
import { sourceError } from '../errors.ts'
import { clockMicros } from '../horizon.ts'
import type { Target } from '../target.ts'

interface Flagged {
  readonly table: CapturedTable
  readonly flag: NonNullable<CapturedTable['status']>
  readonly columns: readonly (CatalogColumn & { readonly personal: boolean })[]
}

/** Claims of rows of PostgreSQL: one statement locks, sets the flag and gives the rows as they are then. */
export class PostgresClaims implements ClaimSource {
  readonly #target: Target
  readonly #connection: Connection
  readonly #tables: readonly Flagged[]
  readonly #confirmed: Ident
  readonly #pool = bufferPool()
  readonly #lent: ArrayBuffer[] = []
  /** Number of the first transaction behind the last look. */
  #xmax = 0n

  private constructor(
    target: Target,
    connection: Connection,
    given: { readonly tables: readonly Flagged[]; readonly confirmed: Ident },
  ) {
    this.#target = target
    this.#connection = connection
    this.#tables = given.tables
    this.#confirmed = given.confirmed
  }

  /** `connection` becomes its own. `confirmed` is the table that keeps how far claims were confirmed. */
  static async open(
    { target, connection }: { readonly target: Target; readonly connection: Connection },
    { tables, confirmed }: { readonly tables: readonly CapturedTable[]; readonly confirmed: Ident },
    signal: AbortSignal,
  ): Promise<PostgresClaims> {
    const flagged: Flagged[] = []
    for (const table of tables) flagged.push(await flaggedTable(connection, target, table, signal))
    return new PostgresClaims(target, connection, { tables: flagged, confirmed })
  }

  async look(signal: AbortSignal): Promise<{ readonly clockMicros: bigint; readonly hasPending: boolean }> {
    this.#pool.give(this.#lent.splice(0))
    const [row] = await this.#connection.query(
      sql`select ${clockMicros}, pg_snapshot_xmax(pg_current_snapshot())::text, ${this.#hasPending(null)}`,
      signal,
    )
    const [clock, xmax, hasPending] = row as readonly [string, string, string]
    this.#xmax = BigInt(xmax)
    return { clockMicros: BigInt(clock), hasPending: hasPending === 't' }
  }

  async claim(
    bytes: number,
    signal: AbortSignal,
  ): Promise<{ readonly rows: readonly ClaimedRows[]; readonly isWhole: boolean }> {
    await this.#connection.query(sql`begin`, signal)
    const rows: ClaimedRows[] = []
    let room = bytes
    for (const it of this.#tables) {
      if (room <= 0) break
      const batches = await this.#copy(it, room)
      room -= bytesOf(batches)
      const columns = it.columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal }))
      rows.push({ table: it.table, columns, batches })
    }
    const [row] = await this.#connection.query(sql`select ${this.#hasPending(this.#xmax)}`, signal)
    return { rows, isWhole: row?.[0] === 'f' }
  }

  async commit(number: bigint): Promise<void> {
    await this.#connection.query(sql`update ${this.#confirmed} set position = ${number}`)
    await this.#connection.query(sql`commit`)
  }

  async rollback(): Promise<void> {
    await this.#connection.rollback()
  }

  async pendingBytes(signal: AbortSignal): Promise<bigint> {
    const sums = this.#tables.map(
      it =>
        sql`(select coalesce(sum(pg_column_size(t.*)), 0) from ${sourceIdent(it.table.remote)} t where ${isPending(it)})`,
    )
    const [row] = await this.#connection.query(sql`select ${joinSql(sums, ' + ')}`, signal)
    return BigInt(row?.[0] ?? '0')
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  problem(error: unknown): unknown {
    return sourceError(error, this.#target, null)
  }

  /** Locks what fits, sets its flag, and gives it. A row is known by its place while it is locked. */
  async #copy({ table, flag, columns }: Flagged, bytes: number): Promise<readonly SourceBatch[]> {
    const source = sourceIdent(table.remote)
    const copy = sql`copy (
      with found as materialized (
        select t.tableoid as part, t.ctid as place, pg_column_size(t.*) as bytes from ${source} t
        where ${ident('t', flag.column)} = ${flag.pending} limit ${CLAIM_ROWS_MAX} for update skip locked),
      taken as (
        select f.part, f.place from (
          select part, place, sum(bytes) over (order by part, place) - bytes as before from found) f where f.before < ${bytes})
      update ${source} as c set ${ident(flag.column)} = ${flag.done} from taken
      where c.tableoid = taken.part and c.ctid = taken.place
      returning ${joinSql(columns.map(column => readColumn(column.name, column.asText)))}) to stdout (format binary)`
    const batches: SourceBatch[] = []
    const give = (batch: SourceBatch): void => {
      batches.push(batch)
      this.#lent.push(...buffersOf(batch.batch))
      stream.credit() // all of them are kept: their size was bounded before
    }
    const wanted = columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal }))
    const job = { copy, columns: wanted, key: table.key, hasOwnSql: false }
    const stream: CopyStream = new CopyStream(this.#connection, this.#target, job, { give, pool: this.#pool })
    await stream.run(this.#connection)
    return batches
  }

  /** True when rows wait, of those written below transaction `xmax` unless that is `null`. */
  #hasPending(xmax: bigint | null): Sql {
    // Numbers of rows have 32 bits; ages are compared, which a turn of the numbers does not disturb.
    const isOld = xmax === null ? sql`` : sql` and age(t.xmin) > age(${String(xmax % 2n ** 32n)}::xid)`
    const waits = this.#tables.map(
      it => sql`exists (select 1 from ${sourceIdent(it.table.remote)} t where ${isPending(it)}${isOld})`,
    )
    return sql`(${joinSql(waits, ' or ')})`
  }
}

function isPending({ flag }: Flagged): Sql {
  return sql`${ident('t', flag.column)} = ${flag.pending}`
}

async function flaggedTable(
  connection: Connection,
  { source }: Target,
  table: CapturedTable,
  signal: AbortSignal,
): Promise<Flagged> {
  const { remote, status } = table
  const [now] = await readCatalog(connection, { name: remote }, signal)
  if (now === undefined) throw fail('SOURCE_TABLE_GONE', { source, table: remote })
  if (status === undefined) throw fail('INTERNAL', { what: `"${remote}" is claimed without a flag` })
  const columns = table.columns.map(wanted => {
    const found = now.columns.find(column => column.name === wanted.name)
    if (found === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: remote, column: wanted.name })
    return { ...found, nullable: wanted.nullable, personal: wanted.personal }
  })
  return { table, flag: status, columns }
}
