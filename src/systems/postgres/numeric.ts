import type { ColumnType } from '../../core/types.ts'
import { decimalWriter } from '../wire/decimal-writer.ts'

/**
 * A `numeric` on the wire: four 16-bit words (count of digits, weight, sign, scale), then digits to base 10,000;
 * the first stands for 10,000^weight.
 */
const SIGN_NEGATIVE = 0x4000
const SIGN_SPECIAL = 0xc000

/** Makes a function that writes the unscaled integer of the numeric at `position` into row `row`; false when it does not fit. */
export function numericReader(
  type: ColumnType & { readonly kind: 'decimal' },
  out: DataView,
): (view: DataView, position: number, row: number) => boolean {
  const write = writerOf(type.precision, out)
  const limit = 10 ** type.precision
  return (view, position, row) => {
    const digits = view.getInt16(position)
    const sign = view.getUint16(position + 4)
    if (sign >= SIGN_SPECIAL) return false // NaN and the infinities
    // Decimal places by which the digits, read as one integer, must move to be the unscaled value.
    const shift = 4 * (view.getInt16(position + 2) - digits + 1) + type.scale
    let value = 0
    for (let i = 0; i < digits; i++) value = value * 10_000 + view.getInt16(position + 8 + i * 2)
    // Moves by a power of ten are exact as long as both ends are whole numbers below 2^53.
    const moved = shift >= 0 ? value * 10 ** shift : value / 10 ** -shift
    if (value > Number.MAX_SAFE_INTEGER || moved > Number.MAX_SAFE_INTEGER) {
      const big = bigUnscaled(view, position, shift)
      return write(row, sign === SIGN_NEGATIVE ? -big : big)
    }
    if (moved >= limit || !Number.isInteger(moved)) return false
    return write(row, sign === SIGN_NEGATIVE ? -moved : moved)
  }
}

/** The unscaled integer of the numeric at `position` without its sign, at any size. */
export function bigUnscaled(view: DataView, position: number, shift: number): bigint {
  let value = 0n
  const digits = view.getInt16(position)
  for (let i = 0; i < digits; i++) value = value * 10_000n + BigInt(view.getInt16(position + 8 + i * 2))
  return shift >= 0 ? value * 10n ** BigInt(shift) : value / 10n ** BigInt(-shift)
}

type Write = (row: number, value: number | bigint) => boolean

function writerOf(precision: number, out: DataView): Write {
  const limit = 10n ** BigInt(precision)
  const put = decimalWriter(precision, out)
  return (row, value) => {
    if (typeof value === 'bigint' && (value >= limit || value <= -limit)) return false
    put(row, value)
    return true
  }
}
