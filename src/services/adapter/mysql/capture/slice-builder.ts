import { buffersOf, fixedWidth } from '../../../../core/batch.ts'
import { bufferPool, type BufferPool } from '../../../../core/buffer-pool.ts'
import { changeOp, type ChangeMessage, type ChangeSlice, type TableChanges } from '../../../../core/change-slice.ts'
import { CELL_ABSENT, CELL_NULL } from '../../../../systems/mysql/binlog/rows.ts'
import { badRow, goodRuns } from '../../../../systems/wire/batch-builder.ts'
import type { Block } from '../../../../systems/wire/block.ts'
import type { ColumnWriter } from '../../../../systems/wire/column-writer.ts'
import { badReject } from '../../../../systems/wire/skipped-row.ts'
import { rejectMessage } from '../../../../core/change-reject.ts'
import type { RowReject } from '../../../../core/reject.ts'
import type { TablePlan } from './plan.ts'
import type { TakenRows } from './row-decoder.ts'

/** Rows that a table has room for in its first slice, and at most. */
const ROWS_FIRST = 256
const ROWS_MAX = 16_384
/** Room for the values of a column of varying length. */
const BYTES_FIRST = 4096

/** Collects changes in column batches, transaction by transaction, until they are taken as a slice. */
export class SliceBuilder {
  readonly #pool: BufferPool = bufferPool()
  /** Rows that the last slice had of a table: what to make room for. */
  readonly #rowsExpected = new Map<string, number>()
  #tables = new Map<TablePlan, TableBuilder>()
  #transactions: { readonly id: bigint; readonly end: number; readonly micros: bigint }[] = []
  #messages: ChangeMessage[] = []
  #order = 0
  #bytes = 0
  /** What was there when the last transaction ended. */
  #mark = { order: 0, bytes: 0, messages: 0 }
  /** Parts of the transaction that has not ended were given away already. */
  #isOpen = false

  /** Bytes of the log that the changes took. */
  get bytes(): number {
    return this.#bytes
  }

  /** True when there is a change that no slice has yet. */
  get hasChanges(): boolean {
    return this.#order > 0
  }

  /** True when there are changes of whole transactions. */
  get hasWhole(): boolean {
    return this.#mark.order > 0
  }

  /** True when there are changes of a transaction that has not ended. */
  get isWithin(): boolean {
    return this.#order > this.#mark.order
  }

  /** True when there is no room for so many more rows of a table, or when it has rows of another shape. */
  isFullFor(plan: TablePlan, rows: number): boolean {
    const mine = this.#tables.get(plan)
    if (mine !== undefined) return mine.isFullFor(rows)
    return [...this.#tables.keys()].some(({ table }) => table.asked.name === plan.table.asked.name)
  }

  /** Takes rows. One over the limit, or with a value that its type does not hold, is told; what stays of it is the delete of its key. */
  add(rows: TakenRows): void {
    const { plan, block, bytes } = rows
    let table = this.#tables.get(plan)
    if (table === undefined) {
      const expected = this.#rowsExpected.get(plan.table.asked.name) ?? 0
      const capacity = Math.min(ROWS_MAX, Math.max(ROWS_FIRST, block.rows, expected * 2))
      table = new TableBuilder(plan, this.#pool, capacity)
      this.#tables.set(plan, table)
    }
    const { name } = plan.table.asked
    for (const { row, reject } of table.add(rows, this.#order)) {
      this.#messages.push(rejectMessage(this.#order + row, name, reject))
    }
    this.#order += block.rows
    this.#bytes += bytes
  }

  /** A transaction ended. */
  commit(id: bigint, micros: bigint): void {
    if (this.#order === this.#mark.order && !this.#isOpen) return
    this.#transactions.push({ id, end: this.#order, micros })
    this.#isOpen = false
    this.#mark = { order: this.#order, bytes: this.#bytes, messages: this.#messages.length }
    for (const table of this.#tables.values()) table.mark()
  }

  /** Parts of the transaction that has not ended were given away already. */
  get hasGivenPart(): boolean {
    return this.#isOpen
  }

  /** What came since the last transaction ended never took effect. */
  rollback(): void {
    this.#order = this.#mark.order
    this.#bytes = this.#mark.bytes
    this.#messages.length = this.#mark.messages
    for (const [plan, table] of this.#tables) if (table.rollback() === 0) this.#tables.delete(plan)
  }

  /** Hands over what was collected. */
  take(position: string | null, committedMicros: bigint | null): ChangeSlice {
    this.#isOpen ||= this.isWithin
    const tables = [...this.#tables.values()].map(table => table.finish())
    for (const { table, rows } of tables) this.#rowsExpected.set(table, rows.rows)
    const [transactions, messages] = [this.#transactions, this.#messages]
    this.#messages = []
    this.#tables = new Map()
    this.#transactions = []
    this.#order = 0
    this.#bytes = 0
    this.#mark = { order: 0, bytes: 0, messages: 0 }
    return {
      position,
      committedMicros,
      tables,
      transactions: {
        ids: BigInt64Array.from(transactions, ({ id }) => id),
        ends: Uint32Array.from(transactions, ({ end }) => end),
        committedMicros: BigInt64Array.from(transactions, ({ micros }) => micros),
      },
      messages,
    }
  }

  /** The buffers of a slice are free again. */
  recycle({ tables }: ChangeSlice): void {
    for (const { rows } of tables) this.#pool.give(buffersOf(rows))
  }
}

/** The changes of one table. */
class TableBuilder {
  readonly #plan: TablePlan
  readonly #capacity: number
  readonly #writers: readonly ColumnWriter[]
  readonly #ops: Uint8Array
  readonly #orders: Uint32Array
  readonly #unchanged: (Uint8Array | null)[]
  #rows = 0
  #marked = 0

  constructor(plan: TablePlan, pool: BufferPool, capacity: number) {
    this.#plan = plan
    this.#capacity = capacity
    this.#writers = plan.columns.map(({ type }, c) =>
      plan.writer(c, { capacity, pool, bytesExpected: fixedWidth(type) === null ? BYTES_FIRST : 0 }),
    )
    this.#ops = new Uint8Array(capacity)
    this.#orders = new Uint32Array(capacity)
    this.#unchanged = plan.columns.map(() => null)
  }

  isFullFor(rows: number): boolean {
    return this.#rows + rows > this.#capacity
  }

  /** Takes the good rows of a block, and of the others the delete of their key; gives why. */
  add(given: TakenRows, order: number): readonly { readonly row: number; readonly reject: RowReject }[] {
    const { block, ops, large } = given
    const bad = new Map<number, number>()
    const before = this.#rows
    this.#append(block, { from: 0, to: block.rows }, (row, column) => bad.set(row, bad.get(row) ?? column))
    if (bad.size === 0 && large.size === 0) {
      this.#note(block, { from: 0, to: block.rows, at: before }, ops, order)
      return []
    }
    const rejects = this.#rejects(given, bad)
    const left = this.#deletesOf(given, bad)
    this.#cut(before)
    // Rare, and at most three times the work. A key that does not fit cannot be deleted by.
    this.#append(block, { from: 0, to: block.rows }, (row, column) => left.set(row, column))
    this.#cut(before)
    for (const run of goodRuns(block.rows, left)) {
      const at = this.#rows
      this.#append(block, run, () => {})
      this.#note(block, { ...run, at }, ops, order)
    }
    return rejects
  }

  #cut(rows: number): void {
    for (const writer of this.#writers) writer.cut(rows)
    this.#rows = rows
  }

  #rejects(
    { block, large }: TakenRows,
    bad: ReadonlyMap<number, number>,
  ): readonly { readonly row: number; readonly reject: RowReject }[] {
    const { shape } = this.#plan
    const tooLarge = [...large].map(([row, { bytes, detail, hasKey }]) => {
      const key = hasKey ? badRow(shape, block, row, 0).key : null
      return { row, reject: { reason: 'VALUE_TOO_LARGE', detail, key, line: null, bytes, content: '' } as RowReject }
    })
    const unfit = [...bad].filter(([row]) => !large.has(row))
    return [
      ...tooLarge,
      ...unfit.map(([row, column]) => ({ row, reject: badReject(badRow(shape, block, row, column)) })),
    ]
  }

  /** As in a load a bad row is not taken: it becomes the delete of its key, so that no older version lives on. Gives those without one. */
  #deletesOf({ plan, block, ops, large }: TakenRows, bad: ReadonlyMap<number, number>): Map<number, number> {
    const left = new Map<number, number>()
    for (const [row, column] of bad) {
      if (plan.keys.length === 0) left.set(row, column)
      ops[row] = changeOp.delete
      for (let c = 0; c < block.columns; c++) {
        if (plan.isKey[c] !== true) block.lengths[row * block.columns + c] = CELL_NULL
      }
    }
    for (const [row, { hasKey }] of large) if (!hasKey) left.set(row, 0)
    return left
  }

  #append(
    block: Block,
    { from, to }: { readonly from: number; readonly to: number },
    bad: (row: number, column: number) => void,
  ): void {
    for (const [c, writer] of this.#writers.entries()) {
      writer.append(block, c, { from, to, at: this.#rows }, row => bad(row, c))
    }
    this.#rows += to - from
  }

  #note(
    block: Block,
    { from, to, at }: { readonly from: number; readonly to: number; readonly at: number },
    ops: Uint8Array,
    order: number,
  ): void {
    for (let r = from; r < to; r++) {
      const row = at + r - from
      this.#ops[row] = ops[r] as number
      this.#orders[row] = order + r
      if (ops[r] === changeOp.update || ops[r] === changeOp.move) this.#noteUnchanged(block, r, row)
    }
  }

  mark(): void {
    this.#marked = this.#rows
  }

  rollback(): number {
    for (const writer of this.#writers) writer.cut(this.#marked)
    for (const bits of this.#unchanged) {
      if (bits === null) continue
      for (let row = this.#marked; row < this.#rows; row++)
        bits[row >> 3] = (bits[row >> 3] as number) & ~(1 << (row & 7))
    }
    this.#rows = this.#marked
    return this.#rows
  }

  finish(): TableChanges {
    const rows = this.#rows
    return {
      table: this.#plan.table.asked.name,
      columns: this.#plan.columns,
      rows: { rows, columns: this.#writers.map(writer => writer.finish(rows)) },
      ops: this.#ops.subarray(0, rows),
      order: this.#orders.subarray(0, rows),
      unchanged: this.#unchanged.map(bits => bits?.subarray(0, (rows + 7) >> 3) ?? null),
    }
  }

  #noteUnchanged({ lengths, columns }: Block, row: number, at: number): void {
    for (let c = 0; c < columns; c++) {
      if (lengths[row * columns + c] !== CELL_ABSENT) continue
      const bits = (this.#unchanged[c] ??= new Uint8Array((this.#capacity + 7) >> 3))
      bits[at >> 3] = (bits[at >> 3] as number) | (1 << (at & 7))
    }
  }
}
