import { cellText } from '../../../core/cell-text.ts'
import { fixedWidth, isValid, type ColumnData } from '../../../core/batch.ts'
import { withoutRows } from '../../../core/batch-rows.ts'
import { typeText } from '../../../core/types.ts'
import type { RowReject, SourceBatch } from '../contract.ts'
import { ColumnBuffer, layoutOf, type Layout } from './column-buffer.ts'
import { ATTR, C, ODBC } from './constants.ts'
import type { Handles } from './handles.ts'
import type { ReadColumn, ReadJob } from './messages.ts'

/** Bytes and rows of one block that the driver fills, and of one batch. */
const BLOCK_BYTES = 2 << 20
const ROWS_MAX = 4096
const REJECTS_MAX = 1000
/** Characters kept of an offending value. */
const CONTENT_CHARS = 1000
const POSITION = 0

interface Bound {
  readonly column: ReadColumn
  readonly layout: Layout
  /** The driver's block: `rows * width` bytes, and the length of each value in the low half of 64 bits. */
  readonly block: Buffer
  readonly lengths: Int32Array
  readonly lengthBytes: Buffer
  readonly out: ColumnBuffer
}

/** A value that was too long for the block, or is too long at all. */
interface LongValue {
  readonly bytes: Buffer
  readonly length: number
  /** Its whole length, when it was not read to its end. */
  readonly total: number
}

/**
 * Takes the rows of an executed statement column by column: the driver fills blocks, and each column of a block is
 * decoded by itself into the batch.
 */
export class Fetcher {
  readonly #handles: Handles
  readonly #statement: bigint
  readonly #job: ReadJob
  readonly #columns: readonly Bound[]
  readonly #blockRows: number
  readonly #fetched = Buffer.alloc(8)
  readonly #status: Buffer
  readonly #keyAt: readonly number[]
  #scratch = Buffer.alloc(128 * 1024)
  #rowBytes: Float64Array
  /** Rows of the batch that are set aside, with their reason. */
  #bad = new Map<number, Omit<RowReject, 'key' | 'line'>>()

  constructor(handles: Handles, statement: bigint, job: ReadJob) {
    this.#handles = handles
    this.#statement = statement
    this.#job = job
    const layouts = job.columns.map((column, i) => layoutOf(column, this.#sizeOf(i + 1)))
    const rowWidth = layouts.reduce((sum, { width }) => sum + width + 8, 0)
    const inBlocks = Math.max(1, Math.min(ROWS_MAX, Math.floor(BLOCK_BYTES / Math.max(1, rowWidth))))
    this.#blockRows = job.oneByOne && layouts.some(layout => layout.isLong) ? 1 : inBlocks
    this.#status = Buffer.alloc(2 * this.#blockRows)
    this.#rowBytes = new Float64Array(ROWS_MAX)
    this.#setBlock()
    this.#columns = job.columns.map((column, i) => this.#bind(column, layouts[i] as Layout, i + 1))
    this.#keyAt = job.key.map(name => job.columns.findIndex(column => column.name === name))
  }

  /** The batches of the rows. A batch is overwritten by the next one. */
  async *batches(): AsyncGenerator<SourceBatch, void> {
    const { library } = this.#handles
    for (;;) {
      const result =
        this.#blockRows === 1 ? library.SQLFetch(this.#statement) : await library.SQLFetch.later(this.#statement)
      if (!this.#handles.checkStatement(result, this.#statement)) break
      const rows = this.#fetched.readUInt32LE()
      this.#refuseBrokenRows(rows)
      for (let from = 0; from < rows;) {
        const to = this.#cut(from, rows)
        if (this.#rows > 0 && this.#rows + (to - from) > ROWS_MAX) yield* this.#handOver()
        this.#decode(from, to)
        from = to
        if (this.#isFull) yield* this.#handOver()
      }
    }
    if (this.#rows > 0) yield* this.#handOver()
  }

  /** Gives the batch away; its buffers are filled again once it was taken. */
  *#handOver(): Generator<SourceBatch, void> {
    yield this.#take()
    this.#bad = new Map()
    for (const { out } of this.#columns) out.clear()
  }

  get #rows(): number {
    return this.#columns[0]?.out.rows ?? 0
  }

  get #isFull(): boolean {
    if (this.#rows >= ROWS_MAX || this.#bad.size >= REJECTS_MAX) return true
    return this.#columns.reduce((sum, { out }) => sum + out.used, 0) >= BLOCK_BYTES
  }

  #setBlock(): void {
    const { library } = this.#handles
    const set = (attribute: number, value: bigint | Buffer): void =>
      void this.#handles.checkStatement(library.SQLSetStmtAttrW(this.#statement, attribute, value, 0), this.#statement)
    set(ATTR.ROW_ARRAY_SIZE, BigInt(this.#blockRows))
    set(ATTR.ROWS_FETCHED_PTR, this.#fetched)
    set(ATTR.ROW_STATUS_PTR, this.#status)
  }

  #bind(column: ReadColumn, layout: Layout, index: number): Bound {
    // Room for 8 bytes each: MariaDB's driver lays floats so, whatever width it is told.
    const block = Buffer.alloc(Math.max(8, layout.width) * this.#blockRows)
    const lengthBytes = Buffer.from(new ArrayBuffer(8 * this.#blockRows))
    const lengths = new Int32Array(lengthBytes.buffer)
    const { library } = this.#handles
    const result = library.SQLBindCol(this.#statement, index, layout.cType, block, layout.width, lengthBytes)
    this.#handles.checkStatement(result, this.#statement)
    return { column, layout, block, lengths, lengthBytes, out: new ColumnBuffer(column.type, ROWS_MAX) }
  }

  #sizeOf(index: number): number {
    const [size, ignored] = [Buffer.alloc(8), Buffer.alloc(512)]
    const { library } = this.#handles
    const result = library.SQLDescribeColW(
      this.#statement,
      index,
      ignored,
      ignored.length / 2,
      Buffer.alloc(2),
      Buffer.alloc(2),
      size,
      Buffer.alloc(2),
      Buffer.alloc(2),
    )
    this.#handles.checkStatement(result, this.#statement)
    return size.readInt32LE()
  }

  /** A driver marks a row that it could not give; such a row must not pass as one of empty values. */
  #refuseBrokenRows(rows: number): void {
    for (let row = 0; row < rows; row++) {
      const status = this.#status.readUInt16LE(row * 2)
      if (status === 5) throw new Error(`the driver could not give row ${row + 1} of a block`)
    }
  }

  /** Where the next batch ends: before its long values pass the limit. */
  #cut(from: number, rows: number): number {
    let bytes = 0
    const longs = this.#columns.filter(({ layout }) => layout.isLong)
    for (let row = from; row < rows; row++) {
      for (const { lengths, layout } of longs) {
        const length = lengths[row * 2] as number
        if (length === ODBC.NO_TOTAL) bytes += BLOCK_BYTES
        else if (length > layout.width) bytes += length
      }
      if (bytes > BLOCK_BYTES) return row === from ? row + 1 : row
    }
    return rows
  }

  #decode(from: number, to: number): void {
    const start = this.#rows
    this.#rowBytes.fill(0, start, start + to - from)
    for (const [index, bound] of this.#columns.entries()) this.#decodeColumn(bound, index, from, to)
    const limit = this.#job.rowBytesMax
    for (let row = start; row < start + to - from; row++) {
      if ((this.#rowBytes[row] as number) > limit && !this.#bad.has(row)) this.#rejectLarge(row)
    }
  }

  #decodeColumn(bound: Bound, index: number, from: number, to: number): void {
    const { layout, lengths, out, block } = bound
    const width = fixedWidth(bound.column.type)
    if (width === layout.width && layout.cType !== C.DATE && layout.cType !== C.TIMESTAMP) {
      out.copyMany(block, from, to - from)
      for (let row = from; row < to; row++) {
        if (lengths[row * 2] === ODBC.NULL_DATA) out.markNull(out.rows)
        out.rows++
      }
      return
    }
    for (let row = from; row < to; row++) {
      const length = lengths[row * 2] as number
      if (length === ODBC.NULL_DATA) out.skipNull()
      else this.#decodeValue(bound, index, row, length)
    }
  }

  #decodeValue(bound: Bound, index: number, row: number, length: number): void {
    const { layout, out, block } = bound
    const ending = layout.cType === C.CHAR ? 1 : layout.cType === C.WCHAR ? 2 : 0
    const isWhole = length >= 0 && length <= layout.width - ending
    if (isWhole || !layout.isLong) {
      const kept = isWhole ? length : layout.width - ending
      const fits = isWhole && layout.take(out, block, row * layout.width, length)
      this.#endValue(bound, fits, block, row * layout.width, kept)
      return
    }
    const long = this.#readLong(index, row, layout.cType)
    this.#rowBytes[out.rows] = (this.#rowBytes[out.rows] as number) + long.total - long.length
    const fits = layout.take(out, long.bytes, 0, long.length)
    this.#endValue(bound, fits || long.total > long.length, long.bytes, 0, long.length)
  }

  #endValue(bound: Bound, fits: boolean, bytes: Buffer, from: number, length: number): void {
    const { out, column, layout } = bound
    if (layout.isLong) {
      const start = (out.peek() as Extract<ColumnData, { layout: 'bytes' }>).offsets[out.rows] ?? 0
      this.#rowBytes[out.rows] = (this.#rowBytes[out.rows] as number) + (fits ? out.used - start : length)
    }
    if (fits) return out.next()
    if (!this.#bad.has(out.rows)) {
      const content = contentOf(layout.cType, bytes, from, length)
      const detail = `column "${column.name}" is ${typeText(column.type)}, and the value is none`
      this.#bad.set(out.rows, { reason: 'VALUE_NOT_IN_TYPE', detail, bytes: length, content })
    }
    out.undo()
    out.skipNull()
  }

  #rejectLarge(row: number): void {
    const bytes = this.#rowBytes[row] as number
    const largest = this.#columns
      .filter(({ layout }) => layout.isLong)
      .map(({ column, out }) => headText(column, out.peek(), row))
      .reduce((a, b) => (b.length > a.length ? b : a), '')
    const detail = `the row has ${bytes} bytes, the limit is ${this.#job.rowBytesMax}`
    this.#bad.set(row, { reason: 'VALUE_TOO_LARGE', detail, bytes, content: largest })
  }

  /** Fetches a value that is longer than the block holds: whole up to the limit of a row, its head otherwise. */
  #readLong(index: number, row: number, cType: number): LongValue {
    const { library } = this.#handles
    const check = (result: number): boolean => this.#handles.checkStatement(result, this.#statement)
    if (this.#blockRows > 1) check(library.SQLSetPos(this.#statement, row + 1, POSITION, 0))
    const ending = cType === C.CHAR ? 1 : cType === C.WCHAR ? 2 : 0
    // Characters of two bytes may be one byte of text each.
    const limit = this.#job.rowBytesMax * (cType === C.WCHAR ? 2 : 1)
    const length = Buffer.alloc(8)
    for (let at = 0; ;) {
      const room = (this.#scratch.length - at - ending) & ~1
      const part = this.#scratch.subarray(at, at + room + ending)
      if (!check(library.SQLGetData(this.#statement, index + 1, cType, part, part.length, length))) {
        return { bytes: this.#scratch, length: at, total: at }
      }
      const left = length.readInt32LE()
      if (left >= 0 && left <= room) return { bytes: this.#scratch, length: at + left, total: at + left }
      const total = left === ODBC.NO_TOTAL ? at + room + 1 : at + left
      at += room
      if (total > limit || at > limit) return { bytes: this.#scratch, length: at, total: Math.max(total, limit + 1) }
      this.#grow(left === ODBC.NO_TOTAL ? this.#scratch.length * 2 : total + ending + 2)
    }
  }

  #grow(bytes: number): void {
    const larger = Buffer.alloc(Math.max(bytes, this.#scratch.length * 2))
    this.#scratch.copy(larger)
    this.#scratch = larger
  }

  /** The batch without the rows that are set aside. */
  #take(): SourceBatch {
    const data = this.#columns.map(({ out }) => out.peek())
    const rows = this.#rows
    const rejects = [...this.#bad].map(([row, bad]): RowReject => ({ ...bad, key: this.#keyOf(data, row), line: null }))
    const batch =
      this.#bad.size === 0 ? { rows, columns: data } : withoutRows({ rows, columns: data }, new Set(this.#bad.keys()))
    return { batch, rejects }
  }

  #keyOf(data: readonly ColumnData[], row: number): RowReject['key'] {
    if (this.#keyAt.includes(-1)) return null
    const parts = this.#keyAt.map(at => {
      const { name, type } = this.#job.columns[at] as ReadColumn
      return [name, cellText(type, data[at] as ColumnData, row)] as const
    })
    return parts.some(([, text]) => text === null) ? null : Object.fromEntries(parts)
  }
}

function contentOf(cType: number, bytes: Buffer, from: number, length: number): string {
  if (cType === C.WCHAR)
    return bytes.toString('utf16le', from, from + Math.min(length, CONTENT_CHARS * 2)).toWellFormed()
  if (cType === C.CHAR) return bytes.toString('utf8', from, from + Math.min(length, CONTENT_CHARS))
  return `\\x${bytes.toString('hex', from, from + Math.min(length, CONTENT_CHARS / 2))}`
}

function headText({ type }: ReadColumn, data: ColumnData, row: number): string {
  if (data.layout !== 'bytes' || !isValid(data.validity, row)) return ''
  const [from, to] = [data.offsets[row] as number, data.offsets[row + 1] as number]
  const head = Buffer.from(data.data.subarray(from, Math.min(to, from + CONTENT_CHARS)))
  return type.kind === 'bytes' ? head.toString('hex') : head.toString('utf8')
}
