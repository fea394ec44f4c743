const TWO_32 = 4_294_967_296

/** Writes unscaled values into rows of the width that a batch fixes for a precision. Those that are a number are whole and below 2^53. */
export function decimalWriter(precision: number, out: DataView): (row: number, value: number | bigint) => void {
  return precision <= 4
    ? (row, value) => out.setInt16(row * 2, Number(value), true)
    : precision <= 9
      ? (row, value) => out.setInt32(row * 4, Number(value), true)
      : precision <= 18
        ? (row, value) => put64(out, row * 8, value)
        : (row, value) => put128(out, row * 16, value)
}

function put64(out: DataView, at: number, value: number | bigint): void {
  if (typeof value === 'bigint') return out.setBigInt64(at, value, true)
  const high = Math.floor(value / TWO_32)
  out.setUint32(at, value - high * TWO_32, true)
  out.setInt32(at + 4, high, true)
}

function put128(out: DataView, at: number, value: number | bigint): void {
  put64(out, at, typeof value === 'bigint' ? BigInt.asIntN(64, value) : value)
  if (typeof value === 'bigint') return out.setBigInt64(at + 8, value >> 64n, true)
  const fill = value < 0 ? -1 : 0
  out.setInt32(at + 8, fill, true)
  out.setInt32(at + 12, fill, true)
}
