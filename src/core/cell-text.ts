import { INFINITY_DAYS, INFINITY_MICROS, isValid, type ColumnData } from './batch.ts'
import type { ColumnType } from './types.ts'

/**
 * One value of a column batch as exact text, `null` for NULL: for keys in rejects, and for tests. Never for bulk.
 * Dates and times are ISO as PostgreSQL prints them (in UTC), bytes `\x…`, floats the shortest text that reads back equal.
 */
export function cellText(type: ColumnType, column: ColumnData, row: number): string | null {
  if (!isValid(column.validity, row)) return null
  if (column.layout === 'bytes') {
    const bytes = Buffer.from(column.data.buffer, column.data.byteOffset, column.data.byteLength)
    const [from, to] = [column.offsets[row], column.offsets[row + 1]]
    return type.kind === 'bytes' ? `\\x${bytes.toString('hex', from, to)}` : bytes.toString('utf8', from, to)
  }
  const at = row * column.width
  return fixedText(type, new DataView(column.data.buffer, column.data.byteOffset + at, column.width))
}

function fixedText(type: ColumnType, value: DataView): string {
  switch (type.kind) {
    case 'bool':
      return value.getUint8(0) === 0 ? 'false' : 'true'
    case 'int':
      return String(signedOf(value))
    case 'decimal':
      return decimalText(signedOf(value), type.scale)
    case 'float':
      return type.bits === 64 ? String(value.getFloat64(0, true)) : float32Text(value.getFloat32(0, true))
    case 'date':
      return daysText(value.getInt32(0, true))
    case 'time':
      return timeText(value.getBigInt64(0, true))
    case 'timestamp':
      return microsText(value.getBigInt64(0, true), type.zoned)
    case 'interval':
      return intervalText(value.getInt32(0, true), value.getInt32(4, true), value.getBigInt64(8, true))
    case 'uuid':
      return uuidText(value)
    case 'text':
    case 'enum':
    case 'json':
    case 'bytes':
      throw new TypeError(`${type.kind} has no fixed layout`)
  }
}

function signedOf(value: DataView): bigint {
  switch (value.byteLength) {
    case 2:
      return BigInt(value.getInt16(0, true))
    case 4:
      return BigInt(value.getInt32(0, true))
    case 8:
      return value.getBigInt64(0, true)
    default:
      return (value.getBigInt64(8, true) << 64n) | value.getBigUint64(0, true)
  }
}

/** An unscaled integer with its decimal point put in: `decimalText(-5n, 2)` is `-0.05`. */
export function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : ''
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const point = digits.length - scale
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}

/** The shortest text that reads back as this 32-bit float. */
export function float32Text(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Object.is(Math.fround(short), value)) return String(short)
  }
  return String(value)
}

/** Days since 1970-01-01 as `2024-02-29`, `0044-03-15 BC`, `infinity`. */
export function daysText(days: number): string {
  if (Math.abs(days) === INFINITY_DAYS) return days > 0 ? 'infinity' : '-infinity'
  const { date, era } = civilDate(days)
  return date + era
}

/** Microseconds since 1970-01-01 as `2024-02-29 12:00:00.5`, with `+00` when zoned. */
export function microsText(micros: bigint, zoned: boolean): string {
  if (micros === INFINITY_MICROS) return 'infinity'
  if (micros === -INFINITY_MICROS) return '-infinity'
  const time = ((micros % DAY_MICROS) + DAY_MICROS) % DAY_MICROS
  const { date, era } = civilDate(Number((micros - time) / DAY_MICROS))
  return `${date} ${timeText(time)}${zoned ? '+00' : ''}${era}`
}

const DAY_MICROS = 86_400_000_000n

/** Microseconds since midnight as `24:00:00` or `01:02:03.000004`; more than a day counts on in hours. */
export function timeText(micros: bigint): string {
  const sign = micros < 0n ? '-' : ''
  const all = micros < 0n ? -micros : micros
  const two = (n: bigint): string => String(n).padStart(2, '0')
  const fraction = String(all % 1_000_000n)
    .padStart(6, '0')
    .replace(/0+$/, '')
  const seconds = all / 1_000_000n
  const clock = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`
  return sign + clock + (fraction === '' ? '' : `.${fraction}`)
}

/** An interval as PostgreSQL prints it: `1 year 2 mons 3 days 04:05:06`. */
export function intervalText(months: number, days: number, micros: bigint): string {
  const parts: string[] = []
  const add = (count: number, unit: string): void => {
    // PostgreSQL marks a positive part after a negative one.
    const plus = count > 0 && parts.at(-1)?.startsWith('-') === true ? '+' : ''
    if (count !== 0) parts.push(`${plus}${count} ${unit}${count === 1 ? '' : 's'}`)
  }
  add(Math.trunc(months / 12), 'year')
  add(months % 12, 'mon')
  add(days, 'day')
  if (micros === 0n && parts.length > 0) return parts.join(' ')
  const plus = micros > 0n && parts.at(-1)?.startsWith('-') === true ? '+' : ''
  return [...parts, plus + timeText(micros)].join(' ')
}

/** The Gregorian date of a day number, for all years: `Date` ends at the year 275760. */
function civilDate(days: number): { readonly date: string; readonly era: '' | ' BC' } {
  const shifted = days + 719_468 // days since 0000-03-01, so that a leap day ends its year
  const cycle = Math.floor(shifted / 146_097)
  const day = shifted - cycle * 146_097
  const year = Math.floor((day - Math.floor(day / 1460) + Math.floor(day / 36_524) - Math.floor(day / 146_096)) / 365)
  const ofYear = day - (365 * year + Math.floor(year / 4) - Math.floor(year / 100))
  const march = Math.floor((5 * ofYear + 2) / 153)
  const dayOfMonth = ofYear - Math.floor((153 * march + 2) / 5) + 1
  const month = march < 10 ? march + 3 : march - 9
  const full = year + cycle * 400 + (month <= 2 ? 1 : 0)
  const shown = full > 0 ? full : 1 - full
  const pad = (n: number, width: number): string => String(n).padStart(width, '0')
  return { date: `${pad(shown, 4)}-${pad(month, 2)}-${pad(dayOfMonth, 2)}`, era: full > 0 ? '' : ' BC' }
}

/** The text of the UUID that begins where the view does. */
export function uuidText({ buffer, byteOffset }: ArrayBufferView): string {
  const hex = Buffer.from(buffer, byteOffset, 16).toString('hex')
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5')
}
