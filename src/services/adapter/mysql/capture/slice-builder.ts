import { buffersOf, fixedWidth } from '../../../../core/batch.ts'
import { bufferPool, type BufferPool } from '../../../../core/buffer-pool.ts'
import { changeOp, type ChangeOp, type ChangeSlice, type TableChanges } from '../../../../core/change-slice.ts'
import { CELL_ABSENT } from '../../../../systems/mysql/binlog/rows.ts'
import type { Block } from '../../../../systems/wire/block.ts'
import type { ColumnWriter } from '../../../../systems/wire/column-writer.ts'
import type { TablePlan } from './plan.ts'

/** Rows that a table has room for in its first slice, and at most. */
const ROWS_FIRST = 256
const ROWS_MAX = 16_384
/** Room for the values of a column of varying length. */
const BYTES_FIRST = 4096

/** A value that its type does not hold: where it stands in the block. */
export class BadValue extends Error {
  readonly plan: TablePlan
  readonly column: number
  readonly row: number

  constructor(plan: TablePlan, column: number, row: number) {
    super('a value does not fit its type')
    this.plan = plan
    this.column = column
    this.row = row
  }
}

/** Collects changes in column batches, transaction by transaction, until they are taken as a slice. */
export class SliceBuilder {
  readonly #pool: BufferPool = bufferPool()
  /** Rows that the last slice had of a table: what to make room for. */
  readonly #rowsExpected = new Map<string, number>()
  #tables = new Map<TablePlan, TableBuilder>()
  #transactions: { readonly id: bigint; readonly end: number; readonly micros: bigint }[] = []
  #order = 0
  #bytes = 0
  /** What was there when the last transaction ended. */
  #mark = { order: 0, bytes: 0 }
  #given: ChangeSlice | null = null

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

  /** True when there is no room for so many more rows of a table. */
  isFullFor(plan: TablePlan, rows: number): boolean {
    return this.#tables.get(plan)?.isFullFor(rows) ?? false
  }

  /** Takes the rows of a block, with what happened to each. Throws `BadValue`. */
  add(plan: TablePlan, block: Block, ops: Uint8Array, bytes: number): void {
    let table = this.#tables.get(plan)
    if (table === undefined) {
      const expected = this.#rowsExpected.get(plan.table.asked.name) ?? 0
      const capacity = Math.min(ROWS_MAX, Math.max(ROWS_FIRST, block.rows, expected * 2))
      table = new TableBuilder(plan, this.#pool, capacity)
      this.#tables.set(plan, table)
    }
    table.add(block, ops, this.#order)
    this.#order += block.rows
    this.#bytes += bytes
  }

  /** A transaction ended. */
  commit(id: bigint, micros: bigint): void {
    if (this.#order === this.#mark.order && !this.#isOpen) return
    this.#transactions.push({ id, end: this.#order, micros })
    this.#isOpen = false
    this.#mark = { order: this.#order, bytes: this.#bytes }
    for (const table of this.#tables.values()) table.mark()
  }

  /** Parts of the transaction that has not ended were given away already. */
  #isOpen = false

  get hasGivenPart(): boolean {
    return this.#isOpen
  }

  /** What came since the last transaction ended never took effect. */
  rollback(): void {
    this.#order = this.#mark.order
    this.#bytes = this.#mark.bytes
    for (const [plan, table] of this.#tables) if (table.rollback() === 0) this.#tables.delete(plan)
  }

  /** Hands over what was collected. */
  take(position: string | null, committedMicros: bigint | null): ChangeSlice {
    this.#recycle()
    this.#isOpen ||= this.isWithin
    const tables = [...this.#tables.values()].map(table => table.finish())
    for (const { table, rows } of tables) this.#rowsExpected.set(table, rows.rows)
    const transactions = this.#transactions
    this.#tables = new Map()
    this.#transactions = []
    this.#order = 0
    this.#bytes = 0
    this.#mark = { order: 0, bytes: 0 }
    this.#given = {
      position,
      committedMicros,
      tables,
      transactions: {
        ids: BigInt64Array.from(transactions, ({ id }) => id),
        ends: Uint32Array.from(transactions, ({ end }) => end),
        committedMicros: BigInt64Array.from(transactions, ({ micros }) => micros),
      },
      messages: [],
    }
    return this.#given
  }

  /** The buffers of the slice before are free again. */
  #recycle(): void {
    for (const { rows } of this.#given?.tables ?? []) this.#pool.give(buffersOf(rows))
    this.#given = null
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

  add(block: Block, ops: Uint8Array, order: number): void {
    const at = this.#rows
    for (const [c, writer] of this.#writers.entries()) {
      writer.append(block, c, { from: 0, to: block.rows, at }, row => {
        throw new BadValue(this.#plan, c, row)
      })
    }
    for (let r = 0; r < block.rows; r++) {
      this.#ops[at + r] = ops[r] as number
      this.#orders[at + r] = order + r
      if (ops[r] === changeOp.update || ops[r] === changeOp.move) this.#noteUnchanged(block, r, at + r)
    }
    this.#rows += block.rows
  }

  mark(): void {
    this.#marked = this.#rows
  }

  rollback(): number {
    for (const writer of this.#writers) writer.cut(this.#marked)
    for (const bits of this.#unchanged) {
      for (let row = this.#marked; bits !== null && row < this.#rows; row++)
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

/** A change without values: every row of the table that came before is gone. */
export const truncateOps: Uint8Array = Uint8Array.of(changeOp.truncate satisfies ChangeOp)
