import { buffersOf } from '../../../../core/batch.ts'
import { joinBatches } from '../../../../core/batch-join.ts'
import { bufferPool } from '../../../../core/buffer-pool.ts'
import { changeOp, type ChangeMessage, type ChangeSlice, type TableChanges } from '../../../../core/change-slice.ts'
import type { Clock, Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { ident, joinSql, sql, type Sql } from '../../../../core/sql.ts'
import { messagesOf, noTransactions } from '../../change-order.ts'
import {
  CLAIM_BYTES,
  CLAIM_MS_MAX,
  CLAIM_ROWS_MAX,
  claimPosition,
  claimText,
  nextNumber,
  type ClaimPosition,
} from '../../claims.ts'
import type { SourceBatch } from '../../contract.ts'
import type { CapturedTable, CaptureLag, CaptureRequest } from '../../contract-capture.ts'
import type { ChangeFeed } from '../../polled-stream.ts'
import { readCatalog, type CatalogColumn } from '../catalog.ts'
import { sourceIdent } from '../change-table/names.ts'
import { takeLock } from '../change-table/feed.ts'
import { readColumn } from '../change-table/window.ts'
import type { Connection } from '../connection.ts'
import { CopyStream } from '../copy-stream.ts'
import { sourceError } from '../errors.ts'
import { clockMicros } from '../horizon.ts'
import type { Target } from '../target.ts'
import { claimStart, claimTable } from './captures.ts'

interface Claimed {
  readonly table: CapturedTable
  readonly flag: NonNullable<CapturedTable['status']>
  readonly columns: readonly CatalogColumn[]
}

/**
 * Claims rows and gives them, one claim at a time. The transaction of a claim holds its rows until they are confirmed: a
 * writer of such a row waits, and then sets the flag anew, so that the row is claimed again. Rows that others hold are left
 * for later, so that nobody waits for a reader who waits for them.
 */
export class ClaimFeed implements ChangeFeed {
  readonly #target: Target
  readonly #connection: Connection
  readonly #clock: Clock
  readonly #tables: readonly Claimed[]
  readonly #bytes: number
  readonly #pool = bufferPool()
  readonly #lent: ArrayBuffer[] = []
  #last: ClaimPosition
  /** The claim that waits for its confirmation. */
  #open: { readonly number: bigint; readonly sinceMs: number } | null = null
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(
    { env, target, connection }: { readonly env: Env; readonly target: Target; readonly connection: Connection },
    given: { readonly tables: readonly Claimed[]; readonly last: ClaimPosition; readonly bytes: number },
  ) {
    this.#clock = env.clock
    this.#target = target
    this.#connection = connection
    this.#tables = given.tables
    this.#last = given.last
    this.#bytes = given.bytes
  }

  /** `connection` becomes the feed's own. */
  static async open(
    given: { readonly env: Env; readonly target: Target; readonly connection: Connection },
    { tables, from, sliceBytes }: CaptureRequest,
    signal: AbortSignal,
  ): Promise<ClaimFeed> {
    const { connection, target } = given
    await takeLock(connection, 'status', target, signal)
    const last = await claimStart(connection, { target, from }, signal)
    const claimed: Claimed[] = []
    for (const table of tables) claimed.push(await claimedTable(connection, target, table, signal))
    return new ClaimFeed(given, { tables: claimed, last, bytes: sliceBytes ?? CLAIM_BYTES })
  }

  poll(isDue: boolean, signal: AbortSignal): Promise<ChangeSlice | null> {
    return this.#alone(async () => {
      if (this.#open !== null && this.#clock.monotonicMs() - this.#open.sinceMs > CLAIM_MS_MAX) await this.#takeBack()
      if (this.#open !== null) return isDue ? this.#sign(null) : null
      this.#pool.give(this.#lent.splice(0))
      const [row] = await this.#connection.query(
        sql`select ${clockMicros}, pg_snapshot_xmax(pg_current_snapshot())::text, ${this.#hasPending(null)}`,
        signal,
      )
      const [clock, xmax, hasAny] = row as readonly [string, string, string]
      if (hasAny === 't') return this.#claim(BigInt(clock), BigInt(xmax), isDue, signal)
      this.#last = { ...this.#last, number: nextNumber(this.#last.number, BigInt(clock), true) }
      return isDue ? this.#sign(BigInt(clock)) : null
    })
  }

  confirm(position: string): Promise<void> {
    return this.#alone(async () => {
      const number = claimPosition(position)?.number
      if (this.#open === null || number === undefined || number < this.#open.number) return
      await this.#connection.query(sql`update ${claimTable} set position = ${this.#open.number}`)
      await this.#connection.query(sql`commit`)
      this.#open = null
    })
  }

  lag(signal: AbortSignal): Promise<CaptureLag> {
    return this.#alone(async () => {
      const sums = this.#tables.map(
        it =>
          sql`(select coalesce(sum(pg_column_size(t.*)), 0) from ${sourceIdent(it.table.remote)} t where ${isPending(it)})`,
      )
      const [row] = await this.#connection.query(sql`select ${joinSql(sums, ' + ')}`, signal)
      return { bytes: BigInt(row?.[0] ?? '0'), bytesLeft: null, trouble: null }
    })
  }

  async close(): Promise<void> {
    if (this.#open !== null) await this.#takeBack()
    await this.#connection.close()
  }

  async #takeBack(): Promise<void> {
    this.#open = null
    await this.#connection.rollback()
  }

  async #claim(clock: bigint, xmax: bigint, isDue: boolean, signal: AbortSignal): Promise<ChangeSlice | null> {
    await this.#connection.query(sql`begin`, signal)
    const tables: TableChanges[] = []
    const messages: ChangeMessage[] = []
    let [place, bytes] = [0, 0]
    for (const it of this.#tables) {
      if (bytes >= this.#bytes) break
      const batches = await this.#copy(it, this.#bytes - bytes)
      messages.push(
        ...messagesOf(
          it.table.name,
          batches.flatMap(({ rejects }) => rejects),
        ),
      )
      const filled = batches.map(({ batch }) => batch).filter(({ rows }) => rows > 0)
      bytes += filled.flatMap(buffersOf).reduce((sum, buffer) => sum + buffer.byteLength, 0)
      if (filled.length === 0) continue
      const rows = joinBatches(filled)
      const order = Uint32Array.from({ length: rows.rows }, () => place++)
      const columns = it.columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal }))
      const ops = new Uint8Array(rows.rows).fill(changeOp.insert)
      tables.push({ table: it.table.name, columns, rows, ops, order, unchanged: columns.map(() => null) })
    }
    const [row] = await this.#connection.query(sql`select ${this.#hasPending(xmax)}`, signal)
    const isWhole = row?.[0] === 'f'
    if (tables.length === 0 && messages.length === 0) {
      await this.#connection.query(sql`rollback`, signal)
      if (isWhole) this.#last = { ...this.#last, number: nextNumber(this.#last.number, clock, true) }
      return isDue ? this.#sign(clock) : null
    }
    this.#last = { ...this.#last, number: nextNumber(this.#last.number, clock, isWhole) }
    this.#open = { number: this.#last.number, sinceMs: this.#clock.monotonicMs() }
    return { ...this.#sign(clock), tables, messages }
  }

  /** Locks what fits, sets its flag, and gives it as it is then. A row is known by its place while it is locked. */
  async #copy({ table, flag, columns }: Claimed, bytes: number): Promise<readonly SourceBatch[]> {
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

  #sign(committedMicros: bigint | null): ChangeSlice {
    const position = claimText(this.#last)
    return { position, committedMicros, tables: [], transactions: noTransactions, messages: [] }
  }

  async #alone<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(task)
    this.#turn = mine.catch(() => {})
    try {
      return await mine
    } catch (error) {
      throw sourceError(error, this.#target, null)
    }
  }
}

function isPending({ flag }: Claimed): Sql {
  return sql`${ident('t', flag.column)} = ${flag.pending}`
}

async function claimedTable(
  connection: Connection,
  { source }: Target,
  table: CapturedTable,
  signal: AbortSignal,
): Promise<Claimed> {
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
