import { fixedWidth } from '../../core/batch.ts'
import type { ColumnType } from '../../core/types.ts'
import { valueBytes, type Block } from '../wire/block.ts'
import { fixedWriter, type ColumnWriter, type Decoder, type WriterRoom } from '../wire/column-writer.ts'
import { copyValue } from '../wire/copy-value.ts'
import type { Validity } from '../wire/validity.ts'
import { varyingWriter } from '../wire/varying-writer.ts'
import { decimals } from './numeric.ts'

/** True when the bytes are UTF-8. `null` where the server vouches for it: then nothing is checked. */
export type TextCheck = ((bytes: Buffer) => boolean) | null

/** What a writer is made with. */
export interface WriterNeeds extends WriterRoom {
  readonly type: ColumnType
  readonly checkText: TextCheck
}

/** The writer of a column that a binary COPY brings. */
export function columnWriter(needs: WriterNeeds): ColumnWriter {
  const { type } = needs
  const width = fixedWidth(type)
  if (width === null) return bytesWriter(needs)
  return fixedWriter(width, needs, (buffer, validity) => fixedDecoder(type, new DataView(buffer), validity))
}

/** One loop for each physical type. `put` decodes the value at `position` into row `row`, and is false when it does not fit. */
function fixedDecoder(type: ColumnType, out: DataView, validity: Validity): Decoder {
  switch (type.kind) {
    case 'bool':
      return loop(validity, 1, (block, position, row) => {
        out.setUint8(row, block.view.getUint8(position))
        return true
      })
    case 'int':
    case 'float':
      return type.bits === 16
        ? words16(out, validity)
        : type.bits === 32
          ? words32(out, validity)
          : words64(out, validity)
    case 'time':
      return words64(out, validity)
    case 'date':
      return dates(out, validity)
    case 'timestamp':
      return timestamps(out, validity)
    case 'interval':
      return intervals(out, validity)
    case 'uuid':
      return loop(validity, 16, (block, position, row) => {
        for (let i = 0; i < 16; i += 4) out.setInt32(row * 16 + i, block.view.getInt32(position + i))
        return true
      })
    case 'decimal':
      return decimals(type, out, validity)
    case 'text':
    case 'enum':
    case 'json':
    case 'bytes':
      throw new TypeError(`${type.kind} has no fixed layout`)
  }
}

type Put = (block: Block, position: number, row: number) => boolean

/**
 * Makes a column loop around `put`. The most common types below have their loop written out: a call through `put`
 * is shared by all columns, and the compiler then cannot put it in line.
 */
function loop(validity: Validity, width: number, put: Put): Decoder {
  return (block, index, { from, to, at }, bad) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * block.columns + index
      const length = block.lengths[cell] as number
      if (length < 0) validity.setNull(row)
      else if (length !== width) throw wrongLength(length, width)
      else if (!put(block, block.positions[cell] as number, row)) bad(r)
    }
  }
}

function wrongLength(found: number, expected: number): Error {
  return new Error(`the server sent a value of ${found} bytes where ${expected} belong`)
}

function words16(out: DataView, validity: Validity): Decoder {
  return loop(validity, 2, (block, position, row) => {
    out.setInt16(row * 2, block.view.getInt16(position), true)
    return true
  })
}

function words32(out: DataView, validity: Validity): Decoder {
  return ({ view, columns, positions, lengths }, index, { from, to, at }) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      const length = lengths[cell] as number
      if (length === 4) out.setInt32(row * 4, view.getInt32(positions[cell] as number), true)
      else if (length < 0) validity.setNull(row)
      else throw wrongLength(length, 4)
    }
  }
}

function words64(out: DataView, validity: Validity): Decoder {
  return ({ view, columns, positions, lengths }, index, { from, to, at }) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      const length = lengths[cell] as number
      if (length === 8) {
        const position = positions[cell] as number
        out.setInt32(row * 8, view.getInt32(position + 4), true)
        out.setInt32(row * 8 + 4, view.getInt32(position), true)
      } else if (length < 0) validity.setNull(row)
      else throw wrongLength(length, 8)
    }
  }
}

/** PostgreSQL counts from 2000-01-01, we count from 1970-01-01. */
const EPOCH_DAYS = 10_957
const DAYS_MAX = 0x7fffffff
const DAYS_MIN = -0x80000000

function dates(out: DataView, validity: Validity): Decoder {
  return ({ view, columns, positions, lengths }, index, { from, to, at }) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      const length = lengths[cell] as number
      if (length < 0) validity.setNull(row)
      else if (length !== 4) throw wrongLength(length, 4)
      else {
        const days = view.getInt32(positions[cell] as number)
        // The infinities are the ends of the integers there; here the negative one is one higher.
        const ours = days === DAYS_MAX ? days : days === DAYS_MIN ? days + 1 : days + EPOCH_DAYS
        out.setInt32(row * 4, ours, true)
      }
    }
  }
}

/** Microseconds from 1970-01-01 to 2000-01-01, in two halves: no BigInt in the loop. */
export const EPOCH_MICROS = 946_684_800_000_000n
const EPOCH_LOW = Number(EPOCH_MICROS & 0xffffffffn)
const EPOCH_HIGH = Number(EPOCH_MICROS >> 32n)
const TWO_32 = 4_294_967_296

function timestamps(out: DataView, validity: Validity): Decoder {
  return ({ view, columns, positions, lengths }, index, { from, to, at }, bad) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      const length = lengths[cell] as number
      if (length < 0) {
        validity.setNull(row)
        continue
      }
      if (length !== 8) throw wrongLength(length, 8)
      const position = positions[cell] as number
      const high = view.getInt32(position)
      const low = view.getUint32(position + 4) + EPOCH_LOW
      const carried = high + EPOCH_HIGH + (low >= TWO_32 ? 1 : 0)
      if (carried < DAYS_MAX && high !== DAYS_MIN) {
        out.setUint32(row * 8, low, true) // takes the value modulo 2^32
        out.setInt32(row * 8 + 4, carried, true)
      } else if (!putEdgeTimestamp(out, row, view.getBigInt64(position))) bad(r)
    }
  }
}

const MICROS_MAX = 0x7fff_ffff_ffff_ffffn

/** The infinities, and the years from 294241 on, of which the last ones do not fit after the change of epoch. */
function putEdgeTimestamp(out: DataView, row: number, theirs: bigint): boolean {
  if (theirs === MICROS_MAX) out.setBigInt64(row * 8, MICROS_MAX, true)
  else if (theirs === -MICROS_MAX - 1n) out.setBigInt64(row * 8, -MICROS_MAX, true)
  else if (theirs + EPOCH_MICROS < MICROS_MAX) out.setBigInt64(row * 8, theirs + EPOCH_MICROS, true)
  else return false
  return true
}

function intervals(out: DataView, validity: Validity): Decoder {
  return loop(validity, 16, (block, position, row) => {
    const [days, months] = [block.view.getInt32(position + 8), block.view.getInt32(position + 12)]
    const micros = block.view.getBigInt64(position)
    // Infinite intervals (PostgreSQL 17) have the limits in all three parts; there is no such value here.
    if (
      months === days &&
      (months === DAYS_MAX || months === DAYS_MIN) &&
      (micros >= MICROS_MAX || micros < -MICROS_MAX)
    )
      return false
    out.setInt32(row * 16, months, true)
    out.setInt32(row * 16 + 4, days, true)
    out.setBigInt64(row * 16 + 8, micros, true)
    return true
  })
}

function bytesWriter(needs: WriterNeeds): ColumnWriter {
  const check = needs.type.kind === 'bytes' ? null : needs.checkText
  return varyingWriter(needs, out => (block, index, { from, to, at }, bad) => {
    const { bytes, columns, positions, lengths } = block
    const data = out.reserve(valueBytes(block, index, from, to))
    const { offsets } = out
    let { used } = out
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      const length = lengths[cell] as number
      if (length < 0) out.validity.setNull(row)
      else {
        const position = positions[cell] as number
        if (check !== null && !check(bytes.subarray(position, position + length))) bad(r)
        copyValue(block, position, length, data, used)
        used += length
      }
      offsets[row + 1] = used
    }
    out.used = used
  })
}
