import { fixedWidth } from '../../core/batch.ts'
import type { ColumnType } from '../../core/types.ts'
import type { Block } from '../wire/block.ts'
import { fixedWriter, type ColumnWriter, type Decoder } from '../wire/column-writer.ts'
import { decimalWriter } from '../wire/decimal-writer.ts'
import type { Validity } from '../wire/validity.ts'
import { columnWriter, type WriterNeeds } from './column-writer.ts'
import { convertedWriter, type Conversion } from './converted-writer.ts'
import { dateOf, intervalOf, stampOf, timeOf } from './text-values.ts'

/** The writer of a column whose values come as the text that the server prints: of types without a binary form, and of old servers. */
export function textWriter(needs: WriterNeeds): ColumnWriter {
  const { type } = needs
  const width = fixedWidth(type)
  if (type.kind === 'bytes') return convertedWriter(needs, hexBytes)
  if (width === null) return columnWriter(needs)
  return fixedWriter(width, needs, (buffer, validity) => textDecoder(type, new DataView(buffer), validity))
}

/** An address as the server casts it to text: with its mask, which it leaves out where it prints one of a single machine. */
export const inetText: Conversion = {
  bytesMax: (_, __, length) => length + 4,
  put: ({ bytes }, position, length, out, at) => {
    out.bytes.set(bytes.subarray(position, position + length), at)
    const written = bytes.subarray(position, position + length)
    if (written.includes(SLASH)) return at + length
    const mask = written.includes(COLON) ? '/128' : '/32'
    for (let i = 0; i < mask.length; i++) out.bytes[at + length + i] = mask.charCodeAt(i)
    return at + length + mask.length
  },
}

const SLASH = 0x2f
const COLON = 0x3a

/** `\x` and two digits for each byte. */
const hexBytes: Conversion = {
  bytesMax: (_, __, length) => length >> 1,
  put: ({ bytes }, position, length, out, at) => {
    if (length < 2 || length % 2 !== 0 || bytes[position] !== 0x5c || bytes[position + 1] !== 0x78) return -1
    let to = at
    for (let from = position + 2; from < position + length; from += 2) {
      const value = (hexDigit(bytes[from] as number) << 4) | hexDigit(bytes[from + 1] as number)
      if (value < 0) return -1
      out.bytes[to++] = value
    }
    return to
  },
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/** Puts the text at `position` into row `row`; false when the type does not hold it. */
type Put = (block: Block, position: number, length: number, row: number) => boolean

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

function textDecoder(type: ColumnType, out: DataView, validity: Validity): Decoder {
  return loop(validity, putterOf(type, out))
}

function putterOf(type: ColumnType, out: DataView): Put {
  switch (type.kind) {
    case 'bool':
      return ({ bytes }, position, length, row) => {
        out.setUint8(row, bytes[position] === 0x74 ? 1 : 0)
        return length === 1 && (bytes[position] === 0x74 || bytes[position] === 0x66)
      }
    case 'int':
      return integers(type.bits, out)
    case 'float':
      return (block, position, length, row) => {
        const value = Number(textAt(block, position, length))
        if (type.bits === 32) out.setFloat32(row * 4, value, true)
        else out.setFloat64(row * 8, value, true)
        return !Number.isNaN(value) || textAt(block, position, length) === 'NaN'
      }
    case 'decimal':
      return decimals(type, out)
    case 'date':
      return parsed(dateOf, (row, days) => out.setInt32(row * 4, days, true))
    case 'time':
      return parsed(timeOf, (row, micros) => out.setBigInt64(row * 8, BigInt(micros), true))
    case 'timestamp':
      return parsed(stampOf, (row, micros) => out.setBigInt64(row * 8, micros, true))
    case 'interval':
      return parsed(intervalOf, (row, [months, days, micros]) => {
        out.setInt32(row * 16, months, true)
        out.setInt32(row * 16 + 4, days, true)
        out.setBigInt64(row * 16 + 8, micros, true)
      })
    case 'uuid':
      return uuids(out)
    case 'text':
    case 'enum':
    case 'json':
    case 'bytes':
      throw new TypeError(`${type.kind} has no fixed layout`)
  }
}

function textAt({ bytes }: Block, position: number, length: number): string {
  return bytes.toString('latin1', position, position + length)
}

function parsed<T>(parse: (text: string) => T | null, put: (row: number, value: T) => void): Put {
  return (block, position, length, row) => {
    const value = parse(textAt(block, position, length))
    if (value === null) return false
    put(row, value)
    return true
  }
}

/** Digits that a number holds exactly. */
const SAFE_DIGITS = 15
const MINUS = 0x2d
const TWO_32 = 4_294_967_296

function integers(bits: 16 | 32 | 64, out: DataView): Put {
  return (block, position, length, row) => {
    const { bytes } = block
    const isNegative = bytes[position] === MINUS
    if (length > SAFE_DIGITS) {
      const text = textAt(block, position, length)
      if (!/^-?\d+$/.test(text) || bits !== 64) return false
      const value = BigInt(text)
      out.setBigInt64(row * 8, value, true)
      return BigInt.asIntN(64, value) === value
    }
    let value = 0
    const start = isNegative ? position + 1 : position
    if (start === position + length) return false
    for (let at = start; at < position + length; at++) {
      const digit = (bytes[at] as number) - 0x30
      if (digit < 0 || digit > 9) return false
      value = value * 10 + digit
    }
    if (isNegative) value = -value
    if (bits === 64) {
      const high = Math.floor(value / TWO_32)
      out.setUint32(row * 8, value - high * TWO_32, true)
      out.setInt32(row * 8 + 4, high, true)
      return true
    }
    if (bits === 32) out.setInt32(row * 4, value, true)
    else out.setInt16(row * 2, value, true)
    return (bits === 32 ? value | 0 : (value << 16) >> 16) === value
  }
}

function decimals(type: ColumnType & { readonly kind: 'decimal' }, out: DataView): Put {
  const write = decimalWriter(type.precision, out)
  const limit = 10n ** BigInt(type.precision)
  const small = Number(limit)
  return (block, position, length, row) => {
    const parts = /^(-?)(\d+)(?:\.(\d+))?$/.exec(textAt(block, position, length))
    if (parts === null) return false // NaN and the infinities
    const [, sign, whole, given = ''] = parts as unknown as [string, string, string, string?]
    if (given.length > type.scale && /[1-9]/.test(given.slice(type.scale))) return false
    const digits = whole + given.slice(0, type.scale).padEnd(type.scale, '0')
    if (digits.length <= SAFE_DIGITS) {
      const value = Number(digits)
      if (value >= small) return false
      write(row, sign === '-' ? -value : value)
      return true
    }
    const value = BigInt(digits)
    if (value >= limit) return false
    write(row, sign === '-' ? -value : value)
    return true
  }
}

function uuids(out: DataView): Put {
  return ({ bytes }, position, length, row) => {
    if (length !== 36) return false
    let to = row * 16
    for (let at = position; at < position + 36; at += 2) {
      if (bytes[at] === MINUS) at++
      const value = (hexDigit(bytes[at] as number) << 4) | hexDigit(bytes[at + 1] as number)
      if (value < 0 || to >= row * 16 + 16) return false
      out.setUint8(to++, value)
    }
    return to === row * 16 + 16
  }
}
