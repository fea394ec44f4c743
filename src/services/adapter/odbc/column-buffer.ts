import { isUtf8 } from 'node:buffer'
import { fixedWidth, type ColumnData } from '../../../core/batch.ts'
import { daysOfDate } from '../../../core/dates.ts'
import type { ColumnType } from '../../../core/types.ts'
import { C } from './constants.ts'
import { parserOf, type Parse } from './parse.ts'
import type { ReadColumn } from './messages.ts'

/** Bytes of one value that a driver writes into a block; a longer one is fetched by itself. */
const BLOCK_VALUE_BYTES = 1024
/** Every number, date and time fits, in any spelling. */
const TEXT_BYTES = 96

/** How values of a column lie in the driver's block: C type and bytes of each, and how one is taken over. */
export interface Layout {
  readonly cType: number
  readonly width: number
  /** A value may be longer than `width`, and its rest is fetched. Otherwise a longer one is no value of the type. */
  readonly isLong: boolean
  readonly take: (out: ColumnBuffer, bytes: Buffer, from: number, length: number) => boolean
}

/** The layout of a column; `sizeMax` is the length in characters that the driver declares, 0 when it declares none. */
export function layoutOf({ type, via }: ReadColumn, sizeMax: number): Layout {
  const parse = parserOf(type)
  if (via === 'hex') return { cType: C.CHAR, width: BLOCK_VALUE_BYTES, isLong: true, take: takeHex }
  if (parse === null) return longLayout(type, via === 'native', sizeMax)
  const direct = via === 'native' ? nativeLayout(type) : null
  return direct ?? { cType: C.CHAR, width: TEXT_BYTES, isLong: false, take: takeParsed(parse) }
}

function longLayout(type: ColumnType, isNative: boolean, sizeMax: number): Layout {
  const fit = (unit: number): number =>
    sizeMax <= 0 || sizeMax > BLOCK_VALUE_BYTES ? BLOCK_VALUE_BYTES : Math.min(BLOCK_VALUE_BYTES, sizeMax * unit + unit)
  if (type.kind === 'bytes') return { cType: C.BINARY, width: fit(1), isLong: true, take: takeBytes }
  if (isNative) return { cType: C.WCHAR, width: fit(4), isLong: true, take: takeUtf16 }
  return { cType: C.CHAR, width: fit(4), isLong: true, take: takeUtf8 }
}

/** Types that a driver gives as they lie in a batch, or nearly so. */
function nativeLayout(type: ColumnType): Layout | null {
  const copy = (cType: number, width: number): Layout => ({ cType, width, isLong: false, take: takeFixed })
  switch (type.kind) {
    case 'bool':
      return copy(C.BIT, 1)
    case 'int':
      return type.bits === 16 ? copy(C.SSHORT, 2) : type.bits === 32 ? copy(C.SLONG, 4) : copy(C.SBIGINT, 8)
    case 'float':
      return type.bits === 32 ? copy(C.FLOAT, 4) : copy(C.DOUBLE, 8)
    case 'date':
      return { cType: C.DATE, width: 6, isLong: false, take: takeDate }
    case 'timestamp':
      return { cType: C.TIMESTAMP, width: 16, isLong: false, take: takeTimestamp }
    default:
      return null
  }
}

const takeFixed: Layout['take'] = (out, bytes, from) => {
  out.copy(bytes, from)
  return true
}

const takeParsed =
  (parse: Parse): Layout['take'] =>
  (out, bytes, from, length) =>
    parse(bytes.toString('latin1', from, from + length), out.view, out.rows)

const takeBytes: Layout['take'] = (out, bytes, from, length) => {
  out.append(bytes, from, length)
  return true
}

/** Two digits for each byte: for sources whose driver cannot tell bytes from text. */
const takeHex: Layout['take'] = (out, bytes, from, length) => {
  const value = Buffer.from(bytes.toString('latin1', from, from + length), 'hex')
  if (value.length * 2 !== length) return false
  out.append(value, 0, value.length)
  return true
}

const takeUtf8: Layout['take'] = (out, bytes, from, length) => {
  const start = out.used
  out.append(bytes, from, length)
  return isText(out.bytes, start, out.used)
}

/** No engine keeps a NUL in text, and bytes that are no UTF-8 are no text. */
function isText(bytes: Uint8Array, from: number, to: number): boolean {
  let isAscii = true
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number
    if (byte === 0) return false
    if (byte > 127) isAscii = false
  }
  return isAscii || isUtf8(bytes.subarray(from, to))
}

/** UTF-16 to UTF-8 without a string between them; false for half a pair and for NUL. */
const takeUtf16: Layout['take'] = (out, source, from, length) => {
  out.reserve(length * 2)
  const { bytes } = out
  let at = out.used
  for (let i = from; i + 1 < from + length; i += 2) {
    const unit = (source[i] as number) | ((source[i + 1] as number) << 8)
    if (unit === 0) return false
    if (unit < 0x80) {
      bytes[at++] = unit
    } else if (unit < 0x800) {
      bytes[at++] = 0xc0 | (unit >> 6)
      bytes[at++] = 0x80 | (unit & 63)
    } else if (unit < 0xd800 || unit > 0xdfff) {
      bytes[at++] = 0xe0 | (unit >> 12)
      bytes[at++] = 0x80 | ((unit >> 6) & 63)
      bytes[at++] = 0x80 | (unit & 63)
    } else {
      i += 2
      const low = i + 1 < from + length ? (source[i] as number) | ((source[i + 1] as number) << 8) : 0
      if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) return false
      const point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
      bytes[at++] = 0xf0 | (point >> 18)
      bytes[at++] = 0x80 | ((point >> 12) & 63)
      bytes[at++] = 0x80 | ((point >> 6) & 63)
      bytes[at++] = 0x80 | (point & 63)
    }
  }
  out.used = at
  return true
}

/** `DATE_STRUCT`: year, month, day in 16 bits each. */
const takeDate: Layout['take'] = (out, bytes, from) => {
  const days = daysOfDate(bytes.readInt16LE(from), bytes.readUInt16LE(from + 2), bytes.readUInt16LE(from + 4))
  if (days !== null) out.view.setInt32(out.rows * 4, days, true)
  return days !== null
}

/** `TIMESTAMP_STRUCT`: six 16-bit fields, then nanoseconds in 32 bits. What is finer than a microsecond is refused. */
const takeTimestamp: Layout['take'] = (out, bytes, from) => {
  const days = daysOfDate(bytes.readInt16LE(from), bytes.readUInt16LE(from + 2), bytes.readUInt16LE(from + 4))
  const [hour, minute, second] = [6, 8, 10].map(at => bytes.readUInt16LE(from + at)) as [number, number, number]
  const nanos = bytes.readUInt32LE(from + 12)
  if (days === null || hour > 23 || minute > 59 || second > 59 || nanos % 1000 !== 0) return false
  const seconds = (days * 24 + hour) * 3600 + minute * 60 + second
  out.view.setBigInt64(out.rows * 8, BigInt(seconds) * 1_000_000n + BigInt(nanos / 1000), true)
  return true
}

/** One column of a batch in the making. Its buffers are filled again for the next batch. */
export class ColumnBuffer {
  readonly #width: ReturnType<typeof fixedWidth>
  readonly #capacity: number
  readonly #validity: Uint8Array
  readonly #offsets: Uint32Array
  #nulls = 0
  /** Fixed values lie at `rows * width`; those that differ in length one after the other, up to `used`. */
  bytes: Uint8Array
  view: DataView
  used = 0
  rows = 0

  constructor(type: ColumnType, rowsMax: number) {
    this.#width = fixedWidth(type)
    this.#capacity = rowsMax
    this.#validity = new Uint8Array(Math.ceil(rowsMax / 8)).fill(255)
    this.#offsets = new Uint32Array(this.#width === null ? rowsMax + 1 : 0)
    this.bytes = new Uint8Array(this.#width === null ? 64 * 1024 : rowsMax * this.#width)
    this.view = new DataView(this.bytes.buffer)
  }

  /** Room for `length` more bytes of values that differ in length. */
  reserve(length: number): void {
    if (this.used + length <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.used + length))
    larger.set(this.bytes.subarray(0, this.used))
    this.bytes = larger
  }

  append(source: Buffer, from: number, length: number): void {
    this.reserve(length)
    this.bytes.set(source.subarray(from, from + length), this.used)
    this.used += length
  }

  copy(source: Buffer, from: number): void {
    const width = this.#width as number
    const at = this.rows * width
    for (let i = 0; i < width; i++) this.bytes[at + i] = source[from + i] as number
  }

  /** Many values at once that lie in `source` as they lie in a batch. */
  copyMany(source: Buffer, from: number, rows: number): void {
    const width = this.#width as number
    this.bytes.set(source.subarray(from * width, (from + rows) * width), this.rows * width)
  }

  /** Ends the value of a row. */
  next(): void {
    this.rows++
    if (this.#width === null) this.#offsets[this.rows] = this.used
  }

  skipNull(): void {
    this.markNull(this.rows)
    this.next()
  }

  markNull(row: number): void {
    this.#validity[row >> 3] = (this.#validity[row >> 3] as number) & ~(1 << (row & 7))
    this.#nulls++
  }

  /** Takes back what was appended of a value that is none. */
  undo(): void {
    if (this.#width === null) this.used = this.#offsets[this.rows] as number
  }

  get isFull(): boolean {
    return this.rows >= this.#capacity
  }

  /** What stands in it now. It is overwritten after `clear`. */
  peek(): ColumnData {
    const validity = this.#nulls === 0 ? null : this.#validity.subarray(0, Math.ceil(this.rows / 8))
    return this.#width === null
      ? {
          layout: 'bytes',
          validity,
          offsets: this.#offsets.subarray(0, this.rows + 1),
          data: this.bytes.subarray(0, this.used),
        }
      : { layout: 'fixed', width: this.#width, validity, data: this.bytes.subarray(0, this.rows * this.#width) }
  }

  clear(): void {
    if (this.#nulls > 0) this.#validity.fill(255)
    this.#nulls = 0
    this.rows = 0
    this.used = 0
    // One rare large value must not be held for the rest of the table.
    if (this.#width === null && this.bytes.length > 8 << 20) this.bytes = new Uint8Array(64 * 1024)
  }
}
