import { daysOfDate } from '../../../core/dates.ts'
import type { Block } from '../../wire/block.ts'
import type { Decoder } from '../../wire/column-writer.ts'
import type { Validity } from '../../wire/validity.ts'
import { putMicros } from '../temporal.ts'
import { fractionBytes } from './rows.ts'

/** Decodes the value at `position` into row `row`; false when it does not fit. */
export type PutLogged = (block: Block, position: number, length: number, row: number) => boolean

/** A loop over a column. `zeroIsNull` takes what does not fit for NULL. */
export function loggedLoop(validity: Validity, put: PutLogged, zeroIsNull = false): Decoder {
  return (block, index, { from, to, at }, bad) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * block.columns + index
      const length = block.lengths[cell] as number
      if (length < 0) validity.setNull(row)
      else if (put(block, block.positions[cell] as number, length, row)) continue
      else if (zeroIsNull) validity.setNull(row)
      else bad(r)
    }
  }
}

/** A date in three bytes: year, four bits of month, five of day. */
export function datePut(out: Int32Array): PutLogged {
  return ({ bytes }, at, _, row) => {
    const value = bytes.readUIntLE(at, 3)
    const days = daysOf(value >> 9, (value >> 5) & 15, value & 31)
    out[row] = days ?? 0
    return days !== null
  }
}

/** A date with a time in five bytes, the most significant first: months of 13 to a year, day, hour, minute, second. */
export function datetimePut(out: Int32Array, digits: number): PutLogged {
  return ({ bytes }, at, _, row) => {
    const value = bytes.readUIntBE(at, 5) - 0x80_0000_0000
    const date = Math.floor(value / 0x2_0000)
    const clock = value % 0x2_0000
    const months = date >> 5
    const days = value < 0 ? null : daysOf(Math.floor(months / 13), months % 13, date & 31)
    if (days === null) return false
    const seconds = (clock >> 12) * 3600 + ((clock >> 6) & 63) * 60 + (clock & 63)
    putMicros(out, row, days * 86_400 + seconds, microsAt(bytes, at + 5, digits))
    return true
  }
}

/** Seconds since 1970 in four bytes, the most significant first; none at all is the date of zeros. */
export function timestampPut(out: Int32Array, digits: number): PutLogged {
  return ({ bytes }, at, _, row) => {
    const seconds = bytes.readUInt32BE(at)
    const micros = microsAt(bytes, at + 4, digits)
    putMicros(out, row, seconds, micros)
    return seconds > 0 || micros > 0
  }
}

const DAY_SECONDS = 86_400

/** A time in three bytes. The server's is a duration; ours is a time of day. */
export function timePut(out: Int32Array, digits: number): PutLogged {
  return ({ bytes }, at, _, row) => {
    const value = bytes.readUIntBE(at, 3) - 0x80_0000
    const seconds = ((value >> 12) & 0x3ff) * 3600 + ((value >> 6) & 63) * 60 + (value & 63)
    const micros = microsAt(bytes, at + 3, digits)
    if (value < 0 || seconds > DAY_SECONDS || (seconds === DAY_SECONDS && micros > 0)) return false
    putMicros(out, row, seconds, micros)
    return true
  }
}

/** Digits after the second in pairs. */
function microsAt(bytes: Buffer, at: number, digits: number): number {
  const count = fractionBytes(digits)
  return count === 0 ? 0 : bytes.readUIntBE(at, count) * 100 ** (3 - count)
}

function daysOf(year: number, month: number, day: number): number | null {
  return year === 0 ? null : daysOfDate(year, month, day)
}
