import type { ColumnType } from '../../core/types.ts'
import { decimalWriter } from '../wire/decimal-writer.ts'

type Decimal = ColumnType & { readonly kind: 'decimal' }

const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
/** So many digits are exact in a number. */
const DIGITS_SAFE = 15

/** Writes the unscaled integer of the decimal text at `from` to `to` into row `row`; false when it does not fit. */
export type PutDecimal = (bytes: Uint8Array, from: number, to: number, row: number) => boolean

/** Makes a `PutDecimal` for a type. The server sends a value with all digits of its scale. */
export function decimalReader({ precision, scale }: Decimal, out: DataView): PutDecimal {
  const put = decimalWriter(precision, out)
  const limit = 10n ** BigInt(precision)
  return (bytes, from, to, row) => {
    let at = from
    const negative = bytes[at] === MINUS
    if (negative) at++
    let value = 0
    let digits = 0
    let places = -1
    for (; at < to; at++) {
      const byte = bytes[at] as number
      if (byte === POINT) {
        if (places >= 0) return false
        places = 0
        continue
      }
      const digit = byte - ZERO
      if (digit < 0 || digit > 9) return false
      if (digits === DIGITS_SAFE) return putLong(bytes, from, to, row)
      value = value * 10 + digit
      if (value > 0) digits++
      if (places >= 0) places++
    }
    if (Math.max(places, 0) !== scale) return putLong(bytes, from, to, row)
    if (digits > precision) return false
    put(row, negative ? -value : value)
    return true
  }

  function putLong(bytes: Uint8Array, from: number, to: number, row: number): boolean {
    const match = /^(-?)(\d*)(?:\.(\d*))?$/.exec(
      Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1'),
    )
    if (match === null) return false
    const [, sign, whole, fraction = ''] = match
    if (fraction.length > scale && /[1-9]/.test(fraction.slice(scale))) return false
    const unscaled = BigInt(`${whole}${fraction.slice(0, scale).padEnd(scale, '0')}`)
    if (unscaled >= limit) return false
    put(row, sign === '-' ? -unscaled : unscaled)
    return true
  }
}
