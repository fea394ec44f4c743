import type { ColumnType } from '../../../core/types.ts'

/** What the values of a column of text look like. */
export interface Inferred {
  readonly type: ColumnType
  /** In words, for the person who reads the module. */
  readonly looksLike: string
}

const decimalDigits = 38
const bigMax = 2n ** 63n

/**
 * The narrowest type that every one of the values casts to without a change; text whenever one of them leaves a doubt,
 * such as a leading zero, which identifiers have. `null` is no value.
 */
export function inferType(values: readonly (string | null)[]): Inferred {
  const given = values.filter(value => value !== null)
  if (given.length === 0) return { type: { kind: 'text' }, looksLike: 'no value' }
  const every = (test: (value: string) => boolean): boolean => given.every(test)
  if (every(isBig)) return { type: { kind: 'int', bits: 64 }, looksLike: 'whole numbers' }
  if (every(value => plainDecimal.test(value))) return decimalOf(given)
  if (every(value => value === 'true' || value === 'false'))
    return { type: { kind: 'bool' }, looksLike: 'true or false' }
  if (every(value => isoDate.test(value) && isDay(value))) return { type: { kind: 'date' }, looksLike: 'dates' }
  if (every(value => isMoment(value, false))) {
    return { type: { kind: 'timestamp', zoned: false }, looksLike: 'dates with times' }
  }
  if (every(value => isMoment(value, true))) {
    return { type: { kind: 'timestamp', zoned: true }, looksLike: 'moments with their zone' }
  }
  return { type: { kind: 'text' }, looksLike: 'text' }
}

function isBig(value: string): boolean {
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(value)) return false
  const number = BigInt(value)
  return number < bigMax && number >= -bigMax
}

const plainDecimal = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/

/**
 * A decimal with room: at least 18 digits. When the values differ in their digits behind the point, two more than the
 * most; when all have as many, that is their form and stays. Whole numbers beyond 64 bits are identifiers: text.
 */
function decimalOf(values: readonly string[]): Inferred {
  const parts = values.map(value => value.replace('-', '').split('.'))
  const whole = Math.max(...parts.map(([digits = '']) => digits.length))
  const scales = parts.map(([, digits = '']) => digits.length)
  const scale = Math.max(...scales)
  if (scale === 0 || whole + scale > decimalDigits) return { type: { kind: 'text' }, looksLike: 'long numbers' }
  const roomy = scales.every(it => it === scale) ? scale : Math.min(scale + 2, decimalDigits - whole)
  const precision = Math.min(decimalDigits, Math.max(18, whole + roomy + 2))
  return { type: { kind: 'decimal', precision, scale: roomy }, looksLike: 'decimal numbers' }
}

const isoDate = /^\d{4}-\d\d-\d\d$/
const isoMoment =
  /^(\d{4}-\d\d-\d\d)[T ]([01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?(Z|[+-](?:0\d|1[0-3]):[0-5]\d)?$/

function isDay(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`)
  // A day that a month does not have becomes one of the next.
  return !text.startsWith('0000') && !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}

function isMoment(text: string, zoned: boolean): boolean {
  const [, day, , zone] = isoMoment.exec(text) ?? []
  return day !== undefined && isDay(day) && (zone !== undefined) === zoned
}
