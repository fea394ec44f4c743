import { INFINITY_DAYS, INFINITY_MICROS } from '../../core/batch.ts'

/** Days and microseconds of the text of PostgreSQL (`DateStyle` ISO, zone UTC). All give `null` for what is no such value. */

const DAY_MICROS = 86_400_000_000
const STAMP = /^(\d{4,})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(?:\+00)?( BC)?$/

/** Days from 1970-01-01 of a date of the Gregorian calendar before and behind its time; the year 0 is 1 BC. */
function daysOf(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

/** Days since 1970-01-01 of a date. */
export function dateOf(text: string): number | null {
  if (text === 'infinity') return INFINITY_DAYS
  if (text === '-infinity') return -INFINITY_DAYS
  const parts = STAMP.exec(text)
  return parts === null ? null : daysIn(parts)
}

function daysIn([, year, month, day, , , , , isBc]: RegExpExecArray): number {
  return daysOf(isBc === undefined ? Number(year) : 1 - Number(year), Number(month), Number(day))
}

function microsIn([, , , , hour, minute, second, fraction]: RegExpExecArray): number {
  const seconds = Number(hour ?? 0) * 3600 + Number(minute ?? 0) * 60 + Number(second ?? 0)
  return seconds * 1_000_000 + Number((fraction ?? '').padEnd(6, '0'))
}

/** Microseconds since 1970-01-01 UTC of a timestamp; `null` also for the last hours of the type, which a batch has not. */
export function stampOf(text: string): bigint | null {
  if (text === 'infinity') return INFINITY_MICROS
  if (text === '-infinity') return -INFINITY_MICROS
  const parts = STAMP.exec(text)
  if (parts === null) return null
  const micros = BigInt(daysIn(parts)) * BigInt(DAY_MICROS) + BigInt(microsIn(parts))
  return micros < INFINITY_MICROS ? micros : null
}

const TIME = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/

/** Microseconds since midnight. */
export function timeOf(text: string): number | null {
  const parts = TIME.exec(text)
  if (parts === null) return null
  const [, hour, minute, second, fraction] = parts
  return (
    (Number(hour) * 3600 + Number(minute) * 60 + Number(second)) * 1_000_000 + Number((fraction ?? '').padEnd(6, '0'))
  )
}

const INTERVAL =
  /^(?:(-?\d+) years? ?)?(?:(-?\+?\d+) mons? ?)?(?:(-?\+?\d+) days? ?)?(?:([-+]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/

/** Months, days and microseconds of an interval in the style of PostgreSQL. */
export function intervalOf(text: string): readonly [number, number, bigint] | null {
  const parts = INTERVAL.exec(text)
  if (parts === null || text === '') return null
  const [, years, months, days, sign, hours, minutes, seconds, fraction] = parts
  const whole = (BigInt(hours ?? 0) * 60n + BigInt(minutes ?? 0)) * 60n + BigInt(seconds ?? 0)
  const micros = whole * 1_000_000n + BigInt((fraction ?? '').padEnd(6, '0') || 0)
  return [Number(years ?? 0) * 12 + Number(months ?? 0), Number(days ?? 0), sign === '-' ? -micros : micros]
}
