import { buffersOf, type ColumnBatch, type ColumnData } from '../../../../core/batch.ts'
import { bufferPool } from '../../../../core/buffer-pool.ts'
import type { ChangeSlice } from '../../../../core/change-slice.ts'
import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../../../core/sql.ts'
import { fixedWidth } from '../../../../core/batch.ts'
import { oneAtATime } from '../../../../core/one-at-a-time.ts'
import { captureDefaults, type CaptureLag, type CaptureRequest, type SchemaChange } from '../../contract-capture.ts'
import type { SourceBatch } from '../../contract.ts'
import { idPositionText, nothingGiven, withIds, type IdPosition, type IdRange, type IdsGiven } from '../../id-gaps.ts'
import type { ChangeFeed } from '../../polled-stream.ts'
import { Pruner } from '../../pruner.ts'
import type { CatalogColumn } from '../catalog.ts'
import { readValue } from '../columns.ts'
import type { Connection } from '../connection.ts'
import { sourceError } from '../errors.ts'
import { clockMicros } from '../horizon.ts'
import { RowStream } from '../row-stream.ts'
import type { Target } from '../target.ts'
import type { Numbered } from './heads.ts'
import { streamIdent } from './script.ts'
import type { TableTechnique } from './names.ts'
import { pruning } from './prune.ts'
import { keyOf, Suspects, type Activity } from './suspects.ts'

/** A table whose rows are changes with growing numbers. */
export interface NumberedRows {
  /** Its name in positions. */
  readonly name: string
  readonly table: Ident
  readonly id: string
  readonly columns: readonly CatalogColumn[]
  readonly key: readonly string[]
}

/** Rows of one table as they were read: first comes their number. */
export interface ReadRows {
  readonly place: number
  readonly batches: readonly SourceBatch[]
}

export interface FeedKind {
  readonly technique: TableTechnique
  readonly sources: readonly NumberedRows[]
  /** Looks at the source: throws `CAPTURE_NOT_READY`, or gives a change of shape and reads by the new one from then on. */
  check(connection: Connection, signal: AbortSignal): Promise<SchemaChange | null>
  assemble(rows: readonly ReadRows[]): Pick<ChangeSlice, 'tables' | 'messages' | 'transactions'>
}

const ROWS_MAX = 16_384
/** Holes that are remembered. With more, what is behind them waits until they are cleared up. */
const GAPS_MAX = 1_000
const TROUBLE_BYTES = 1024n * 1024n * 1024n
/**
 * The list of transactions is older than its asking when somebody asked for it in the tenth of a second before: then it is
 * asked for again, behind a pause of some length, because two who ask at one pace would keep it old for each other.
 */
const STALE_TRIES = 50
const STALE_MS = 120
const STALE_MS_MORE = 400

/**
 * Gives changes in the order of their numbers, and remembers the numbers without a row: a transaction that commits late fills
 * them, and they are given then. A row is numbered while its transaction holds the lock of the captured row, and another
 * transaction can change that only after the first one ended: so numbers of one row grow in the order of its changes, and a
 * view that sees the later one sees the earlier one. See `Suspects` for when a hole is forgotten.
 */
export class NumberedFeed implements ChangeFeed {
  readonly #env: Env
  readonly #target: Target
  readonly #connection: Connection
  readonly #kind: FeedKind
  readonly #log: string
  readonly #given: Map<string, IdsGiven>
  readonly #sliceBytes: number
  readonly #suspects = new Suspects()
  readonly #pool = bufferPool()
  readonly #lent: ArrayBuffer[] = []
  readonly #pruner: Pruner<string>
  #ownTransaction = 0n
  readonly #turns = oneAtATime()

  constructor(
    given: { readonly env: Env; readonly target: Target; readonly connection: Connection },
    kind: FeedKind,
    { from, request }: { readonly from: IdPosition; readonly request: CaptureRequest },
  ) {
    this.#env = given.env
    this.#target = given.target
    this.#connection = given.connection
    this.#kind = kind
    this.#log = from.log
    this.#given = new Map(from.tables)
    this.#sliceBytes = request.sliceBytes ?? captureDefaults.sliceBytes
    this.#pruner = new Pruner(pruning(given.env, given.target, kind.technique, kind.sources))
  }

  async poll(isDue: boolean, signal: AbortSignal): Promise<ChangeSlice | SchemaChange | null> {
    return this.#alone(async () => {
      this.#pool.give(this.#lent.splice(0))
      const schema = await this.#kind.check(this.#connection, signal)
      if (schema !== null) return schema
      const cleared = await this.#clearedHoles(signal)
      await this.#connection.run(sql`start transaction with consistent snapshot, read only`, signal)
      let found: { readonly rows: readonly ReadRows[]; readonly clock: bigint }
      try {
        found = await this.#read(cleared, signal)
      } finally {
        await this.#connection.run(sql`commit`)
      }
      if (found.rows.length === 0 && !isDue) return null
      await this.#pin(signal)
      const position = idPositionText({ log: this.#log, tables: this.#given })
      return { position, committedMicros: found.clock, ...this.#kind.assemble(found.rows) }
    })
  }

  async confirm(position: string): Promise<void> {
    this.#pruner.want(position)
  }

  async lag(signal: AbortSignal): Promise<CaptureLag> {
    return this.#alone(async () => {
      const lag = await tablesLag(this.#connection, this.#kind.sources, signal)
      return { ...lag, trouble: this.#pruner.trouble ?? lag.trouble }
    })
  }

  async close(): Promise<void> {
    await this.#pruner.close()
    await this.#connection.close()
  }

  /** A write of ours, committed and flushed: nothing that was read before it is undone by a crash of the server. */
  async #pin(signal: AbortSignal): Promise<void> {
    await this.#connection.run(this.#pinned, signal)
  }

  get #pinned(): Sql {
    const { technique } = this.#kind
    return sql`update ${streamIdent(this.#target.database)} set pinned = pinned + 1 where technique = ${technique}`
  }

  async #read(
    cleared: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<{ readonly rows: readonly ReadRows[]; readonly clock: bigint }> {
    const [row] = await this.#connection.query(sql`select ${clockMicros}`, signal)
    const rows: ReadRows[] = []
    let room = this.#sliceBytes
    for (const [place, source] of this.#kind.sources.entries()) {
      const given = this.#given.get(source.name) ?? nothingGiven
      const { ids, bytes, isWhole } = await this.#choose(source, given, room, signal)
      if (ids.length > 0 && room <= 0) break
      room -= bytes
      const batches = ids.length === 0 ? [] : await this.#rowsOf(source, given, ids.at(-1) as bigint)
      if (batches.length > 0) rows.push({ place, batches })
      const now = withIds(given, ids)
      // Only where the view was read to: a row behind the last one that had room may lie in a hole.
      const isRead = (gap: IdRange): boolean => isWhole || gap.to < (ids.at(-1) ?? 0n)
      const isDead = (gap: IdRange): boolean => isRead(gap) && cleared.has(keyOf({ table: source.name, ...gap }))
      this.#given.set(source.name, { max: now.max, gaps: now.gaps.filter(gap => !isDead(gap)) })
    }
    return { rows, clock: BigInt(row?.[0] ?? '0') }
  }

  /** The numbers of the next changes that a slice has room for, in order. */
  async #choose(
    { table, id, columns }: NumberedRows,
    given: IdsGiven,
    room: number,
    signal: AbortSignal,
  ): Promise<{ readonly ids: readonly bigint[]; readonly bytes: number; readonly isWhole: boolean }> {
    const varying = columns.filter(({ type }) => fixedWidth(type) === null)
    const sizes = varying.map(({ name }) => sql`coalesce(octet_length(${ident('t', name)}), 0)`)
    const fixed = columns.length * 8
    const found = await this.#connection.query(
      sql`select ${ident('t', id)}, ${joinSql([sql`${fixed}`, ...sizes], ' + ')} from ${table} as t
        where ${isNew(id, given)} order by ${ident('t', id)} limit ${ROWS_MAX}`,
      signal,
    )
    const ids: bigint[] = []
    let [bytes, last, holes] = [0, given.max, given.gaps.length]
    for (const [text, size] of found) {
      const next = BigInt(text as string)
      bytes += Number(size)
      if (ids.length > 0 && bytes > room) break
      if (next > last + 1n && ++holes > GAPS_MAX) break
      if (next > last) last = next
      ids.push(next)
    }
    return { ids, bytes, isWhole: ids.length === found.length && found.length < ROWS_MAX }
  }

  async #rowsOf(
    { table, id, columns, key }: NumberedRows,
    given: IdsGiven,
    upTo: bigint,
  ): Promise<readonly SourceBatch[]> {
    const number = ident('t', id)
    const query = sql`select ${number}, ${joinSql(columns.map(readValue))} from ${table} as t
      where ${isNew(id, given)} and ${number} <= ${upTo} order by ${number}`
    const numbers = { name: id, type: { kind: 'int', bits: 64 }, nullable: false, personal: false } as const
    const job = { query, columns: [numbers, ...columns], key }
    const batches: SourceBatch[] = []
    const give = (batch: SourceBatch): void => {
      batches.push(batch)
      this.#lent.push(...buffersOf(batch.batch))
      stream.credit() // all of them are kept: their size was bounded before
    }
    const stream: RowStream = new RowStream(this.#connection, this.#target, job, { give, pool: this.#pool })
    await stream.run()
    return batches
  }

  /** Holes of which the next view shows for good whether they have rows. */
  async #clearedHoles(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const holes = [...this.#given].flatMap(([table, { gaps }]) => gaps.map(gap => ({ table, ...gap })))
    return this.#suspects.cleared(holes, holes.length === 0 ? idle : await this.#activity(signal))
  }

  /** Running statements first, then transactions: a statement that opens its transaction in between is in one of the two. */
  async #activity(signal: AbortSignal): Promise<Activity> {
    const query = this.#connection.kind.isMariaDb ? sql`query_id` : sql`0`
    const statements = await this.#connection.query(
      sql`select concat(id, ':', ${query}) from information_schema.processlist
        where command not in ('Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID') and id <> connection_id()`,
      signal,
    )
    const mine = `@${this.#connection.thread}`
    for (let tries = 0; tries < STALE_TRIES; tries++) {
      await this.#connection.run(sql`start transaction`, signal)
      await this.#connection.run(this.#pinned, signal)
      const listed = await this.#connection.query(
        sql`select concat(trx_id, '@', trx_mysql_thread_id) from information_schema.innodb_trx`,
        signal,
      )
      await this.#connection.run(sql`commit`, signal)
      const all = listed.map(([text]) => text as string)
      // Our own transaction, newer than any before, shows that the list is not older than our asking.
      const own = BigInt(all.find(it => it.endsWith(mine))?.split('@')[0] ?? '0')
      if (own > this.#ownTransaction) {
        this.#ownTransaction = own
        return {
          transactions: all.filter(it => !it.endsWith(mine)),
          statements: statements.map(([text]) => text as string),
        }
      }
      const [chance = 0] = this.#env.random.bytes(1)
      await this.#env.clock.sleep(STALE_MS + Math.round((chance / 255) * STALE_MS_MORE), signal)
    }
    const { source } = this.#target
    const problem = 'its list of open transactions does not become current: something asks for it without a pause'
    throw fail('SOURCE_READ', { source, table: 'innodb_trx', problem })
  }

  async #alone<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await this.#turns.run(task)
    } catch (error) {
      throw sourceError(error, this.#target, null)
    }
  }
}

const idle: Activity = { transactions: [], statements: [] }

function isNew(id: string, { max, gaps }: IdsGiven): Sql {
  const number = ident('t', id)
  const parts = gaps.map(({ from, to }) => sql`${number} between ${rawSql(String(from))} and ${rawSql(String(to))}`)
  return sql`(${joinSql([sql`${number} > ${rawSql(String(max))}`, ...parts], ' or ')})`
}

/** The numbers of rows, and the rows without them. */
export function splitNumbers(batch: ColumnBatch): { readonly numbers: ColumnData; readonly rows: ColumnBatch } {
  const [numbers, ...columns] = batch.columns
  return { numbers: numbers as ColumnData, rows: { rows: batch.rows, columns } }
}

/** What change tables take of the disk of the source, about. */
export async function tablesLag(
  connection: Connection,
  tables: readonly Numbered[],
  signal: AbortSignal,
): Promise<CaptureLag> {
  let bytes = 0n
  for (const { table, id } of tables) {
    const [row] = await connection.query(sql`select count(${ident(id)}) from ${table}`, signal)
    const [size] = await connection.query(
      sql`select coalesce(max(avg_row_length), 0) from information_schema.tables
        where table_schema = ${table.path[0] as string} and table_name = ${table.path[1] as string}`,
      signal,
    )
    bytes += BigInt(row?.[0] ?? '0') * BigInt(Math.max(1, Number(size?.[0] ?? '0')))
  }
  const trouble =
    bytes > TROUBLE_BYTES
      ? `the change tables have about ${bytes} bytes; they grow until what was read is confirmed`
      : null
  return { bytes, bytesLeft: null, trouble }
}
