import native from '@duckdb/node-bindings'
import { fixedWidth, isValid, type ColumnData } from '../../core/batch.ts'
import { fail } from '../../core/errors.ts'
import { typeText, type ColumnDef, type ColumnType } from '../../core/types.ts'
import { duckdbApi } from './api.ts'

const { DuckDBTypeId } = duckdbApi

/** Rows of one DuckDB vector. */
export const VECTOR_ROWS = 2048

/** Bytes of DuckDB's string slot, and of the text that fits into it: length in 4 bytes, then the text or a pointer. */
const SLOT_BYTES = 16
const INLINE_BYTES = 12

/** A vector of the chunk that is filled again and again, and room to lay out what is not copied as it is. */
export interface Target {
  readonly vector: native.Vector
  readonly type: ColumnType
  readonly width: number
  readonly scratch: Uint8Array
  readonly scratchWords: Uint32Array
}

export function openTarget(vector: native.Vector, type: ColumnType): Target {
  const width = fixedWidth(type) ?? SLOT_BYTES
  const copied = fixedWidth(type) !== null && type.kind !== 'uuid'
  const scratch = new Uint8Array(copied ? 0 : VECTOR_ROWS * width)
  return { vector, type, width, scratch, scratchWords: new Uint32Array(scratch.buffer) }
}

/**
 * Refuses a table whose columns are laid out in another way than the batch. Without this check the copy
 * would write over memory that is not the vector's.
 */
export function checkTypes(table: string, types: readonly native.LogicalType[], columns: readonly ColumnDef[]): void {
  const refuse = (why: string): Error => fail('INTERNAL', { what: `rows for ${table} do not fit: ${why}` })
  if (types.length !== columns.length) throw refuse(`${columns.length} columns for ${types.length}`)
  columns.forEach(({ name, type }, i) => {
    const found = types[i] as native.LogicalType
    const same =
      (native.get_type_id(found) as number) === typeId(type) &&
      (type.kind !== 'decimal' ||
        (native.decimal_width(found) === type.precision && native.decimal_scale(found) === type.scale))
    if (!same) throw refuse(`column ${name} of the table is not ${typeText(type)}`)
  })
}

function typeId(type: ColumnType): number {
  switch (type.kind) {
    case 'bool':
      return DuckDBTypeId.BOOLEAN
    case 'int':
      return type.bits === 16 ? DuckDBTypeId.SMALLINT : type.bits === 32 ? DuckDBTypeId.INTEGER : DuckDBTypeId.BIGINT
    case 'float':
      return type.bits === 32 ? DuckDBTypeId.FLOAT : DuckDBTypeId.DOUBLE
    case 'decimal':
      return DuckDBTypeId.DECIMAL
    case 'text':
    case 'enum':
    case 'json':
      return DuckDBTypeId.VARCHAR
    case 'bytes':
      return DuckDBTypeId.BLOB
    case 'uuid':
      return DuckDBTypeId.UUID
    case 'date':
      return DuckDBTypeId.DATE
    case 'time':
      return DuckDBTypeId.TIME
    case 'timestamp':
      return type.zoned ? DuckDBTypeId.TIMESTAMP_TZ : DuckDBTypeId.TIMESTAMP
    case 'interval':
      return DuckDBTypeId.INTERVAL
  }
}

/** Refuses a column that holds less than it says: the copy reads without looking. */
export function checkColumn(target: Target, column: ColumnData, rows: number): void {
  const fits =
    column.layout === 'fixed'
      ? column.width === fixedWidth(target.type) && column.data.byteLength >= rows * column.width
      : fixedWidth(target.type) === null &&
        column.offsets.length > rows &&
        column.data.byteLength >= (column.offsets[rows] as number)
  if (fits && (column.validity === null || column.validity.byteLength >= bitBytes(rows))) return
  throw fail('INTERNAL', { what: `a batch whose column of ${typeText(target.type)} is too short for ${rows} rows` })
}

function bitBytes(rows: number): number {
  return (rows + 7) >> 3
}

/** Copies `rows` rows of a column, from row `from` on (a multiple of 2,048), into a vector that was reset. */
export function fillVector(target: Target, column: ColumnData, from: number, rows: number): void {
  const { vector, width, type } = target
  if (column.layout === 'bytes') copyBytes(target, column, from, rows)
  else if (type.kind === 'uuid') copyUuids(target, column.data, from, rows)
  else copyToVector(vector, column.data.subarray(from * width, (from + rows) * width))
  if (column.validity === null) return
  // After the bytes: a text that the engine does not take makes its row NULL.
  native.vector_ensure_validity_writable(vector)
  // The bits have the same order on both sides, and `from` is a multiple of 8.
  const bits = column.validity.subarray(from >> 3)
  native.copy_data_to_vector_validity(vector, 0, bits.buffer as ArrayBuffer, bits.byteOffset, bitBytes(rows))
}

function copyToVector(vector: native.Vector, bytes: Uint8Array): void {
  native.copy_data_to_vector(vector, 0, bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
}

type BytesColumn = Extract<ColumnData, { layout: 'bytes' }>

/**
 * A short text goes straight into its slot. Longer ones must lie in memory of the engine, and a call for each of them would
 * cost more than all the rest: the bytes of the column go over together, and every slot points to its part of them.
 */
function copyBytes(target: Target, column: BytesColumn, from: number, rows: number): void {
  const { vector, scratch } = target
  const hasLong = layOutShort(target, column, from, rows)
  if (hasLong) layOutLong(target, column, from, rows)
  copyToVector(vector, scratch.subarray(0, rows * SLOT_BYTES))
}

/** Lays out the slots of texts of at most 12 bytes, the others empty; true when there are others. */
function layOutShort({ scratch, scratchWords }: Target, column: BytesColumn, from: number, rows: number): boolean {
  const { offsets, data } = column
  scratchWords.fill(0, 0, rows * 4) // the padding takes part in comparisons
  let hasLong = false
  let start = offsets[from] as number
  for (let row = 0; row < rows; row++) {
    const end = offsets[from + row + 1] as number
    const length = end - start
    if (length <= INLINE_BYTES) {
      scratchWords[row * 4] = length
      const slot = row * SLOT_BYTES + 4 - start
      for (let i = start; i < end; i++) scratch[slot + i] = data[i] as number
    } else {
      hasLong = true
    }
    start = end
  }
  return hasLong
}

const TWO_32 = 4_294_967_296

/** Lays out the slots of longer texts: length, first four bytes, place. */
function layOutLong(target: Target, column: BytesColumn, from: number, rows: number): void {
  const { scratchWords } = target
  const { offsets, data } = column
  const place = placeTogether(target, column, from, rows)
  const first = offsets[from] as number
  let start = first
  for (let row = 0; row < rows; row++) {
    const end = offsets[from + row + 1] as number
    if (end - start > INLINE_BYTES) {
      const low = place.low + start - first
      const word = row * 4
      scratchWords[word] = end - start
      scratchWords[word + 1] =
        (data[start] as number) |
        ((data[start + 1] as number) << 8) |
        ((data[start + 2] as number) << 16) |
        ((data[start + 3] as number) << 24)
      scratchWords[word + 2] = low // modulo 2^32; the next word gets what is over
      scratchWords[word + 3] = place.high + (low >= TWO_32 ? 1 : 0)
    }
    start = end
  }
}

/** An address in memory of the engine, in two halves. */
interface Place {
  readonly low: number
  readonly high: number
}

/** Gives the engine the bytes of all rows as one text, which it keeps as long as what is in the vector, and tells where they lie. */
function placeTogether({ vector, type }: Target, column: BytesColumn, from: number, rows: number): Place {
  const starts = column.offsets.subarray(from, from + rows)
  const placeRows = (bytes: Uint8Array): Place | null =>
    type.kind !== 'bytes' && cutsCharacter(bytes, starts) ? null : placeOf(vector, bytes)
  const all = column.data.subarray(column.offsets[from], column.offsets[from + rows])
  const place = placeRows(all) ?? placeRows(withoutNulls(column, from, rows))
  if (place === null) throw fail('INTERNAL', { what: `a batch whose column of ${typeText(type)} is not in UTF-8` })
  return place
}

/** True when a character goes from one row into the next: together they are UTF-8, alone they are not. */
function cutsCharacter(bytes: Uint8Array, starts: Uint32Array): boolean {
  const first = starts[0] as number
  return starts.some(start => ((bytes[start - first] as number) & 0xc0) === 0x80)
}

/** The text's own slot says where the engine keeps it; `null` when the engine does not take it, because it is not UTF-8. */
function placeOf(vector: native.Vector, text: Uint8Array): Place | null {
  copyToVector(vector, emptySlot)
  native.vector_assign_string_element_len(vector, 0, text)
  const slot = native.vector_get_data(vector, SLOT_BYTES)
  const view = new DataView(slot.buffer, slot.byteOffset, SLOT_BYTES)
  if (view.getUint32(0, true) !== text.length) return null
  return { low: view.getUint32(8, true), high: view.getUint32(12, true) }
}

const emptySlot = new Uint8Array(SLOT_BYTES)

/** The bytes of the rows with zeros under NULL, where anything may lie. */
function withoutNulls({ offsets, data, validity }: BytesColumn, from: number, rows: number): Uint8Array {
  const first = offsets[from] as number
  const bytes = data.slice(first, offsets[from + rows])
  for (let row = from; row < from + rows; row++) {
    if (!isValid(validity, row)) bytes.fill(0, (offsets[row] as number) - first, (offsets[row + 1] as number) - first)
  }
  return bytes
}

/** A UUID is a 128-bit integer, least byte first, with its top bit flipped so that it sorts as the text does. */
function copyUuids({ vector, scratch }: Target, data: Uint8Array, from: number, rows: number): void {
  for (let row = 0; row < rows; row++) {
    const source = (from + row) * 16
    const last = row * 16 + 15
    for (let i = 0; i < 16; i++) scratch[last - i] = data[source + i] as number
    scratch[last] = (scratch[last] as number) ^ 0x80
  }
  copyToVector(vector, scratch.subarray(0, rows * 16))
}
