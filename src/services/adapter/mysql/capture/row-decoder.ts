import { changeOp } from '../../../../core/change-slice.ts'
import type { LogEvent } from '../../../../systems/mysql/binlog/events.ts'
import {
  CELL_ABSENT,
  CELL_NULL,
  cutRowsOf,
  newCells,
  readCutRow,
  readRow,
  rowsOf,
  type Cells,
  type LoggedRows,
} from '../../../../systems/mysql/binlog/rows.ts'
import { ProtocolError } from '../../../../systems/mysql/protocol.ts'
import { blockRows, layOver, newBlock, type Block } from '../../../../systems/wire/block.ts'
import { ShapeUnknown, type TablePlan } from './plan.ts'

/** A row over the limit: what is left of it in the block is the delete of its key. */
export interface LargeRow {
  readonly bytes: number
  readonly detail: string
  /** The key was found: otherwise nothing of the row is left. */
  readonly hasKey: boolean
}

/** Some changes of a table, with what happened to each. */
export interface TakenRows {
  readonly plan: TablePlan
  readonly block: Block
  readonly ops: Uint8Array
  /** Those over the limit, by their place in the block. */
  readonly large: ReadonlyMap<number, LargeRow>
  /** Bytes that they take in the log. */
  readonly bytes: number
}

/** Takes some changes of a table; the block is used again after the call. */
export type TakeChanges = (rows: TakenRows) => void

/** Most bytes of a row, and of an event that is unpacked. */
export interface RowLimits {
  readonly row: number
  readonly event: number
}

/** Turns the rows of one table in the log into changes: key columns first found, then compared, then laid out by column. */
export class RowDecoder {
  readonly #plan: TablePlan
  readonly #take: TakeChanges
  readonly #limits: RowLimits
  readonly #large = new Map<number, LargeRow>()
  readonly #before: Cells
  readonly #after: Cells
  readonly #block: Block
  readonly #blockRows: number
  readonly #ops: Uint8Array
  /** Where the bytes began that the block does not count yet. */
  #counted = 0

  constructor(plan: TablePlan, limits: RowLimits, take: TakeChanges) {
    this.#plan = plan
    this.#take = take
    this.#limits = limits
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
    const rows = rowsOf(event, layouts.length, this.#limits.event)
    if (rows === null) return this.decodeCut(event, event.body.length)
    const { bytes, before, after } = rows
    layOver(this.#block, bytes)
    this.#counted = 0
    for (let at = 0; at < bytes.length;) {
      const start = at
      if (before !== null) at = readRow(bytes, at, before, layouts, this.#before)
      const middle = at
      if (after !== null) at = readRow(bytes, at, after, layouts, this.#after)
      if (at === start) throw new ProtocolError('the server sent rows without columns')
      this.#change(rows, { before: middle - start, after: at - middle })
      if (this.#block.rows >= this.#blockRows) this.#give(at)
    }
    this.#give(bytes.length)
  }

  /**
   * Takes what is there of an event over the limit: its row is told, and nothing older of it stays. A server puts a row over the
   * limit into an event of its own; of one that has others as well, which would be lost, it throws `ShapeUnknown`.
   */
  decodeCut(event: Pick<LogEvent, 'type' | 'body'>, size: number): void {
    const { layouts, table } = this.#plan
    const { kind, bytes, before, after, total } = cutRowsOf(event, layouts.length)
    layOver(this.#block, bytes)
    const images = [before, after].filter(image => image !== null)
    let end: number | null = 0
    for (const [i, image] of images.entries()) {
      const cells: Cells = i === 0 ? this.#before : this.#after
      const length: number | null = end === null ? null : readCutRow(bytes.subarray(end), image, layouts, cells)
      end = end === null || length === null ? null : end + length
    }
    if (end !== null && end < total) {
      const why = `binlog_row_event_max_size of the server is over the limit of a row (${this.#limits.row})`
      throw new ShapeUnknown(`several rows of "${table.asked.remote}" lie in one event of ${size} bytes: ${why}`)
    }
    const what = kind === 'update' ? 'the rows before and after an update have' : 'the row has'
    this.#setAside(this.#before, size, `${what} ${size} bytes in the log`)
    this.#give(0)
  }

  #give(end: number): void {
    const [block, ops, large] = [this.#block, this.#ops, this.#large]
    if (block.rows > 0) this.#take({ plan: this.#plan, block, ops, large, bytes: end - this.#counted })
    this.#counted = end
    block.rows = 0
    large.clear()
  }

  #change({ kind, bytes }: LoggedRows, size: { readonly before: number; readonly after: number }): void {
    const isLarge = size.after > this.#limits.row
    const tell = (): void => this.#setAside(this.#after, size.after, `the row has ${size.after} bytes`)
    switch (kind) {
      case 'insert':
        return isLarge ? tell() : this.#insert()
      case 'delete':
        return this.#goes(size.before)
      case 'update': {
        if (!this.#hasNewKey(bytes)) {
          if (!isLarge) return this.#update(changeOp.update)
          return this.#setAside(this.#before, size.after, `the row has ${size.after} bytes`)
        }
        this.#goes(size.before)
        return isLarge ? tell() : this.#update(changeOp.move)
      }
    }
  }

  /** A delete needs no more than the key; without one it is a row of its own, which was set aside when it came. */
  #goes(bytes: number): void {
    if (this.#plan.keys.length > 0 || bytes <= this.#limits.row) this.#delete()
    else this.#setAside(this.#before, bytes, `the row has ${bytes} bytes`)
  }

  #setAside(cells: Cells, bytes: number, found: string): void {
    const { columns, keys, sources, isKey } = this.#plan
    const hasKey = keys.length > 0 && keys.every(place => cells.lengths[place] !== CELL_ABSENT)
    const cell = this.#next(changeOp.delete)
    for (let c = 0; c < columns.length; c++) {
      if (hasKey && isKey[c] === true) this.#lay(cell + c, cells, sources[c] as number)
      else this.#block.lengths[cell + c] = CELL_NULL
    }
    this.#large.set(this.#block.rows - 1, { bytes, detail: `${found}; the limit is ${this.#limits.row}`, hasKey })
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
