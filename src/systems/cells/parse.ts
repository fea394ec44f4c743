import { isUtf8 } from 'node:buffer'
import { fixedWidth } from '../../core/batch.ts'
import { typeText, type ColumnType } from '../../core/types.ts'
import { daysOf, microsOfDay } from './dates.ts'
import { isJson } from './json-scan.ts'

/** A value as its column holds it: what a fixed cell takes as a number, or the bytes of a varying one. */
export type Cell = bigint | number | Uint8Array

/** What is wrong with a value; a cell is never a string. */
export type Misfit = string

/**
 * Reads a value from its text (UTF-8), exactly or not at all: a number that the type would round, a text that is none, a
 * date that does not exist give a sentence that says why.
 */
export function parseCell(type: ColumnType, bytes: Uint8Array): Cell | Misfit {
  switch (type.kind) {
    case 'bytes':
      return bytes
    case 'text':
      return textProblem(bytes) ?? bytes
    case 'json':
      return textProblem(bytes) ?? (isJson(bytes) ? bytes : 'is no JSON')
    case 'enum':
      return type.values.includes(textOf(bytes)) ? bytes : 'is not one of its values'
    case 'bool':
      return boolCell(textOf(bytes))
    case 'int':
      return intCell(type.bits, textOf(bytes))
    case 'decimal':
      return decimalCell(type.precision, type.scale, textOf(bytes))
    case 'float':
      return floatCell(type.bits, textOf(bytes))
    case 'date':
      return daysOf(textOf(bytes)) ?? 'is no date such as 2026-11-01'
    case 'time':
      return microsOfDay(textOf(bytes)) ?? 'is no time of day with at most 6 decimals'
    case 'timestamp':
      return timestampCell(type.zoned, textOf(bytes))
    case 'uuid':
      return uuidCell(textOf(bytes))
    case 'interval':
      return `cannot be read as ${typeText(type)}`
  }
}

/** Why bytes are no text that every system can hold, or `null`. */
export function textProblem(bytes: Uint8Array): Misfit | null {
  if (!isUtf8(bytes)) return 'is no UTF-8 text'
  return bytes.includes(0) ? 'holds a NUL character' : null
}

/** Writes a parsed cell of a fixed width. */
export function putCell(type: ColumnType, view: DataView, at: number, cell: Cell): void {
  if (type.kind === 'float') {
    return type.bits === 32 ? view.setFloat32(at, cell as number, true) : view.setFloat64(at, cell as number, true)
  }
  if (cell instanceof Uint8Array) return new Uint8Array(view.buffer, view.byteOffset + at, cell.length).set(cell)
  switch (fixedWidth(type)) {
    case 1:
      return view.setUint8(at, Number(cell))
    case 2:
      return view.setInt16(at, Number(cell), true)
    case 4:
      return view.setInt32(at, Number(cell), true)
    case 16:
      view.setBigInt64(at, BigInt.asIntN(64, BigInt(cell)), true)
      return view.setBigInt64(at + 8, BigInt(cell) >> 64n, true)
    default:
      return view.setBigInt64(at, BigInt(cell), true)
  }
}

function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return buffer.toString('utf8')
}

function boolCell(text: string): Cell | Misfit {
  if (text === 'true' || text === '1') return 1
  return text === 'false' || text === '0' ? 0 : 'is neither true nor false'
}

/** Digits that a number holds exactly, whatever they are. */
const safeDigits = 15

function intCell(bits: 16 | 32 | 64, text: string): Cell | Misfit {
  if (text.length <= safeDigits && /^-?\d+$/.test(text)) {
    const small = Number(text)
    const limit = 2 ** (bits - 1)
    return small >= -limit && small < limit ? small : `does not fit ${bits} bits`
  }
  const value = unscaled(text, 0)
  if (typeof value === 'string') return value
  const limit = 1n << BigInt(bits - 1)
  return value >= -limit && value < limit ? value : `does not fit ${bits} bits`
}

function decimalCell(precision: number, scale: number, text: string): Cell | Misfit {
  const small = smallUnscaled(text, scale)
  if (small !== null && Math.abs(small) < 10 ** precision) return small
  const value = unscaled(text, scale)
  if (typeof value === 'string') return value
  const limit = 10n ** BigInt(precision)
  return value > -limit && value < limit ? value : `has more digits than decimal(${precision},${scale})`
}

/** The same for numbers of few digits, without large integers: those of nearly all rows. `null` for every other. */
function smallUnscaled(text: string, scale: number): number | null {
  if (text.length > safeDigits || !/^-?\d+(\.\d+)?$/.test(text)) return null
  const point = text.indexOf('.')
  const shift = scale - (point < 0 ? 0 : text.length - point - 1)
  if (shift < 0 || text.length + shift > safeDigits) return null
  return Number(point < 0 ? text : text.slice(0, point) + text.slice(point + 1)) * 10 ** shift
}

/** Digits that a number may be moved by: more is an attack, as `1e999999999` would be. */
const exponentMax = 400

/** The integer that stands for a decimal number at `scale`, or why there is none. */
function unscaled(text: string, scale: number): bigint | Misfit {
  const [, sign, whole, fraction = '', exponent = '0'] =
    /^([-+]?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text) ?? []
  if (whole === undefined) return 'is no number'
  if (whole.length + fraction.length > 1000) return 'has too many digits'
  const digits = BigInt(whole + fraction) * (sign === '-' ? -1n : 1n)
  if (digits === 0n) return 0n
  const shift = Number(exponent) - fraction.length + scale
  if (Math.abs(shift) > exponentMax + fraction.length) return 'is out of range'
  if (shift >= 0) return digits * 10n ** BigInt(shift)
  const power = 10n ** BigInt(-shift)
  return digits % power === 0n ? digits / power : `has more than ${scale} decimals`
}

function floatCell(bits: 32 | 64, text: string): Cell | Misfit {
  const special = { nan: NaN, inf: Infinity, infinity: Infinity, '-inf': -Infinity, '-infinity': -Infinity }
  const named = special[text.toLowerCase() as keyof typeof special]
  if (named !== undefined) return named
  if (!/^[-+]?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(text)) return 'is no number'
  const value = bits === 32 ? Math.fround(Number(text)) : Number(text)
  return Number.isFinite(value) ? value : `is out of range of ${bits} bits`
}

const timestampText = /^(\d{4,6}-\d\d-\d\d)[T ]([^Zz+-]+)(?:([Zz])|([+-])(\d\d):?(\d\d)?)?$/

function timestampCell(zoned: boolean, text: string): Cell | Misfit {
  const [, date, clock, zulu, sign, hours = '0', minutes = '0'] = timestampText.exec(text) ?? []
  const days = date === undefined ? null : daysOf(date)
  const micros = clock === undefined ? null : microsOfDay(clock)
  if (days === null || micros === null) return 'is no date and time with at most 6 decimals'
  const hasZone = zulu !== undefined || sign !== undefined
  if (zoned !== hasZone) return zoned ? 'has no zone' : 'has a zone, which its type would drop'
  const offset = BigInt(Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -60_000_000n : 60_000_000n)
  return BigInt(days) * 86_400_000_000n + micros - (zoned ? offset : 0n)
}

function uuidCell(text: string): Cell | Misfit {
  const isUuid = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(text)
  return isUuid ? Buffer.from(text.replaceAll('-', ''), 'hex') : 'is no UUID'
}
