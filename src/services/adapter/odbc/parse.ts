import { INFINITY_DAYS, INFINITY_MICROS } from '../../../core/batch.ts'
import { daysOfDate } from '../../../core/dates.ts'
import type { ColumnType } from '../../../core/types.ts'

/** Writes the value that ASCII text spells into row `row`; false when the type does not hold it. */
export type Parse = (text: string, out: DataView, row: number) => boolean

/** The parser of a type whose values are read as text; `null` when the text is the value. */
export function parserOf(type: ColumnType): Parse | null {
  switch (type.kind) {
    case 'bool':
      return parseBool
    case 'int':
      return intParser(type.bits)
    case 'float':
      return floatParser(type.bits)
    case 'decimal':
      return decimalParser(type.precision, type.scale)
    case 'date':
      return parseDate
    case 'time':
      return parseTime
    case 'timestamp':
      return type.zoned ? parseZoned : parseTimestamp
    case 'uuid':
      return parseUuid
    default:
      return null
  }
}

const bools: Readonly<Record<string, number>> = { '1': 1, t: 1, true: 1, '0': 0, f: 0, false: 0 }

const parseBool: Parse = (text, out, row) => {
  const value = bools[text.toLowerCase()]
  if (value === undefined) return false
  out.setUint8(row, value)
  return true
}

function intParser(bits: 16 | 32 | 64): Parse {
  const limit = 2 ** (bits - 1)
  return (text, out, row) => {
    if (!/^-?\d{1,20}$/.test(text)) return false
    const value = Number(text)
    if (bits === 64 && !Number.isSafeInteger(value)) {
      const big = BigInt(text)
      if (BigInt.asIntN(64, big) !== big) return false
      out.setBigInt64(row * 8, big, true)
      return true
    }
    if (value >= limit || value < -limit) return false
    if (bits === 16) out.setInt16(row * 2, value, true)
    else if (bits === 32) out.setInt32(row * 4, value, true)
    else out.setBigInt64(row * 8, BigInt(value), true)
    return true
  }
}

const floats: Readonly<Record<string, number>> = {
  nan: NaN,
  inf: Infinity,
  infinity: Infinity,
  '-inf': -Infinity,
  '-infinity': -Infinity,
}

function floatParser(bits: 32 | 64): Parse {
  return (text, out, row) => {
    const isNumber = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text)
    const value = isNumber ? Number(text) : floats[text.toLowerCase()]
    if (value === undefined || (isNumber && !Number.isFinite(value))) return false
    if (bits === 64) out.setFloat64(row * 8, value, true)
    else out.setFloat32(row * 4, value, true)
    return true
  }
}

/** A decimal point stands before at most `scale` digits; zeros behind them say nothing. */
function decimalParser(precision: number, scale: number): Parse {
  const limit = 10n ** BigInt(precision)
  const width = precision <= 4 ? 2 : precision <= 9 ? 4 : precision <= 18 ? 8 : 16
  return (text, out, row) => {
    const match = /^(-?)(\d*)(?:\.(\d*))?$/.exec(text)
    if (match === null) return false
    const [, sign, whole = '', fraction = ''] = match
    if (whole === '' && fraction === '') return false
    if (/[1-9]/.test(fraction.slice(scale))) return false
    const digits = whole + fraction.slice(0, scale).padEnd(scale, '0')
    if (width <= 8 && digits.length <= 15) {
      const small = Number(digits)
      return small < Number(limit) && writeInteger(out, row, width, BigInt(sign === '-' ? -small : small))
    }
    const unscaled = BigInt(digits === '' ? '0' : digits)
    return unscaled < limit && writeInteger(out, row, width, sign === '-' ? -unscaled : unscaled)
  }
}

function writeInteger(out: DataView, row: number, width: number, value: bigint): boolean {
  switch (width) {
    case 2:
      out.setInt16(row * 2, Number(value), true)
      return true
    case 4:
      out.setInt32(row * 4, Number(value), true)
      return true
    case 8:
      out.setBigInt64(row * 8, value, true)
      return true
    default:
      out.setBigInt64(row * 16, BigInt.asIntN(64, value), true)
      out.setBigInt64(row * 16 + 8, value >> 64n, true)
      return true
  }
}

const isoDate = /^(-?\d{4,7})-(\d\d)-(\d\d)/
const isoTime = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?/

const parseDate: Parse = (text, out, row) => {
  const days = text === 'infinity' ? INFINITY_DAYS : text === '-infinity' ? -INFINITY_DAYS : daysOfText(text)
  if (days === null) return false
  out.setInt32(row * 4, days, true)
  return true
}

/** A date with nothing behind it but the mark of the years before our era. */
function daysOfText(text: string): number | null {
  const match = isoDate.exec(text)
  const rest = match === null ? '' : text.slice(match[0].length)
  if (match === null || (rest !== '' && rest !== ' BC')) return null
  const year = Number(match[1])
  return daysOfDate(rest === ' BC' ? 1 - year : year, Number(match[2]), Number(match[3]))
}

const parseTime: Parse = (text, out, row) => {
  const match = isoTime.exec(text)
  if (match === null || match[0].length !== text.length) return false
  const micros = microsOfClock(match)
  if (micros === null || micros > DAY_MICROS) return false
  out.setBigInt64(row * 8, BigInt(micros), true)
  return true
}

const parseTimestamp: Parse = (text, out, row) => writeTimestamp(text, out, row, false)
const parseZoned: Parse = (text, out, row) => writeTimestamp(text, out, row, true)

function writeTimestamp(text: string, out: DataView, row: number, zoned: boolean): boolean {
  const micros =
    text === 'infinity' ? INFINITY_MICROS : text === '-infinity' ? -INFINITY_MICROS : microsOfText(text, zoned)
  if (micros === null) return false
  out.setBigInt64(row * 8, micros, true)
  return true
}

/** `2024-02-29 12:00:00.5+09 BC`: date, clock, offset where there is a zone, era. */
function microsOfText(text: string, zoned: boolean): bigint | null {
  const date = isoDate.exec(text)
  if (date === null) return null
  const isBefore = text.endsWith(' BC')
  const rest = text.slice(date[0].length + 1, isBefore ? -3 : undefined)
  const clock = rest === '' ? null : isoTime.exec(rest)
  if (rest !== '' && clock === null) return null
  const offset = offsetMicros(clock === null ? '' : rest.slice(clock[0].length), zoned)
  const year = Number(date[1])
  const days = daysOfDate(isBefore ? 1 - year : year, Number(date[2]), Number(date[3]))
  const micros = clock === null ? 0 : microsOfClock(clock)
  if (days === null || micros === null || offset === null || micros >= DAY_MICROS) return null
  return fitting(BigInt(days) * BigInt(DAY_MICROS) + BigInt(micros - offset))
}

function fitting(micros: bigint): bigint | null {
  return micros < INFINITY_MICROS && micros > -INFINITY_MICROS ? micros : null
}

function offsetMicros(text: string, zoned: boolean): number | null {
  if (text === '' || (zoned && text === 'Z')) return 0
  const match = zoned ? /^([-+])(\d\d)(?::?(\d\d))?(?::?(\d\d))?$/.exec(text) : null
  if (match === null) return null
  const seconds = (Number(match[2]) * 60 + Number(match[3] ?? 0)) * 60 + Number(match[4] ?? 0)
  return (match[1] === '-' ? -seconds : seconds) * 1_000_000
}

const DAY_MICROS = 86_400_000_000

function microsOfClock([, hours, minutes, seconds = '0', fraction = '']: RegExpExecArray): number | null {
  if (Number(minutes) > 59 || Number(seconds) > 59 || /[1-9]/.test(fraction.slice(6))) return null
  const micros = Number(fraction.slice(0, 6).padEnd(6, '0'))
  return ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000_000 + micros
}

const parseUuid: Parse = (text, out, row) => {
  if (!/^\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?$/i.test(text)) return false
  const bytes = Buffer.from(text.replaceAll(/[-{}]/g, ''), 'hex')
  bytes.forEach((byte, i) => out.setUint8(row * 16 + i, byte))
  return true
}
