import { lengthAt, ProtocolError, WIRE } from '../protocol.ts'
import { EVENT, inflated, inflatedBytes, inflatedHead, type LogEvent } from './events.ts'
import { decimalBytes } from './decimal.ts'
import { LOGGED, TABLE_ID_BYTES, type LoggedColumn } from './table-map.ts'

/** What an event of rows does. */
export type RowsKind = 'insert' | 'update' | 'delete'

interface RowsType {
  readonly kind: RowsKind
  readonly version: 1 | 2
  readonly isCompressed: boolean
}

const row = (kind: RowsKind, version: 1 | 2, isCompressed = false): RowsType => ({ kind, version, isCompressed })

const types: ReadonlyMap<number, RowsType> = new Map([
  [EVENT.writeRows1, row('insert', 1)],
  [EVENT.updateRows1, row('update', 1)],
  [EVENT.deleteRows1, row('delete', 1)],
  [EVENT.writeRows2, row('insert', 2)],
  [EVENT.updateRows2, row('update', 2)],
  [EVENT.deleteRows2, row('delete', 2)],
  [EVENT.writeRowsCompressed1, row('insert', 1, true)],
  [EVENT.updateRowsCompressed1, row('update', 1, true)],
  [EVENT.deleteRowsCompressed1, row('delete', 1, true)],
  [EVENT.writeRowsCompressed2, row('insert', 2, true)],
  [EVENT.updateRowsCompressed2, row('update', 2, true)],
  [EVENT.deleteRowsCompressed2, row('delete', 2, true)],
])

/** True for an event of rows. */
export function isRows(type: number): boolean {
  return types.has(type)
}

/** An event of rows, its rows not read yet. */
export interface LoggedRows {
  readonly kind: RowsKind
  /** The row as it was, of an update or a delete. */
  readonly before: Image | null
  /** The row as it is now, of an insert or an update. */
  readonly after: Image | null
  /** The rows, one behind the other. */
  readonly bytes: Buffer
}

/** Which columns the rows of an event have. */
export interface Image {
  /** Places of the columns that are there, in order. */
  readonly present: Uint16Array
  /** Every column of the table is there. */
  readonly isWhole: boolean
}

type RowsEvent = Pick<LogEvent, 'type' | 'body'>

/** Reads what stands before the rows. `columns` is how many the table has. `null` when the unpacked rows have more than `bytesMax`. */
export function rowsOf(event: RowsEvent, columns: number, bytesMax: number): LoggedRows | null {
  const { isCompressed, ...rows } = partsOf(event, columns)
  if (!isCompressed) return rows
  if (inflatedBytes(rows.bytes) > bytesMax) return null
  return { ...rows, bytes: inflated(rows.bytes, bytesMax) }
}

/** The same of an event that is too large or not all there: only the beginning, of rows that have `total` bytes where that is known. */
export function cutRowsOf(event: RowsEvent, columns: number): LoggedRows & { readonly total: number } {
  const { isCompressed, ...rows } = partsOf(event, columns)
  return isCompressed
    ? { ...rows, bytes: inflatedHead(rows.bytes), total: inflatedBytes(rows.bytes) }
    : { ...rows, total: Infinity }
}

function partsOf({ type, body }: RowsEvent, columns: number): LoggedRows & { readonly isCompressed: boolean } {
  const { kind, version, isCompressed } = types.get(type) as RowsType
  let at = TABLE_ID_BYTES + 2
  // The second version has room for more, with its own length before it.
  if (version === 2) at += body.length >= at + 2 ? body.readUInt16LE(at) : body.length
  const { value, next } = lengthAt(body, at)
  if (Number(value) !== columns) {
    throw new ProtocolError(`rows of ${value} columns follow a table that has ${columns}`)
  }
  const bitmapBytes = (columns + 7) >> 3
  const images = kind === 'update' ? 2 : 1
  at = next + bitmapBytes * images
  if (at > body.length) throw new ProtocolError('the server sent rows that are none')
  const first = imageOf(body.subarray(next, next + bitmapBytes), columns)
  const second = kind === 'update' ? imageOf(body.subarray(next + bitmapBytes, at), columns) : null
  const rest = body.subarray(at)
  return {
    kind,
    before: kind === 'insert' ? null : first,
    after: kind === 'insert' ? first : second,
    bytes: rest,
    isCompressed,
  }
}

function imageOf(bits: Buffer, columns: number): Image {
  const present: number[] = []
  for (let c = 0; c < columns; c++) if (((bits[c >> 3] as number) & (1 << (c & 7))) !== 0) present.push(c)
  return { present: Uint16Array.from(present), isWhole: present.length === columns }
}

/** Length of a cell that is NULL, and of one that the image does not have. */
export const CELL_NULL = -1
export const CELL_ABSENT = -2

/** Where the values of one row lie, by the place of their column in the table. */
export interface Cells {
  readonly positions: Int32Array
  readonly lengths: Int32Array
}

export function newCells(columns: number): Cells {
  return { positions: new Int32Array(columns), lengths: new Int32Array(columns).fill(CELL_ABSENT) }
}

/** How long the values of a column are: `bytes` each, or as the `prefix` bytes before a value say. */
export interface CellLayout {
  readonly prefix: 0 | 1 | 2 | 3 | 4
  readonly bytes: number
}

/** How a column's values lie in a row; `null` for a type that is not known. */
export function cellLayout({ type, size, scale }: LoggedColumn): CellLayout | null {
  const fixed = (bytes: number): CellLayout => ({ prefix: 0, bytes })
  switch (type) {
    case WIRE.tiny:
    case WIRE.year:
      return fixed(1)
    case WIRE.short:
      return fixed(2)
    case WIRE.int24:
    case WIRE.date:
    case LOGGED.newDate:
    case WIRE.time:
      return fixed(3)
    case WIRE.long:
    case WIRE.float:
    case WIRE.timestamp:
      return fixed(4)
    case WIRE.longlong:
    case WIRE.double:
    case WIRE.datetime:
      return fixed(8)
    case WIRE.newDecimal:
      return scale > size ? null : fixed(decimalBytes(size, scale))
    case WIRE.bit:
      return fixed((size + 7) >> 3)
    case LOGGED.timestamp2:
      return fixed(4 + fractionBytes(size))
    case LOGGED.datetime2:
      return fixed(5 + fractionBytes(size))
    case LOGGED.time2:
      return fixed(3 + fractionBytes(size))
    case LOGGED.enum:
    case LOGGED.set:
      return size >= 1 && size <= 8 ? fixed(size) : null
    case LOGGED.varchar:
    case LOGGED.varcharCompressed:
    case LOGGED.string:
    case LOGGED.varString:
      return { prefix: size > 255 ? 2 : 1, bytes: 0 }
    case LOGGED.blob:
    case LOGGED.blobCompressed:
    case WIRE.geometry:
    case WIRE.json:
      return size >= 1 && size <= 4 ? { prefix: size as 1 | 2 | 3 | 4, bytes: 0 } : null
    default:
      return null
  }
}

/** Bytes of the digits after the second. */
export function fractionBytes(digits: number): number {
  return (digits + 1) >> 1
}

/** Notes where the values of the row at `at` lie; gives where the next one begins. Throws when the row does not end within `bytes`. */
export function readRow(bytes: Buffer, at: number, image: Image, layouts: readonly CellLayout[], cells: Cells): number {
  const { present, isWhole } = image
  const { positions, lengths } = cells
  if (!isWhole) lengths.fill(CELL_ABSENT)
  let next = at + ((present.length + 7) >> 3)
  if (next > bytes.length) throw cutRow()
  for (let i = 0; i < present.length; i++) {
    const c = present[i] as number
    if (((bytes[at + (i >> 3)] as number) & (1 << (i & 7))) !== 0) {
      lengths[c] = CELL_NULL
      continue
    }
    const { prefix, bytes: width } = layouts[c] as CellLayout
    let length = width
    if (prefix > 0) {
      if (next + prefix > bytes.length) throw cutRow()
      length = prefix === 1 ? (bytes[next] as number) : bytes.readUIntLE(next, prefix)
      next += prefix
    }
    positions[c] = next
    lengths[c] = length
    next += length
    if (next > bytes.length) throw cutRow()
  }
  return next
}

/** The same for a row of which only the beginning is there: values that it does not reach are absent. Gives where the row ends; `null` when that is behind what is there. */
export function readCutRow(bytes: Buffer, image: Image, layouts: readonly CellLayout[], cells: Cells): number | null {
  const { present } = image
  const { positions, lengths } = cells
  lengths.fill(CELL_ABSENT)
  let next = (present.length + 7) >> 3
  for (let i = 0; i < present.length; i++) {
    const c = present[i] as number
    if (i >> 3 >= bytes.length) return null
    if (((bytes[i >> 3] as number) & (1 << (i & 7))) !== 0) {
      lengths[c] = CELL_NULL
      continue
    }
    const { prefix, bytes: width } = layouts[c] as CellLayout
    if (next + prefix > bytes.length) return null
    const length = prefix === 0 ? width : bytes.readUIntLE(next, prefix)
    next += prefix
    if (next + length > bytes.length) return null
    positions[c] = next
    lengths[c] = length
    next += length
  }
  return next
}

function cutRow(): Error {
  return new ProtocolError('the server sent a row that its values do not fill')
}
