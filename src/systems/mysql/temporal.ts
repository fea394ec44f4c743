/** Days from 1970-01-01 of a date of the Gregorian calendar, also before it was in use: as the server counts. */
export function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const cycle = Math.floor(y / 400)
  const ofCycle = y - cycle * 400
  const ofYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const days = ofCycle * 365 + Math.floor(ofCycle / 4) - Math.floor(ofCycle / 100) + ofYear
  return cycle * 146_097 + days - 719_468
}

/**
 * Days of the date at `at` (two bytes of year, month, day), or `null` when it is none: with a zero in it, in the year 0,
 * or a day that the month does not have, which the server keeps under ALLOW_INVALID_DATES.
 */
export function daysAt(view: DataView, at: number): number | null {
  const year = view.getUint16(at, true)
  const month = view.getUint8(at + 2)
  const day = view.getUint8(at + 3)
  if (year === 0 || month === 0 || day === 0 || month > 12) return null
  if (day > 28 && day > daysOfMonth(year, month)) return null
  return daysFromCivil(year, month, day)
}

function daysOfMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

const TWO_32 = 4_294_967_296

/** Writes seconds and microseconds as one 64-bit count of microseconds, exact without a BigInt. `words` has two for each row. */
export function putMicros(words: Int32Array, row: number, seconds: number, micros: number): void {
  const upper = Math.floor(seconds / 65_536)
  const scaled = upper * 1_000_000
  const scaledUpper = Math.floor(scaled / 65_536)
  const low = (scaled - scaledUpper * 65_536) * 65_536 + (seconds - upper * 65_536) * 1_000_000 + micros
  const carry = Math.floor(low / TWO_32)
  words[row * 2] = low - carry * TWO_32
  words[row * 2 + 1] = scaledUpper + carry
}
