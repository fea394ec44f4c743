import type { ColumnType } from '../../core/types.ts'
import type { Decoder } from '../wire/column-writer.ts'
import { decimalWriter } from '../wire/decimal-writer.ts'
import type { Validity } from '../wire/validity.ts'

/**
 * A `numeric` on the wire: four 16-bit words (count of digits, weight, sign, scale), then digits to base 10,000;
 * the first stands for 10,000^weight.
 */
const SIGN_NEGATIVE = 0x4000
const SIGN_SPECIAL = 0xc000

/** Powers of ten; `**` in the loop would cost more than the rest of it. */
const powers = Float64Array.from({ length: 64 }, (_, i) => Number(`1e${i}`))

/** Decodes a column of numerics. The loop is written out: a call for each value cannot be put in line. */
export function decimals(type: ColumnType & { readonly kind: 'decimal' }, out: DataView, validity: Validity): Decoder {
  const { precision, scale } = type
  const write = decimalWriter(precision, out)
  const isInt64 = precision > 9 && precision <= 18
  const limit = Number(`1e${precision}`)
  const writeBig = bigWriter(precision, write)
  return ({ view, columns, positions, lengths }, index, { from, to, at }, bad) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      if ((lengths[cell] as number) < 0) {
        validity.setNull(row)
        continue
      }
      const position = positions[cell] as number
      const digits = view.getInt16(position)
      const sign = view.getUint16(position + 4)
      // Decimal places by which the digits, read as one integer, must move to be the unscaled value.
      const shift = 4 * (view.getInt16(position + 2) - digits + 1) + scale
      let value = 0
      for (let i = 0; i < digits; i++) value = value * 10_000 + view.getInt16(position + 8 + i * 2)
      // Moves by a power of ten are exact as long as both ends are whole numbers below 2^53.
      const moved = shift >= 0 ? value * (powers[shift] as number) : value / (powers[-shift] as number)
      if (sign >= SIGN_SPECIAL) bad(r)
      else if (value > Number.MAX_SAFE_INTEGER || moved > Number.MAX_SAFE_INTEGER) {
        const big = bigUnscaled(view, position, shift)
        if (!writeBig(row, sign === SIGN_NEGATIVE ? -big : big)) bad(r)
      } else if (moved >= limit || moved !== Math.floor(moved)) bad(r)
      else if (isInt64) {
        const signed = sign === SIGN_NEGATIVE ? -moved : moved
        const high = Math.floor(signed / TWO_32)
        out.setUint32(row * 8, signed - high * TWO_32, true)
        out.setInt32(row * 8 + 4, high, true)
      } else write(row, sign === SIGN_NEGATIVE ? -moved : moved)
    }
  }
}

const TWO_32 = 4_294_967_296

/** The unscaled integer of the numeric at `position` without its sign, at any size. */
export function bigUnscaled(view: DataView, position: number, shift: number): bigint {
  let value = 0n
  const digits = view.getInt16(position)
  for (let i = 0; i < digits; i++) value = value * 10_000n + BigInt(view.getInt16(position + 8 + i * 2))
  return shift >= 0 ? value * 10n ** BigInt(shift) : value / 10n ** BigInt(-shift)
}

/** Writes a value of any size; false when it does not fit. */
function bigWriter(precision: number, write: (row: number, value: bigint) => void) {
  const limit = 10n ** BigInt(precision)
  return (row: number, value: bigint): boolean => {
    if (value >= limit || value <= -limit) return false
    write(row, value)
    return true
  }
}
