import type { Block } from '../wire/block.ts'
import type { ColumnWriter, WriterRoom } from '../wire/column-writer.ts'
import type { Viewed } from '../wire/copy-value.ts'
import { varyingWriter } from '../wire/varying-writer.ts'

/** How a value of varying length is turned into its bytes. */
export interface Conversion {
  /** Most bytes that a value of `length` bytes becomes, where the block has it at `position`. */
  bytesMax(block: Block, position: number, length: number): number
  /** Writes the value to `at` and gives where it ends; -1 when it is none. */
  put(block: Block, position: number, length: number, out: Viewed, at: number): number
}

/** The writer of a column of varying length whose bytes are not those of the wire. */
export function convertedWriter(room: WriterRoom, { bytesMax, put }: Conversion): ColumnWriter {
  return varyingWriter(room, out => (block, index, { from, to, at }, bad) => {
    let row = at
    for (let r = from; r < to; r++, row++) {
      const cell = r * block.columns + index
      const length = block.lengths[cell] as number
      if (length < 0) out.validity.setNull(row)
      else {
        const position = block.positions[cell] as number
        const data = out.reserve(bytesMax(block, position, length))
        const end = put(block, position, length, data, out.used)
        if (end < 0) bad(r)
        else out.used = end
      }
      out.offsets[row + 1] = out.used
    }
  })
}
