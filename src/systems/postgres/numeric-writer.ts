import { isValid, type ColumnData } from '../../core/batch.ts'
import type { ColumnType } from '../../core/types.ts'
import { putNull, viewOf, type ValueEncoder } from './value-encoder.ts'

type Decimal = ColumnType & { readonly kind: 'decimal' }

/** Words of the longest numeric of 38 digits: four of the head, eleven of digits; the last of the sixteen is its length. */
const WORDS = 16
const LENGTH = WORDS - 1
const HEAD_WORDS = 4
const SIGN_NEGATIVE = 0x4000

/** The inverse of `decimals`. The digits are made while measuring, because only they tell the length. */
export function numericEncoder(type: Decimal, rowsMax: number): ValueEncoder {
  const words = new Uint16Array(rowsMax * WORDS)
  const encode = encoderOf(type, words)
  return {
    check: (column, from, rows) => firstTooLarge(type, column, from, rows),
    measure: (column, from, rows, sizes) => {
      const source = viewOf(column.data)
      for (let i = 0; i < rows; i++) {
        if (!isValid(column.validity, from + i)) continue
        encode(source, from + i, i * WORDS)
        sizes[i] = (sizes[i] as number) + (words[i * WORDS + LENGTH] as number) * 2
      }
    },
    write: ({ validity }, from, rows, { view, places }) => {
      for (let i = 0; i < rows; i++) {
        let at = places[i] as number
        if (!isValid(validity, from + i)) {
          places[i] = putNull(view, at)
          continue
        }
        const count = words[i * WORDS + LENGTH] as number
        view.setInt32(at, count * 2)
        at += 4
        for (let word = i * WORDS; word < i * WORDS + count; word++, at += 2) view.setUint16(at, words[word] as number)
        places[i] = at
      }
    },
  }
}

/** The integers of a batch hold a little more than their precision says; a server would round or refuse those. */
function firstTooLarge(
  type: Decimal,
  column: ColumnData,
  from: number,
  rows: number,
): ReturnType<ValueEncoder['check']> {
  const source = viewOf(column.data)
  const read = reader(type.precision)
  const limit = 10n ** BigInt(type.precision)
  const small = Number(limit)
  for (let row = from; row < rows; row++) {
    if (!isValid(column.validity, row)) continue
    const value = read(source, row)
    const isHeld =
      typeof value === 'number' && small <= Number.MAX_SAFE_INTEGER
        ? value < small && value > -small
        : BigInt(value) < limit && BigInt(value) > -limit
    if (!isHeld) return { row, problem: `it has more than ${type.precision} digits` }
  }
  return null
}

type Read = (source: DataView, row: number) => number | bigint

/** Reads the unscaled integer: a number as long as it is exact. */
function reader(precision: number): Read {
  if (precision <= 4) return (source, row) => source.getInt16(row * 2, true)
  if (precision <= 9) return (source, row) => source.getInt32(row * 4, true)
  if (precision <= 18) return (source, row) => read64(source, row * 8)
  return (source, row) => {
    const high = source.getBigInt64(row * 16 + 8, true)
    const isShort = high === (source.getInt32(row * 16 + 4, true) < 0 ? -1n : 0n)
    return isShort ? read64(source, row * 16) : (high << 64n) | source.getBigUint64(row * 16, true)
  }
}

const TWO_32 = 4_294_967_296
/** Upper halves within this make numbers below 2^53. */
const HIGH_EXACT = 0x1fffff

function read64(source: DataView, at: number): number | bigint {
  const high = source.getInt32(at + 4, true)
  if (high < -HIGH_EXACT || high > HIGH_EXACT) return source.getBigInt64(at, true)
  return high * TWO_32 + source.getUint32(at, true)
}

/** Makes a function that puts the words of a value at `place`, and their count at the end of its room. */
function encoderOf(type: Decimal, words: Uint16Array): (source: DataView, row: number, place: number) => void {
  const read = reader(type.precision)
  const fractionWords = Math.ceil(type.scale / 4)
  // The fraction is filled up to whole words of four digits.
  const factor = 10 ** (fractionWords * 4 - type.scale)
  return (source, row, place) => {
    const value = read(source, row)
    const exact = typeof value === 'number' && Math.abs(value) * factor <= Number.MAX_SAFE_INTEGER
    const digits = place + HEAD_WORDS
    const count = exact
      ? putDigits(words, digits, Math.abs(value) * factor)
      : putLongDigits(words, digits, absolute(BigInt(value)) * BigInt(factor))
    const kept = withoutZeros(words, digits, count)
    words[place] = kept
    words[place + 1] = kept === 0 ? 0 : count - fractionWords - 1
    words[place + 2] = value < 0 ? SIGN_NEGATIVE : 0
    words[place + 3] = type.scale
    words[place + LENGTH] = HEAD_WORDS + kept
  }
}

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value
}

/** Writes a whole number to base 10,000, the first digit first; gives how many digits it has. */
function putDigits(words: Uint16Array, at: number, value: number): number {
  let count = 0
  for (let rest = value; rest > 0; rest = Math.floor(rest / 10_000)) count++
  for (let i = count - 1, rest = value; i >= 0; i--) {
    const next = Math.floor(rest / 10_000)
    words[at + i] = rest - next * 10_000
    rest = next
  }
  return count
}

function putLongDigits(words: Uint16Array, at: number, value: bigint): number {
  let count = 0
  for (let rest = value; rest > 0n; rest /= 10_000n) count++
  for (let i = count - 1, rest = value; i >= 0; i--, rest /= 10_000n) words[at + i] = Number(rest % 10_000n)
  return count
}

/** Digits without the zeros at their end, which the server leaves out too. */
function withoutZeros(words: Uint16Array, at: number, count: number): number {
  let kept = count
  while (kept > 0 && words[at + kept - 1] === 0) kept--
  return kept
}
