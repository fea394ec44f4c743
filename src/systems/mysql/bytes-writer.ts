import { isUtf8 } from 'node:buffer'
import { valueBytes } from '../wire/block.ts'
import type { ColumnWriter } from '../wire/column-writer.ts'
import { copyValue } from '../wire/copy-value.ts'
import { varyingWriter } from '../wire/varying-writer.ts'
import type { WriterNeeds } from './column-writer.ts'

/** Writes values of varying length. Text is checked: the server sends the bytes of a column as they lie there. */
export function bytesWriter(needs: WriterNeeds): ColumnWriter {
  const { type } = needs
  const isText = type.kind !== 'bytes'
  const isEmptyBad = type.kind === 'enum' && !type.values.includes('')
  return varyingWriter(needs, out => (block, index, { from, to, at }, bad) => {
    const { bytes, columns, positions, lengths } = block
    const data = out.reserve(valueBytes(block, index, from, to))
    const { offsets } = out
    const start = out.used
    let [used, mayBeCut] = [start, false]
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * columns + index
      const length = lengths[cell] as number
      if (length < 0) out.validity.setNull(row)
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
    out.used = used
    if (!isText || (!mayBeCut && isUtf8(data.bytes.subarray(start, used)))) return
    for (let r = from, at2 = at; r < to; r++, at2++) {
      if (!isUtf8(data.bytes.subarray(offsets[at2], offsets[at2 + 1]))) bad(r)
    }
  })
}
