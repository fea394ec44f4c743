import type { BufferPool } from '../../../../core/buffer-pool.ts'
import { withoutRows } from '../../../../core/batch-rows.ts'
import { changeOp, type TableChanges } from '../../../../core/change-slice.ts'
import type { RowReject } from '../../../../core/reject.ts'
import { badValueText } from '../../../../systems/postgres/bad-value.ts'
import type { TextCheck } from '../../../../systems/postgres/column-writer.ts'
import { keyOf, type BatchShape } from '../../../../systems/wire/batch-builder.ts'
import { layOver, newBlock, type Block } from '../../../../systems/wire/block.ts'
import type { ColumnWriter } from '../../../../systems/wire/column-writer.ts'
import { badReject } from '../../../../systems/wire/skipped-row.ts'
import type { Relation } from './relation.ts'

/** Most rows of a table in one slice. */
export const SLICE_ROWS_MAX = 65_536
const FIRST_BYTES = 1024

/** What a builder of any table is made with. */
export interface BuilderNeeds {
  readonly pool: BufferPool
  readonly isBinary: boolean
  readonly checkText: TextCheck
  readonly reject: (order: number, table: string, reject: RowReject) => void
}

/** The changes of one table for one slice. Rows are noted in a block over the bytes of the wire, and decoded by column. */
export class TableBuilder {
  readonly relation: Relation
  readonly block: Block
  readonly capacity: number
  readonly #needs: BuilderNeeds
  readonly #shape: BatchShape
  readonly #writers: readonly ColumnWriter[]
  readonly #ops: Uint8Array
  readonly #order: Uint32Array
  readonly #unchanged: (Uint8Array | null)[]
  /** Rows whose key has no value that a type holds: they are told, and left out. */
  readonly #left = new Set<number>()
  #decoded = 0

  constructor(relation: Relation, capacity: number, block: Block, needs: BuilderNeeds) {
    this.relation = relation
    this.capacity = capacity
    this.block = block
    this.#needs = needs
    const { columns, logColumns, table } = relation
    this.#shape = {
      columns,
      key: table.key,
      pool: needs.pool,
      badValueText: (type, value) => (needs.isBinary ? badValueText(type, value) : value.toString('utf8', 0, 1024)),
      writer: (c, room) => logColumns[c]!.writer({ ...room, type: logColumns[c]!.type, checkText: needs.checkText }),
    }
    const room = { capacity, pool: needs.pool, bytesExpected: FIRST_BYTES }
    this.#writers = columns.map((_, c) => this.#shape.writer(c, room))
    this.#ops = new Uint8Array(capacity)
    this.#order = new Uint32Array(capacity)
    this.#unchanged = columns.map(() => null)
  }

  get rows(): number {
    return this.#decoded + this.block.rows
  }

  /** Room for so many more rows. */
  hasRoom(rows: number): boolean {
    return this.rows + rows <= this.capacity
  }

  /** A row is noted in the block; its values are set by the caller. */
  addRow(op: number, order: number): void {
    const row = this.rows
    this.#ops[row] = op
    this.#order[row] = order
    this.block.rows++
  }

  /** The value of a column was not sent for the row that is being noted. */
  setUnchanged(column: number): void {
    const bits = (this.#unchanged[column] ??= new Uint8Array((this.capacity + 7) >> 3))
    const row = this.rows
    bits[row >> 3] = (bits[row >> 3] as number) | (1 << (row & 7))
  }

  /** Decodes what was noted: before the bytes under it go away, and when the block is full. */
  decode(): void {
    const { block } = this
    if (block.rows === 0) return
    const bad = new Map<number, number>()
    this.#append((row, column) => bad.set(row, bad.get(row) ?? column))
    if (bad.size > 0) this.#setBadAside(bad)
    this.#decoded += block.rows
    block.rows = 0
  }

  /** A row that is too large to take, counted from the one noted last (1): what is left of it is a delete of its key. */
  setAside(fromEnd: number, reject: RowReject): void {
    const { block, relation } = this
    const row = block.rows - fromEnd
    const key = this.#keyAt(row)
    this.#needs.reject(this.#order[this.rows - fromEnd] as number, relation.table.name, { ...reject, key })
    this.#toDelete(row)
  }

  finish(): TableChanges {
    this.decode()
    const { relation } = this
    const rows = this.#decoded
    const batch = { rows, columns: this.#writers.map(writer => writer.finish(rows)) }
    const unchanged = this.#unchanged.map(bits => bits?.subarray(0, (rows + 7) >> 3) ?? null)
    const all = {
      table: relation.table.name,
      columns: relation.columns,
      rows: batch,
      ops: this.#ops.subarray(0, rows),
      order: this.#order.subarray(0, rows),
      unchanged,
    }
    return this.#left.size === 0 ? all : without(all, this.#left)
  }

  #append(bad: (row: number, column: number) => void): void {
    const rows = { from: 0, to: this.block.rows, at: this.#decoded }
    for (let c = 0; c < this.#writers.length; c++) {
      ;(this.#writers[c] as ColumnWriter).append(this.block, c, rows, row => bad(row, c))
    }
  }

  /**
   * A value that its type cannot hold is told with its row. As in a load the row is not taken: what stays is the delete of
   * its key, so that no older version lives on. Rare, and at most three times the work.
   */
  #setBadAside(bad: ReadonlyMap<number, number>): void {
    for (const writer of this.#writers) writer.cut(this.#decoded)
    for (const [row, column] of bad) {
      const value = this.#valueAt(row, column) ?? Buffer.alloc(0)
      const { name, type } = this.relation.columns[column]!
      const content = this.#shape.badValueText(type, value)
      const reject = badReject({ column: name, key: this.#keyAt(row), bytes: value.length, content })
      this.#needs.reject(this.#order[this.#decoded + row] as number, this.relation.table.name, reject)
      this.#toDelete(row)
    }
    const still = new Set<number>()
    this.#append(row => still.add(row))
    if (still.size === 0) return
    for (const writer of this.#writers) writer.cut(this.#decoded)
    for (const row of still) {
      this.#left.add(this.#decoded + row)
      for (let c = 0; c < this.#writers.length; c++) this.block.lengths[row * this.block.columns + c] = -1
    }
    this.#append(() => {})
  }

  #toDelete(row: number): void {
    const { block, relation } = this
    const place = this.#decoded + row
    if (relation.key.length === 0) this.#left.add(place)
    this.#ops[place] = changeOp.delete
    for (let c = 0; c < block.columns; c++) {
      if (!relation.key.includes(c)) block.lengths[row * block.columns + c] = -1
      const bits = this.#unchanged[c]
      if (bits != null) bits[place >> 3] = (bits[place >> 3] as number) & ~(1 << (place & 7))
    }
  }

  #keyAt(row: number): Readonly<Record<string, string | null>> | null {
    return keyOf(this.#shape, column => this.#valueAt(row, column))
  }

  #valueAt(row: number, column: number): Buffer | null {
    const { block } = this
    const cell = row * block.columns + column
    const length = block.lengths[cell] as number
    const from = block.positions[cell] as number
    return length < 0 ? null : block.bytes.subarray(from, from + length)
  }
}

/** A block for the rows of a relation. */
export function blockFor(relation: Relation, bytes: Buffer): Block {
  const block = newBlock(relation.columns.length)
  layOver(block, bytes)
  return block
}

function without(changes: TableChanges, left: ReadonlySet<number>): TableChanges {
  const kept = Array.from(changes.ops.keys()).filter(row => !left.has(row))
  return {
    ...changes,
    rows: withoutRows(changes.rows, left),
    ops: Uint8Array.from(kept, row => changes.ops[row] as number),
    order: Uint32Array.from(kept, row => changes.order[row] as number),
    unchanged: changes.unchanged.map(bits => (bits === null ? null : pickBits(bits, kept))),
  }
}

function pickBits(bits: Uint8Array, kept: readonly number[]): Uint8Array {
  const picked = new Uint8Array((kept.length + 7) >> 3)
  kept.forEach((row, i) => {
    if (((bits[row >> 3] as number) & (1 << (row & 7))) !== 0)
      picked[i >> 3] = (picked[i >> 3] as number) | (1 << (i & 7))
  })
  return picked
}
