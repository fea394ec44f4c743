import { buffersOf } from '../../../../core/batch.ts'
import { bufferPool } from '../../../../core/buffer-pool.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../../../core/sql.ts'
import type { ColumnDef } from '../../../../core/types.ts'
import type { SourceBatch } from '../../contract.ts'
import type { Connection } from '../connection.ts'
import { CopyStream } from '../copy-stream.ts'
import { clockMicros } from '../horizon.ts'
import type { Target } from '../target.ts'
import { streamTable } from './names.ts'
import { comparePositions, positionText, seenOf, type Position, type Seen } from './position.ts'
import type { TableTechnique } from './script.ts'

/** A table whose rows are changes: each has the number of its transaction and, growing within it, its own. */
export interface ChangeRows {
  readonly table: Ident
  readonly xid: string
  readonly seq: string
  /** What is read of a change, and how it is asked for. Changes up to the number `since` have no value of the column. */
  readonly columns: readonly (ColumnDef & { readonly as: Sql; readonly since?: bigint })[]
  /** Columns that name a change in a reject. */
  readonly key: readonly string[]
}

/** Some whole transactions, or a part of one that is large. */
export interface Group {
  /** `null` in the middle of a transaction. */
  readonly position: string | null
  readonly clockMicros: bigint
  /** In the order of their last changes. */
  readonly transactions: readonly Transaction[]
  /** Rows of each change table that has any. */
  readonly rows: ReadonlyMap<number, GroupRows>
}

/** Rows of one change table: first come the two numbers that order them, `orderColumns`, then `columns`. */
export interface GroupRows {
  readonly columns: readonly ColumnDef[]
  readonly batches: readonly SourceBatch[]
}

export interface Transaction {
  readonly xid: bigint
  /** Number of its last change. */
  readonly last: bigint
}

interface Waiting extends Transaction {
  readonly rows: number
  readonly bytes: number
  readonly tables: readonly number[]
}

interface Window {
  readonly upTo: Seen
  readonly clockMicros: bigint
  readonly waiting: Waiting[]
  /** No transaction of the window comes behind those that wait. */
  isWhole: boolean
  /** Number of the last change of the large transaction in front that was given. */
  partial: bigint
}

/** The last change of the transaction, then the change itself. */
export const orderColumns: readonly ColumnDef[] = ['naru_last', 'naru_seq'].map(name => ({
  name,
  type: { kind: 'int', bits: 64 },
  nullable: false,
  personal: false,
}))

/** Transactions that are looked up at once: they are listed anew from the whole window, so not too few. */
const WAITING_MAX = 50_000
/** Changes in a slice. */
const ROWS_MAX = 16_384

/**
 * Gives changes by what two views of the server see: whatever the later one sees and the earlier one does not, committed in
 * between. So a transaction that is long open delays nobody, and is given when it commits, however low its numbers are.
 *
 * Order: a change gets its number while its transaction holds the lock of the row, and another transaction can change the
 * row only after that one ended. So numbers of one row grow, and so do the last numbers of the transactions that changed it,
 * which order the transactions here. A view that sees the later of two such transactions sees the other as well.
 *
 * What is given must not be undone by a crash of the server: numbers of transactions of which nothing was on its disk are
 * given out again. So before anything of a view is given, a transaction of ours, numbered above it, is committed and flushed.
 */
export class WindowReader {
  readonly #connection: Connection
  readonly #target: Target
  readonly #technique: TableTechnique
  readonly #sources: readonly ChangeRows[]
  readonly #sliceBytes: number
  readonly #pool = bufferPool()
  /** Buffers of the last group. */
  readonly #lent: ArrayBuffer[] = []
  #position: Position
  #window: Window | null = null

  constructor(
    { connection, target }: { readonly connection: Connection; readonly target: Target },
    given: {
      readonly technique: TableTechnique
      readonly sources: readonly ChangeRows[]
      readonly from: Position
      readonly sliceBytes: number
    },
  ) {
    this.#connection = connection
    this.#target = target
    this.#technique = given.technique
    this.#sources = given.sources
    this.#position = given.from
    this.#sliceBytes = given.sliceBytes
  }

  /** True when everything of a view is given, so that a new one may be taken. */
  get isBetweenWindows(): boolean {
    return this.#window === null
  }

  /** The next group; `null` when there is none, unless `isDue`: then it has no rows. */
  async next(isDue: boolean, signal: AbortSignal): Promise<Group | null> {
    this.#pool.give(this.#lent.splice(0))
    const window = (this.#window ??= await this.#open(signal))
    if (window.waiting.length === 0) await this.#list(window, signal)
    if (window.waiting.length > 0) return this.#give(window, signal)
    this.#position = { log: this.#position.log, seen: window.upTo, upTo: null, after: 0n }
    this.#window = null
    if (!isDue) return null
    await this.#pin(signal)
    const position = positionText(this.#position)
    return { position, clockMicros: window.clockMicros, transactions: [], rows: new Map() }
  }

  async #open(signal: AbortSignal): Promise<Window> {
    const [row] = await this.#connection.query(sql`select pg_current_snapshot()::text, ${clockMicros}`, signal)
    const now = seenOf(row?.[0] as string) as Seen
    const upTo = this.#position.upTo ?? now
    return { upTo, clockMicros: BigInt(row?.[1] as string), waiting: [], isWhole: false, partial: 0n }
  }

  async #list(window: Window, signal: AbortSignal): Promise<void> {
    const { seen, after } = this.#position
    const isNew =
      comparePositions({ ...this.#position, after: 0n }, { ...this.#position, seen: window.upTo, after: 0n }) < 0
    if (window.isWhole || !isNew) return
    const rows = this.#sources.map(({ table, xid, seq }, i) => {
      const x = ident('c', xid)
      return sql`select ${x} as xid, ${ident('c', seq)} as seq, pg_column_size(c) as bytes, ${i} as place from ${table} c
        where ${x} >= ${String(seen.xmin)}::xid8 and ${x} < ${String(window.upTo.xmax)}::xid8
          and pg_visible_in_snapshot(${x}, ${window.upTo.text}::pg_snapshot)
          and not pg_visible_in_snapshot(${x}, ${seen.text}::pg_snapshot)`
    })
    const found = await this.#connection.query(
      sql`
      select r.xid::text, max(r.seq), count(*), sum(r.bytes), string_agg(distinct r.place::text, ',')
      from (${joinSql(rows, ' union all ')}) r
      group by r.xid having max(r.seq) > ${after} order by max(r.seq) limit ${WAITING_MAX}`,
      signal,
    )
    window.isWhole = found.length < WAITING_MAX
    for (const [xid, last, count, bytes, places] of found as readonly (readonly string[])[]) {
      const tables = (places as string).split(',').map(Number)
      window.waiting.push({
        xid: BigInt(xid as string),
        last: BigInt(last as string),
        rows: Number(count),
        bytes: Number(bytes),
        tables,
      })
    }
    if (found.length > 0) await this.#pin(signal)
  }

  async #pin(signal: AbortSignal): Promise<void> {
    await this.#connection.query(
      sql`update ${streamTable} set pinned = pg_current_xact_id() where technique = ${this.#technique}`,
      signal,
    )
  }

  async #give(window: Window, signal: AbortSignal): Promise<Group> {
    const { waiting } = window
    const taken = this.#takeSome(waiting)
    const first = waiting[0] as Waiting
    const isLarge = taken === 1 && first.bytes > this.#sliceBytes && first.rows > 1
    const upTo = isLarge ? await this.#bound(first, window.partial, signal) : null
    const group = waiting.slice(0, taken)
    const rows = await this.#read(group, { after: window.partial, upTo }, signal)
    if (upTo !== null && upTo < first.last) {
      window.partial = upTo
      return { position: null, clockMicros: window.clockMicros, transactions: [], rows }
    }
    waiting.splice(0, taken)
    window.partial = 0n
    const { log, seen } = this.#position
    const isOver = waiting.length === 0 && window.isWhole
    this.#position = isOver
      ? { log, seen: window.upTo, upTo: null, after: 0n }
      : { log, seen, upTo: window.upTo, after: (group.at(-1) as Waiting).last }
    if (isOver) this.#window = null
    return { position: positionText(this.#position), clockMicros: window.clockMicros, transactions: group, rows }
  }

  #takeSome(waiting: readonly Waiting[]): number {
    let [rows, bytes, taken] = [0, 0, 0]
    const first = this.#columnsAt(waiting[0] as Waiting)
    for (const next of waiting) {
      rows += next.rows
      bytes += next.bytes
      if (taken > 0 && (rows > ROWS_MAX || bytes > this.#sliceBytes || this.#columnsAt(next) !== first)) break
      taken++
    }
    return taken
  }

  /**
   * How many columns are kept by then. A column is taken up while nobody writes to its table, so that all changes of a
   * transaction are from before or from behind it, as the number of the last one is.
   */
  #columnsAt({ last }: Transaction): number {
    return this.#sources.reduce((sum, { columns }) => sum + columns.filter(it => isKept(it, last)).length, 0)
  }

  /** Number of the last change of a large transaction that a slice has room for; of one at least. */
  async #bound({ xid, tables, last }: Waiting, after: bigint, signal: AbortSignal): Promise<bigint> {
    const rows = tables.map(place => {
      const { table, xid: x, seq } = this.#sources[place] as ChangeRows
      return sql`(select c.${ident(seq)} as seq, pg_column_size(c) as bytes from ${table} c
        where c.${ident(x)} = ${String(xid)}::xid8 and c.${ident(seq)} > ${after} order by c.${ident(seq)} limit ${ROWS_MAX})`
    })
    const [row] = await this.#connection.query(
      sql`
      select coalesce(max(b.seq) filter (where b.total <= ${this.#sliceBytes}), min(b.seq)) from (
        select s.seq, sum(s.bytes) over (order by s.seq) as total from (
          select * from (${joinSql(rows, ' union all ')}) u order by u.seq limit ${ROWS_MAX}) s) b`,
      signal,
    )
    return row?.[0] == null ? last : BigInt(row[0])
  }

  async #read(
    group: readonly Waiting[],
    part: { readonly after: bigint; readonly upTo: bigint | null },
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, GroupRows>> {
    const places = [...new Set(group.flatMap(it => it.tables))].sort((a, b) => a - b)
    const found = new Map<number, GroupRows>()
    const { last } = group[0] as Waiting
    for (const place of places) {
      signal.throwIfAborted()
      const source = this.#sources[place] as ChangeRows
      const kept = { ...source, columns: source.columns.filter(column => isKept(column, last)) }
      const batches = await this.#copy(kept, group, part)
      const columns = kept.columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal }))
      // A part of a large transaction need not have rows of each of its tables.
      if (batches.length > 0) found.set(place, { columns, batches })
    }
    return found
  }

  async #copy(
    { table, xid, seq, columns, key }: ChangeRows,
    group: readonly Waiting[],
    part: { readonly after: bigint; readonly upTo: bigint | null },
  ): Promise<readonly SourceBatch[]> {
    const [x, s] = [ident('c', xid), ident('c', seq)]
    const xids = `{${group.map(it => it.xid).join(',')}}`
    const lasts = `{${group.map(it => it.last).join(',')}}`
    const within = part.upTo === null ? sql`` : sql` and ${s} <= ${part.upTo}`
    const copy = sql`copy (
      select x.last, ${s}, ${joinSql(columns.map(column => column.as))}
      from unnest(${xids}::xid8[], ${lasts}::bigint[]) as x(xid, last) join ${table} c on ${x} = x.xid
      where ${s} > ${part.after}${within} order by x.last, ${s}) to stdout (format binary)`
    const batches: SourceBatch[] = []
    const all = columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal }))
    const job = { copy, columns: [...orderColumns, ...all], key, hasOwnSql: false }
    const give = (batch: SourceBatch): void => {
      batches.push(batch)
      this.#lent.push(...buffersOf(batch.batch))
      stream.credit() // all of them are kept: their size was bounded before
    }
    const stream: CopyStream = new CopyStream(this.#connection, this.#target, job, { give, pool: this.#pool })
    await stream.run(this.#connection)
    return batches
  }
}

function isKept({ since = 0n }: ChangeRows['columns'][number], last: bigint): boolean {
  return since < last
}

/** A column as it is read, of a type that COPY sends in a form of ours, or as the server's text. */
export function readColumn(name: string, asText: boolean): Sql {
  return asText ? sql`c.${ident(name)}::text` : sql`c.${ident(name)}`
}

/** NULL for a change of these kinds. */
export function unlessOp(column: Sql, op: string, kinds: readonly number[]): Sql {
  return sql`case when c.${ident(op)} in (${joinSql(kinds.map(kind => rawSql(String(kind))))}) then null else ${column} end`
}
