import type { ColumnBatch, ColumnData } from '../../../core/batch.ts'
import { doubled, escaped, plain, slashed, slashedQuoted, type Fields } from './csv-scan.ts'

/** A batch ends at this many bytes of values, well below the 8 MiB that a batch may have. */
const batchBytes = 4 << 20

/** Rows of a batch for one column; fewer for many columns, because each row costs 4 bytes in each. */
const batchRowsMax = 65_536
const offsetBytes = 2 << 20

/** A field up to this length is copied byte by byte: cheaper than a call. */
const shortBytes = 40

interface TextColumn {
  data: Uint8Array
  used: number
  readonly offsets: Uint32Array
  readonly validity: Uint8Array
  nulls: number
}

/** Text columns in the making: fields go in record by record, batches come out. */
export class TextColumns {
  readonly #columns: readonly TextColumn[]
  readonly #rowsMax: number
  readonly #lines: Float64Array
  /** Texts without quotes that mean NULL. */
  readonly #nulls: readonly Buffer[]
  #rows = 0
  #bytes = 0

  constructor(columns: number, nulls: readonly string[] = []) {
    this.#nulls = nulls.map(text => Buffer.from(text))
    this.#rowsMax = Math.max(2048, Math.min(batchRowsMax, Math.floor(offsetBytes / 4 / Math.max(1, columns))))
    this.#lines = new Float64Array(this.#rowsMax)
    this.#columns = Array.from({ length: columns }, () => ({
      data: new Uint8Array(64 << 10),
      used: 0,
      offsets: new Uint32Array(this.#rowsMax + 1),
      validity: new Uint8Array(Math.ceil(this.#rowsMax / 8)).fill(255),
      nulls: 0,
    }))
  }

  get rows(): number {
    return this.#rows
  }

  /** True when no further record may be added before `take`. */
  get full(): boolean {
    return this.#rows === this.#rowsMax || this.#bytes >= batchBytes
  }

  /** Adds one record: column `c` is field `sources[c]`. An empty field without quotes is NULL, with quotes empty text. */
  add(bytes: Uint8Array, fields: Fields, sources: Int32Array, line: number): void {
    const row = this.#rows
    for (let c = 0; c < this.#columns.length; c++) {
      const column = this.#columns[c] as TextColumn
      const field = sources[c] as number
      const start = fields.starts[field] as number
      const end = fields.ends[field] as number
      const mark = fields.marks[field] as number
      if (start === end) {
        if (mark === plain) setNull(column, row)
      } else if (
        (mark === plain || mark === slashed) &&
        this.#nulls.length > 0 &&
        isAmong(this.#nulls, bytes, start, end)
      ) {
        setNull(column, row)
      } else {
        if (column.used + end - start > column.data.length) grow(column, end - start)
        const before = column.used
        if (mark === doubled) copyHalved(column, bytes, start, end)
        else if (mark === escaped) copyUnescaped(column, bytes, start, end)
        else if (mark >= slashed) copySlashed(column, bytes, { start, end, mark, escape: fields.escape })
        else copy(column, bytes, start, end)
        this.#bytes += column.used - before
      }
      column.offsets[row + 1] = column.used
    }
    this.#lines[row] = line
    this.#rows++
  }

  /** The rows so far, in buffers of their own; the next batch begins. */
  take(): { readonly batch: ColumnBatch; readonly lines: Float64Array } {
    const rows = this.#rows
    const columns = this.#columns.map((column): ColumnData => ({
      layout: 'bytes',
      validity: column.nulls === 0 ? null : column.validity.slice(0, Math.ceil(rows / 8)),
      offsets: column.offsets.slice(0, rows + 1),
      data: column.data.slice(0, column.used),
    }))
    const lines = this.#lines.slice(0, rows)
    for (const column of this.#columns) {
      if (column.nulls > 0) column.validity.fill(255)
      column.nulls = 0
      column.used = 0
    }
    this.#rows = 0
    this.#bytes = 0
    return { batch: { rows, columns }, lines }
  }
}

function setNull(column: TextColumn, row: number): void {
  column.validity[row >> 3] = (column.validity[row >> 3] as number) & ~(1 << (row & 7))
  column.nulls++
}

function grow(column: TextColumn, more: number): void {
  const larger = new Uint8Array(Math.max(column.data.length * 2, column.used + more))
  larger.set(column.data.subarray(0, column.used))
  column.data = larger
}

function copy(column: TextColumn, bytes: Uint8Array, start: number, end: number): void {
  const { data } = column
  let to = column.used
  if (end - start > shortBytes) data.set(bytes.subarray(start, end), to)
  else for (let at = start; at < end; at++) data[to++] = bytes[at] as number
  column.used += end - start
}

/** Copies a quoted field in which each quote stands twice. */
function copyHalved(column: TextColumn, bytes: Uint8Array, start: number, end: number): void {
  const { data } = column
  const quote = bytes[end] // the closing one
  let to = column.used
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    data[to++] = byte
    if (byte === quote) at++
  }
  column.used = to
}

/** Copies a text of JSON; an escape is never shorter than the character it stands for. */
function copyUnescaped(column: TextColumn, bytes: Uint8Array, start: number, end: number): void {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
  column.used += Buffer.from(column.data.buffer).write(JSON.parse(`"${text}"`) as string, column.used)
}

/**
 * Copies a field without its escapes. Before a letter or a digit an escape is no escape but itself: what `\\n` and `\\0` mean
 * is another matter with each writer, and nothing is lost.
 */
function copySlashed(
  column: TextColumn,
  bytes: Uint8Array,
  {
    start,
    end,
    mark,
    escape,
  }: { readonly start: number; readonly end: number; readonly mark: number; readonly escape: number },
): void {
  const { data } = column
  const quote = mark === slashedQuoted ? bytes[end] : -1
  let to = column.used
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    const isEscape = byte === escape ? at + 1 < end && !isWord(bytes[at + 1] as number) : byte === quote
    if (isEscape) at++
    data[to++] = bytes[at] as number
  }
  column.used = to
}

function isWord(byte: number): boolean {
  const lower = byte | 32
  return (byte >= 48 && byte <= 57) || (lower >= 97 && lower <= 122)
}

function isAmong(texts: readonly Buffer[], bytes: Uint8Array, start: number, end: number): boolean {
  return texts.some(text => text.length === end - start && text.compare(bytes, start, end) === 0)
}
