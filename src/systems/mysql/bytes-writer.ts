import { isUtf8 } from 'node:buffer'
import { valueBytes } from '../wire/block.ts'
import type { ColumnWriter } from '../wire/column-writer.ts'
import { copyValue, viewed } from '../wire/copy-value.ts'
import { newValidity } from '../wire/validity.ts'
import type { WriterNeeds } from './column-writer.ts'

/** Writes values of varying length. Text is checked: the server sends the bytes of a column as they lie there. */
export function bytesWriter({ type, capacity, pool, bytesExpected }: WriterNeeds): ColumnWriter {
  const isText = type.kind !== 'bytes'
  const isEmptyBad = type.kind === 'enum' && !type.values.includes('')
  const offsets = new Uint32Array(pool.take((capacity + 1) * 4), 0, capacity + 1)
  const validity = newValidity(capacity)
  let data = viewed(pool.take(bytesExpected))
  let used = 0
  offsets[0] = 0

  const reserve = (more: number): void => {
    const { length, buffer } = data.bytes
    if (used + more <= length) return
    const grown = viewed(pool.take(Math.max(used + more, length * 2)))
    grown.bytes.set(data.bytes.subarray(0, used))
    pool.give([buffer as ArrayBuffer])
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
          const position = positions[cell] as number
          // A piece of a letter: a value that does not begin with a whole one cannot end the letter of the value before.
          if (((bytes[position] as number) & 0xc0) === 0x80) mayBeCut = true
          copyValue(block, position, length, data, used)
          used += length
        }
        offsets[row + 1] = used
      }
      if (!isText || (!mayBeCut && isUtf8(data.bytes.subarray(start, used)))) return
      for (let r = from, at2 = at; r < to; r++, at2++) {
        if (!isUtf8(data.bytes.subarray(offsets[at2], offsets[at2 + 1]))) bad(r)
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
      data: data.bytes.subarray(0, used),
    }),
  }
}
