import native from '@duckdb/node-bindings'
import { fixedWidth, isValid, type ColumnBatch, type ColumnData } from '../../../core/batch.ts'
import { typeText, type ColumnDef } from '../../../core/types.ts'
import { isJson } from '../../../systems/cells/json-scan.ts'
import type { RowReject, SourceBatch } from '../contract.ts'

/** Bytes of DuckDB's string slot, and of the text that fits into it: length in 4 bytes, then the text or a pointer. */
const SLOT_BYTES = 16
const INLINE_BYTES = 12

interface Reading {
  /** Rows of the file before this chunk. */
  readonly before: number
  readonly maxValueBytes: number
  readonly reject: (row: number, detail: string, content: string) => RowReject
}

/**
 * Copies the vectors of a chunk into a batch: the declared columns, then one of text that says why a row is rejected
 * (`<column>\n<value>`), or NULL.
 */
export function readChunk(chunk: native.DataChunk, columns: readonly ColumnDef[], given: Reading): SourceBatch {
  const rows = native.data_chunk_get_size(chunk)
  const rejects = new Map<number, RowReject>()
  const number = (row: number): number => given.before + row + 1
  const why = readTexts(native.data_chunk_get_vector(chunk, columns.length), rows, Number.POSITIVE_INFINITY)
  why.texts((row, text) => {
    const [name = '', ...value] = text.split('\n')
    const type = columns.find(column => column.name === name)?.type
    const detail = `${name} is not in ${type === undefined ? 'its type' : typeText(type)}`
    rejects.set(row, given.reject(number(row), detail, value.join('\n')))
  })
  const vectors = columns.map(({ name, type }, i) => {
    const vector = native.data_chunk_get_vector(chunk, i)
    const width = fixedWidth(type)
    if (width !== null) return readFixed(vector, rows, width, type.kind === 'uuid')
    const texts = readTexts(vector, rows, given.maxValueBytes)
    for (const { row, bytes } of texts.large) {
      const detail = `${name} has ${bytes} bytes; ${given.maxValueBytes} is the most (maxValueBytes)`
      rejects.set(row, { ...given.reject(number(row), detail, ''), reason: 'VALUE_TOO_LARGE', bytes })
    }
    // What no text in SQL can hold: rarely there, so all bytes are looked at together first.
    if (type.kind !== 'bytes' && texts.column.data.includes(0)) {
      texts.texts((row, text) => {
        if (text.includes('\0')) rejects.set(row, given.reject(number(row), `${name} holds a NUL character`, text))
      })
    }
    if (type.kind === 'json') {
      const { data, offsets, validity } = texts.column
      for (let row = 0; row < rows; row++) {
        if (!isValid(validity, row) || rejects.has(row)) continue
        const value = data.subarray(offsets[row], offsets[row + 1])
        if (isJson(value)) continue
        rejects.set(row, given.reject(number(row), `${name} is not in json`, Buffer.from(value).toString()))
      }
    }
    return texts.column
  })
  const kept = Int32Array.from({ length: rows }, (_, row) => row).filter(row => !rejects.has(row))
  const lines = Float64Array.from(kept, number)
  const picked = rejects.size === 0 ? vectors : vectors.map(column => pick(column, kept))
  return { batch: { rows: kept.length, columns: picked }, lines, rejects: [...rejects.values()] }
}

/** Copies the vectors of a chunk whose values are known to be of these types. */
export function chunkColumns(chunk: native.DataChunk, columns: readonly ColumnDef[]): ColumnBatch {
  const rows = native.data_chunk_get_size(chunk)
  const vectors = columns.map(({ type }, i) => {
    const vector = native.data_chunk_get_vector(chunk, i)
    const width = fixedWidth(type)
    if (width !== null) return readFixed(vector, rows, width, type.kind === 'uuid')
    return readTexts(vector, rows, Number.POSITIVE_INFINITY).column
  })
  return { rows, columns: vectors }
}

function validityOf(vector: native.Vector, rows: number): Uint8Array | null {
  const bytes = native.vector_get_validity(vector, Math.ceil(rows / 64) * 8) as Uint8Array | null
  return bytes === null ? null : bytes.slice(0, Math.ceil(rows / 8))
}

type FixedColumn = Extract<ColumnData, { layout: 'fixed' }>
type BytesColumn = Extract<ColumnData, { layout: 'bytes' }>

function readFixed(vector: native.Vector, rows: number, width: FixedColumn['width'], isUuid: boolean): FixedColumn {
  const data = native.vector_get_data(vector, rows * width).slice()
  if (isUuid) for (let row = 0; row < rows; row++) turnUuid(data.subarray(row * 16, row * 16 + 16))
  return { layout: 'fixed', width, validity: validityOf(vector, rows), data }
}

/** A UUID is a 128-bit integer, least byte first, with its top bit flipped so that it sorts as the text does. */
function turnUuid(value: Uint8Array): void {
  value[15] = (value[15] as number) ^ 0x80
  value.reverse()
}

interface Texts {
  readonly column: BytesColumn
  /** Values over the limit: they are not in the column. */
  readonly large: readonly { readonly row: number; readonly bytes: number }[]
  texts(each: (row: number, text: string) => void): void
}

function readTexts(vector: native.Vector, rows: number, maxBytes: number): Texts {
  const validity = validityOf(vector, rows)
  const slots = native.vector_get_data(vector, rows * SLOT_BYTES)
  const words = new Uint32Array(slots.buffer, slots.byteOffset, rows * 4)
  const offsets = new Uint32Array(rows + 1)
  const large: { row: number; bytes: number }[] = []
  let total = 0
  for (let row = 0; row < rows; row++) {
    const length = isValid(validity, row) ? (words[row * 4] as number) : 0
    if (length > maxBytes) large.push({ row, bytes: length })
    else total += length
    offsets[row + 1] = total
  }
  const data = Buffer.allocUnsafe(total)
  for (let row = 0; row < rows; row++) {
    const to = offsets[row] as number
    const length = (offsets[row + 1] as number) - to
    if (length === 0) continue
    const slot = row * SLOT_BYTES
    if (length <= INLINE_BYTES) for (let i = 0; i < length; i++) data[to + i] = slots[slot + 4 + i] as number
    else data.set(native.get_data_from_pointer(slots.buffer as ArrayBuffer, slots.byteOffset + slot + 8, length), to)
  }
  const texts = (each: (row: number, text: string) => void): void => {
    for (let row = 0; row < rows; row++) {
      if (isValid(validity, row)) each(row, data.toString('utf8', offsets[row], offsets[row + 1]))
    }
  }
  return { column: { layout: 'bytes', validity, offsets, data }, large, texts }
}

/** The column with some of its rows only. */
function pick(column: ColumnData, kept: Int32Array): ColumnData {
  const validity = column.validity === null ? null : new Uint8Array(Math.ceil(kept.length / 8))
  kept.forEach((from, to) => {
    if (validity !== null && isValid(column.validity, from)) {
      validity[to >> 3] = (validity[to >> 3] as number) | (1 << (to & 7))
    }
  })
  if (column.layout === 'fixed') {
    const { width } = column
    const data = new Uint8Array(kept.length * width)
    kept.forEach((from, to) => data.set(column.data.subarray(from * width, (from + 1) * width), to * width))
    return { ...column, validity, data }
  }
  const parts = Array.from(kept, row => column.data.subarray(column.offsets[row], column.offsets[row + 1]))
  const offsets = new Uint32Array(kept.length + 1)
  parts.forEach((part, i) => (offsets[i + 1] = (offsets[i] as number) + part.length))
  return { layout: 'bytes', validity, offsets, data: Buffer.concat(parts) }
}
