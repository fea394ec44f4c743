import { changeOp } from '../../../../core/change-slice.ts'
import type { LogEvent } from '../../../../systems/mysql/binlog/events.ts'
import {
  CELL_ABSENT,
  CELL_NULL,
  newCells,
  readRow,
  rowsOf,
  type Cells,
  type LoggedRows,
} from '../../../../systems/mysql/binlog/rows.ts'
import { ProtocolError } from '../../../../systems/mysql/protocol.ts'
import { blockRows, layOver, newBlock, type Block } from '../../../../systems/wire/block.ts'
import { ShapeUnknown, type TablePlan } from './plan.ts'

/** Takes some changes of a table, with what happened to each; the block is used again after the call. */
export type TakeChanges = (plan: TablePlan, block: Block, ops: Uint8Array, bytes: number) => void

/** Turns the rows of one table in the log into changes: key columns first found, then compared, then laid out by column. */
export class RowDecoder {
  readonly #plan: TablePlan
  readonly #take: TakeChanges
  readonly #bytesMax: number
  readonly #before: Cells
  readonly #after: Cells
  readonly #block: Block
  readonly #blockRows: number
  readonly #ops: Uint8Array
  /** Where the bytes began that the block does not count yet. */
  #counted = 0

  constructor(plan: TablePlan, bytesMax: number, take: TakeChanges) {
    this.#plan = plan
    this.#take = take
    this.#bytesMax = bytesMax
    this.#before = newCells(plan.layouts.length)
    this.#after = newCells(plan.layouts.length)
    this.#block = newBlock(plan.columns.length)
    // An update may need two rows.
    this.#blockRows = blockRows(plan.columns.length) - 1
    this.#ops = new Uint8Array(this.#blockRows + 1)
  }

  /** Decodes an event of rows of this table. */
  decode(event: LogEvent): void {
    const { layouts } = this.#plan
    const rows = rowsOf(event, layouts.length, this.#bytesMax)
    const { bytes, before, after } = rows
    layOver(this.#block, bytes)
    this.#counted = 0
    for (let at = 0; at < bytes.length;) {
      const start = at
      if (before !== null) at = readRow(bytes, at, before, layouts, this.#before)
      if (after !== null) at = readRow(bytes, at, after, layouts, this.#after)
      if (at === start) throw new ProtocolError('the server sent rows without columns')
      this.#change(rows)
      if (this.#block.rows >= this.#blockRows) this.#give(at)
    }
    this.#give(bytes.length)
  }

  #give(end: number): void {
    if (this.#block.rows > 0) this.#take(this.#plan, this.#block, this.#ops, end - this.#counted)
    this.#counted = end
    this.#block.rows = 0
  }

  #change({ kind, bytes }: LoggedRows): void {
    switch (kind) {
      case 'insert':
        return this.#insert()
      case 'delete':
        return this.#delete()
      case 'update': {
        if (!this.#hasNewKey(bytes)) return this.#update(changeOp.update)
        this.#delete()
        return this.#update(changeOp.move)
      }
    }
  }

  #hasNewKey(bytes: Buffer): boolean {
    const [before, after] = [this.#before, this.#after]
    if (this.#plan.keys.length === 0) return true
    for (const place of this.#plan.keys) {
      const length = after.lengths[place] as number
      if (length === CELL_ABSENT) continue // it did not change
      if (length !== before.lengths[place]) return true
      if (length <= 0) continue
      const [a, b] = [before.positions[place] as number, after.positions[place] as number]
      if (bytes.compare(bytes, a, a + length, b, b + length) !== 0) return true
    }
    return false
  }

  #insert(): void {
    const { sources } = this.#plan
    const cell = this.#next(changeOp.insert)
    for (let c = 0; c < sources.length; c++) {
      const place = sources[c] as number
      if (this.#after.lengths[place] !== CELL_ABSENT) this.#lay(cell + c, this.#after, place)
      else if (this.#isNullByDefault(c)) this.#block.lengths[cell + c] = CELL_NULL
      else throw this.#missing(c, 'an insert')
    }
  }

  #isNullByDefault(column: number): boolean {
    const { table, columns } = this.#plan
    return table.nullDefaults.has(columns[column]?.name ?? '')
  }

  #delete(): void {
    const { sources, isKey } = this.#plan
    const cell = this.#next(changeOp.delete)
    for (let c = 0; c < sources.length; c++) {
      const place = sources[c] as number
      if (isKey[c] !== true) this.#block.lengths[cell + c] = CELL_NULL
      else if (this.#before.lengths[place] === CELL_ABSENT) throw this.#missing(c, 'a change')
      else this.#lay(cell + c, this.#before, place)
    }
  }

  #update(op: number): void {
    const { sources, isKey } = this.#plan
    const cell = this.#next(op)
    for (let c = 0; c < sources.length; c++) {
      const place = sources[c] as number
      const isHere = this.#after.lengths[place] !== CELL_ABSENT
      if (isHere) this.#lay(cell + c, this.#after, place)
      else if (this.#before.lengths[place] !== CELL_ABSENT) this.#lay(cell + c, this.#before, place)
      else if (isKey[c] === true) throw this.#missing(c, 'a change')
      else this.#block.lengths[cell + c] = CELL_ABSENT
    }
  }

  /** Begins a row; gives the place of its first cell. */
  #next(op: number): number {
    const { rows, columns } = this.#block
    this.#ops[rows] = op
    this.#block.rows++
    return rows * columns
  }

  #lay(cell: number, { positions, lengths }: Cells, place: number): void {
    this.#block.positions[cell] = positions[place] as number
    this.#block.lengths[cell] = lengths[place] as number
  }

  #missing(column: number, what: string): Error {
    const { table, columns } = this.#plan
    return new ShapeUnknown(
      `${what} of "${table.asked.remote}" has no value of "${columns[column]?.name}" in the log: binlog_row_image leaves it out`,
    )
  }
}
