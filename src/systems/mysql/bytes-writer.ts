import { isUtf8 } from 'node:buffer'
import { valueBytes } from '../wire/block.ts'
import type { ColumnWriter } from '../wire/column-writer.ts'
import { newValidity } from '../wire/validity.ts'
import type { WriterNeeds } from './column-writer.ts'

/** A value up to this many bytes is copied in a loop: a call of the native copy costs more. */
const SHORT_BYTES = 24

/** Writes values of varying length. Text is checked: the server sends the bytes of a column as they lie there. */
export function bytesWriter({ type, capacity, pool, bytesExpected }: WriterNeeds): ColumnWriter {
  const isText = type.kind !== 'bytes'
  const isEmptyBad = type.kind === 'enum' && !type.values.includes('')
  const offsets = new Uint32Array(pool.take((capacity + 1) * 4), 0, capacity + 1)
  const validity = newValidity(capacity)
  let data = Buffer.from(pool.take(bytesExpected))
  let used = 0
  offsets[0] = 0

  const reserve = (more: number): void => {
    if (used + more <= data.length) return
    const grown = Buffer.from(pool.take(Math.max(used + more, data.length * 2)))
    data.copy(grown, 0, 0, used)
    pool.give([data.buffer as ArrayBuffer])
    data = grown
  }

  return {
    get bytes() {
      return used
    },
    append: (block, index, { from, to, at }, bad) => {
      const { bytes, columns, positions, lengths } = block
      reserve(valueBytes(block, index, from, to))
      const start = used
      let mayBeCut = false
      let row = at
      for (let r = from; r < to; r++, row++) {
        const cell = r * columns + index
        const length = lengths[cell] as number
        if (length < 0) validity.setNull(row)
        else if (length === 0) {
          if (isEmptyBad) bad(r)
        } else {
          let position = positions[cell] as number
          // A piece of a letter: a value that does not begin with a whole one cannot end the letter of the value before.
          if (((bytes[position] as number) & 0xc0) === 0x80) mayBeCut = true
          if (length > SHORT_BYTES) used += bytes.copy(data, used, position, position + length)
          else for (const end = position + length; position < end;) data[used++] = bytes[position++] as number
        }
        offsets[row + 1] = used
      }
      if (!isText || (!mayBeCut && isUtf8(data.subarray(start, used)))) return
      for (let r = from, at2 = at; r < to; r++, at2++) {
        if (!isUtf8(data.subarray(offsets[at2], offsets[at2 + 1]))) bad(r)
      }
    },
    cut: at => {
      used = offsets[at] as number
      validity.cut(at)
    },
    finish: rows => ({
      layout: 'bytes',
      validity: validity.finish(rows),
      offsets: offsets.subarray(0, rows + 1),
      data: new Uint8Array(data.buffer, 0, used),
    }),
  }
}
