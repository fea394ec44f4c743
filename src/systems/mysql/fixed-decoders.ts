import type { ColumnType } from '../../core/types.ts'
import type { Block } from '../wire/block.ts'
import type { Decoder } from '../wire/column-writer.ts'
import type { Validity } from '../wire/validity.ts'
import type { WriterNeeds } from './column-writer.ts'
import { decimalReader } from './decimal.ts'
import { WIRE, type WireColumn } from './protocol.ts'
import { daysAt, putMicros } from './temporal.ts'

/** One loop for each pair of column type and wire type; `null` when they do not go together. */
export function fixedDecoder(
  { type, wire, zeroDates }: WriterNeeds,
  out: ArrayBuffer,
  validity: Validity,
): Decoder | null {
  const view = new DataView(out)
  switch (type.kind) {
    case 'bool':
      return wire.type === WIRE.bit ? bits(out, 1, validity) : null
    case 'int':
      return ints(type, wire, out, validity)
    case 'decimal':
      return decimals(type, wire, view, validity)
    case 'float':
      if (type.bits === 32) return wire.type === WIRE.float ? words32(new Int32Array(out), validity) : null
      return wire.type === WIRE.double ? words64(new Int32Array(out), validity) : null
    case 'date':
      return wire.type === WIRE.date ? dates(new Int32Array(out), validity, zeroDates === 'null') : null
    case 'timestamp':
      return wire.type === WIRE.datetime || wire.type === WIRE.timestamp
        ? stamps(new Int32Array(out), validity, zeroDates === 'null')
        : null
    case 'time':
      return wire.type === WIRE.time ? loop(validity, timePut(new Int32Array(out))) : null
    case 'uuid':
      return loop(validity, uuidPut(new Uint8Array(out)))
    default:
      return null
  }
}

/** Decodes the value at `position` into row `row`; false when it does not fit. */
type Put = (block: Block, position: number, length: number, row: number) => boolean

/**
 * Makes a column loop around `put`. The most common types below have their loop written out: a call through `put` is
 * shared by all columns, and the compiler then cannot put it in line.
 */
function loop(validity: Validity, put: Put): Decoder {
  return (block, index, { from, to, at }, bad) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * block.columns + index
      const length = block.lengths[cell] as number
      if (length < 0) validity.setNull(row)
      else if (!put(block, block.positions[cell] as number, length, row)) bad(r)
    }
  }
}

function ints(
  { bits: wanted }: ColumnType & { readonly kind: 'int' },
  { type, unsigned }: WireColumn,
  out: ArrayBuffer,
  validity: Validity,
): Decoder | null {
  if (type === WIRE.bit) return bits(out, wanted, validity)
  const widest = wanted / 8
  switch (type) {
    case WIRE.tiny:
      return store(widest, out, validity, ({ view }, at) => (unsigned ? view.getUint8(at) : view.getInt8(at)))
    case WIRE.year:
    case WIRE.short:
      if (unsigned && widest === 2 && type === WIRE.short) return null
      return store(widest, out, validity, ({ view }, at) =>
        unsigned ? view.getUint16(at, true) : view.getInt16(at, true),
      )
    case WIRE.int24:
    case WIRE.long:
      if (widest === 2 || (unsigned && type === WIRE.long && widest === 4)) return null
      if (widest === 4 && type === WIRE.long) return words32(new Int32Array(out), validity)
      return store(widest, out, validity, ({ view }, at) =>
        unsigned ? view.getUint32(at, true) : view.getInt32(at, true),
      )
    case WIRE.longlong:
      return widest === 8 && !unsigned ? words64(new Int32Array(out), validity) : null
    default:
      return null
  }
}

/** Numbers up to 2^53 in 2, 4 or 8 bytes. */
function store(
  bytes: number,
  out: ArrayBuffer,
  validity: Validity,
  read: (block: Block, at: number) => number,
): Decoder {
  if (bytes === 8) {
    const words = new Int32Array(out)
    return loop(validity, (block, at, _, row) => {
      const value = read(block, at)
      words[row * 2] = value
      words[row * 2 + 1] = value < 0 ? -1 : 0
      return true
    })
  }
  const slots = bytes === 2 ? new Int16Array(out) : new Int32Array(out)
  return loop(validity, (block, at, _, row) => {
    slots[row] = read(block, at)
    return true
  })
}

function words32(out: Int32Array, validity: Validity): Decoder {
  return ({ view, columns, positions, lengths }, index, { from, to, at }) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      if ((lengths[cell] as number) < 0) validity.setNull(row)
      else out[row] = view.getInt32(positions[cell] as number, true)
    }
  }
}

function words64(out: Int32Array, validity: Validity): Decoder {
  return ({ view, columns, positions, lengths }, index, { from, to, at }) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      if ((lengths[cell] as number) < 0) {
        validity.setNull(row)
        continue
      }
      const position = positions[cell] as number
      out[row * 2] = view.getInt32(position, true)
      out[row * 2 + 1] = view.getInt32(position + 4, true)
    }
  }
}

/** A BIT value: its bytes, the most significant first. */
function bits(out: ArrayBuffer, wanted: 1 | 16 | 32 | 64, validity: Validity): Decoder {
  const view = new DataView(out)
  return loop(validity, ({ bytes }, position, length, row) => {
    const value = bigEndian(bytes, position, length)
    if (wanted === 1) view.setUint8(row, Number(value))
    else if (wanted === 16) view.setInt16(row * 2, Number(value), true)
    else if (wanted === 32) view.setInt32(row * 4, Number(value), true)
    else view.setBigInt64(row * 8, value, true)
    return value < 1n << BigInt(wanted === 1 ? 1 : wanted - 1)
  })
}

function bigEndian(bytes: Buffer, position: number, length: number): bigint {
  let value = 0n
  for (let i = 0; i < length; i++) value = (value << 8n) | BigInt(bytes[position + i] as number)
  return value
}

function decimals(
  type: ColumnType & { readonly kind: 'decimal' },
  { type: wire, unsigned }: WireColumn,
  out: DataView,
  validity: Validity,
): Decoder | null {
  if (wire === WIRE.newDecimal || wire === WIRE.decimal) {
    const put = decimalReader(type, out)
    return loop(validity, ({ bytes }, position, length, row) => put(bytes, position, position + length, row))
  }
  // Unsigned 64-bit numbers: decimal(20,0), 16 bytes.
  if (type.precision !== 20 || type.scale !== 0) return null
  if (wire === WIRE.bit) {
    return loop(validity, ({ bytes }, position, length, row) => {
      out.setBigUint64(row * 16, bigEndian(bytes, position, length), true)
      out.setBigInt64(row * 16 + 8, 0n, true)
      return true
    })
  }
  if (wire !== WIRE.longlong || !unsigned) return null
  return loop(validity, ({ view }, position, _, row) => {
    out.setInt32(row * 16, view.getInt32(position, true), true)
    out.setInt32(row * 16 + 4, view.getInt32(position + 4, true), true)
    out.setInt32(row * 16 + 8, 0, true)
    out.setInt32(row * 16 + 12, 0, true)
    return true
  })
}

/** A date has four bytes; none at all is the date of zeros. */
function dates(out: Int32Array, validity: Validity, zeroIsNull: boolean): Decoder {
  return ({ view, columns, positions, lengths }, index, { from, to, at }, bad) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      const length = lengths[cell] as number
      if (length < 0) {
        validity.setNull(row)
        continue
      }
      const days = length >= 4 ? daysAt(view, positions[cell] as number) : null
      if (days !== null) out[row] = days
      else if (zeroIsNull) validity.setNull(row)
      else bad(r)
    }
  }
}

/** A date with a time has 4, 7 or 11 bytes: what is zero at its end is left out. */
function stamps(out: Int32Array, validity: Validity, zeroIsNull: boolean): Decoder {
  return ({ view, columns, positions, lengths }, index, { from, to, at }, bad) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      const length = lengths[cell] as number
      if (length < 0) {
        validity.setNull(row)
        continue
      }
      const position = positions[cell] as number
      const days = length >= 4 ? daysAt(view, position) : null
      if (days !== null) {
        const clock = length >= 7 ? secondsAt(view, position + 4) : 0
        putMicros(out, row, days * 86_400 + clock, length >= 11 ? view.getUint32(position + 7, true) : 0)
      } else if (zeroIsNull) validity.setNull(row)
      else bad(r)
    }
  }
}

function secondsAt(view: DataView, at: number): number {
  return view.getUint8(at) * 3600 + view.getUint8(at + 1) * 60 + view.getUint8(at + 2)
}

const DAY_SECONDS = 86_400

/** A time has 0, 8 or 12 bytes: sign, days, clock, microseconds. The server's is a duration; ours is a time of day. */
function timePut(out: Int32Array): Put {
  return ({ view }, at, length, row) => {
    if (length === 0) {
      putMicros(out, row, 0, 0)
      return true
    }
    const isNegative = view.getUint8(at) !== 0
    const seconds = view.getUint32(at + 1, true) * DAY_SECONDS + secondsAt(view, at + 5)
    const micros = length >= 12 ? view.getUint32(at + 8, true) : 0
    if (isNegative || seconds > DAY_SECONDS || (seconds === DAY_SECONDS && micros > 0)) return false
    putMicros(out, row, seconds, micros)
    return true
  }
}

/** MariaDB sends a UUID as its 36 letters. */
function uuidPut(out: Uint8Array): Put {
  return ({ bytes }, position, length, row) => {
    const hex = bytes.toString('latin1', position, position + length).replaceAll('-', '')
    if (!/^[0-9a-f]{32}$/i.test(hex)) return false
    for (let i = 0; i < 16; i++) out[row * 16 + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)
    return true
  }
}
