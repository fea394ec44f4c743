import { decimalText, microsText } from '../../core/cell-text.ts'
import type { ColumnType } from '../../core/types.ts'
import { EPOCH_MICROS } from './column-writer.ts'
import { bigUnscaled } from './numeric.ts'

/** Most bytes of an offending value that are kept to show it. */
export const SHOWN_BYTES = 1024

const specials: Readonly<Record<number, string>> = { 0xc000: 'NaN', 0xd000: 'Infinity', 0xf000: '-Infinity' }

/** A value that its type cannot hold, as the source would print it; bytes that are no text as `\x…`. */
export function badValueText(type: ColumnType, value: Buffer): string {
  switch (type.kind) {
    case 'decimal': {
      const sign = value.readUInt16BE(4)
      if (specials[sign] !== undefined) return specials[sign]
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
      const shift = 4 * (view.getInt16(2) - view.getInt16(0) + 1) + type.scale
      return (sign === 0 ? '' : '-') + decimalText(bigUnscaled(view, 0, shift), type.scale)
    }
    case 'timestamp':
      return microsText(value.readBigInt64BE() + EPOCH_MICROS, type.zoned)
    case 'interval':
      return value.readInt32BE(12) > 0 ? 'infinity' : '-infinity'
    default:
      return `\\x${value.toString('hex', 0, SHOWN_BYTES / 2)}`
  }
}
