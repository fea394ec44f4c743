import { fixedWidth } from '../../core/batch.ts'
import { cellText } from '../../core/cell-text.ts'
import type { RowReject } from '../../core/reject.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import { BytesBuffer, FixedBuffer } from './buffers.ts'
import { parseCell, putCell, type Cell, type Misfit } from './parse.ts'

/** A batch ends at this many bytes or rows, below the 8 MiB that a batch may have. */
const batchBytes = 2 << 20
const batchRows = 8192
const rejectsMax = 1000
/** Bytes kept of an offending value. */
const contentBytes = 1000

/** One value of a row: its text as UTF-8, a cell that is decoded already, why it is neither, or NULL. */
export type Value =
  | { readonly text: Uint8Array }
  | { readonly cell: Cell }
  | { readonly misfit: Misfit; readonly content: Uint8Array }
  | null

/**
 * Rows of typed values become column batches. A row with a value that its column does not hold, or one that is too large,
 * becomes a reject, and the others go on. Used by adapters whose systems give text or values one by one.
 */
export class CellBatches {
  readonly #columns: readonly ColumnDef[]
  readonly #key: readonly string[]
  readonly #bytesMax: number
  readonly #buffers: readonly (FixedBuffer | BytesBuffer)[]
  #rejects: RowReject[] = []
  #rows = 0
  #bytes = 0
  #lines: number[] = []
  /** The line of the source that the next rows and rejects are of; `null` where it has none. */
  line: number | null = null

  /** `key` names the key columns; a reject tells its key when all of them are among the columns. */
  constructor(columns: readonly ColumnDef[], key: readonly string[], bytesMax: number) {
    this.#columns = columns
    this.#key = key
    this.#bytesMax = bytesMax
    this.#buffers = columns.map(({ type }) => {
      const width = fixedWidth(type)
      return width === null ? new BytesBuffer() : new FixedBuffer(width)
    })
  }

  get full(): boolean {
    return this.#rows >= batchRows || this.#bytes >= batchBytes || this.#rejects.length >= rejectsMax
  }

  get empty(): boolean {
    return this.#rows === 0 && this.#rejects.length === 0
  }

  /**
   * Adds one row, its values in the order of the columns; false when it was set aside. `place` says for a reject where the
   * source has it. An `open` row may lack any value.
   */
  add(values: readonly Value[], place?: () => string, { open = false } = {}): boolean {
    const bytes = bytesOf(values)
    if (bytes > this.#bytesMax) {
      this.tooLarge(values, bytes, place)
      return false
    }
    const cells: (Cell | null)[] = []
    for (const [i, column] of this.#columns.entries()) {
      const value = values[i] ?? null
      const cell = open && value === null ? null : cellOf(column, value)
      if (typeof cell === 'string') {
        const detail = `column "${column.name}" ${cell}${placeText(place)}`
        this.reject('VALUE_NOT_IN_TYPE', detail, values, { bytes, content: contentOf(value) })
        return false
      }
      cells.push(cell)
    }
    for (const [i, cell] of cells.entries()) this.#put(i, cell)
    if (this.line !== null) this.#lines.push(this.line)
    this.#rows++
    this.#bytes += bytes + 8 * cells.length
    return true
  }

  /** Sets a row aside that has `bytes`; of its values only the key need be there. */
  tooLarge(values: readonly Value[], bytes: number, place?: () => string): void {
    const detail = `the row has ${bytes} bytes, the limit is ${this.#bytesMax}${placeText(place)}`
    const largest = values.reduce((a, b) => (sizeOf(b) > sizeOf(a) ? b : a), null)
    this.reject('VALUE_TOO_LARGE', detail, values, { bytes, content: contentOf(largest) })
  }

  /** Sets a row aside for a reason of the adapter's own; without `values` nobody knows which row it is. */
  reject(
    reason: RowReject['reason'],
    detail: string,
    values: readonly Value[] | null,
    found: { readonly bytes: number; readonly content: string },
  ): void {
    this.#rejects.push({ reason, detail, key: values === null ? null : this.#keyOf(values), line: this.line, ...found })
  }

  /** The rows so far, in buffers of their own; the next batch begins. */
  take(): {
    readonly batch: { rows: number; columns: ReturnType<BytesBuffer['take']>[] }
    readonly rejects: RowReject[]
    readonly lines?: Float64Array
  } {
    const batch = { rows: this.#rows, columns: this.#buffers.map(buffer => buffer.take(this.#rows)) }
    const rejects = this.#rejects
    const lines = this.#lines
    this.#rejects = []
    this.#rows = 0
    this.#bytes = 0
    this.#lines = []
    return { batch, rejects, ...(this.line !== null && { lines: Float64Array.from(lines) }) }
  }

  #put(index: number, cell: Cell | null): void {
    const buffer = this.#buffers[index] as FixedBuffer | BytesBuffer
    if (cell === null) buffer.setNull(this.#rows)
    else if (buffer instanceof BytesBuffer) buffer.put(this.#rows, cell as Uint8Array)
    else {
      const { view, offset } = buffer.at(this.#rows)
      putCell((this.#columns[index] as ColumnDef).type, view, offset, cell)
    }
  }

  #keyOf(values: readonly Value[]): Record<string, string | null> | null {
    const key: Record<string, string | null> = {}
    for (const name of this.#key) {
      const index = this.#columns.findIndex(column => column.name === name)
      const column = this.#columns[index]
      if (column === undefined) return null
      const cell = cellOf({ ...column, nullable: true }, values[index] ?? null)
      if (typeof cell === 'string') return null
      key[name] = cell === null ? null : oneText(column.type, cell)
    }
    return this.#key.length === 0 ? null : key
  }
}

function placeText(place: (() => string) | undefined): string {
  return place === undefined ? '' : ` (${place()})`
}

function bytesOf(values: readonly Value[]): number {
  return values.reduce((sum, value) => sum + sizeOf(value), 0)
}

function cellOf({ type, nullable }: ColumnDef, value: Value): Cell | null | Misfit {
  if (value === null) return nullable ? null : 'has no value'
  if ('misfit' in value) return value.misfit
  return 'cell' in value ? value.cell : parseCell(type, value.text)
}

function oneText(type: ColumnType, cell: Cell): string | null {
  const width = fixedWidth(type)
  const buffer = width === null ? new BytesBuffer() : new FixedBuffer(width)
  if (buffer instanceof BytesBuffer) buffer.put(0, cell as Uint8Array)
  else putCell(type, buffer.at(0).view, 0, cell)
  return cellText(type, buffer.take(1), 0)
}

function sizeOf(value: Value): number {
  if (value === null) return 0
  if ('text' in value) return value.text.length
  if ('misfit' in value) return value.content.length
  return value.cell instanceof Uint8Array ? value.cell.length : 8
}

/** The start of a value for people. It may end within a character, and hold what is no text. */
function contentOf(value: Value): string {
  if (value === null) return ''
  if ('cell' in value && !(value.cell instanceof Uint8Array)) return String(value.cell)
  const bytes = 'text' in value ? value.text : 'misfit' in value ? value.content : (value.cell as Uint8Array)
  const kept = bytes.subarray(0, contentBytes)
  return Buffer.from(kept.buffer, kept.byteOffset, kept.byteLength).toString('utf8')
}
