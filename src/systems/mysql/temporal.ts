import { daysOfDate } from '../../core/dates.ts'

/**
 * Days of the date at `at` (two bytes of year, month, day), or `null` when it is none: with a zero in it, in the year 0,
 * or a day that the month does not have, which the server keeps under ALLOW_INVALID_DATES.
 */
export function daysAt(view: DataView, at: number): number | null {
  const year = view.getUint16(at, true)
  return year === 0 ? null : daysOfDate(year, view.getUint8(at + 2), view.getUint8(at + 3))
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
