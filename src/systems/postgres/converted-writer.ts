import type { Block } from '../wire/block.ts'
import type { ColumnWriter, WriterRoom } from '../wire/column-writer.ts'
import { viewed, type Viewed } from '../wire/copy-value.ts'
import { newValidity } from '../wire/validity.ts'

/** How a value of varying length is turned into its bytes. */
export interface Conversion {
  /** Most bytes that a value of `length` bytes becomes, where the block has it at `position`. */
  bytesMax(block: Block, position: number, length: number): number
  /** Writes the value to `at` and gives where it ends; -1 when it is none. */
  put(block: Block, position: number, length: number, out: Viewed, at: number): number
}

/** The writer of a column of varying length whose bytes are not those of the wire. */
export function convertedWriter(
  { capacity, pool, bytesExpected }: WriterRoom,
  { bytesMax, put }: Conversion,
): ColumnWriter {
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
      let row = at
      for (let r = from; r < to; r++, row++) {
        const cell = r * block.columns + index
        const length = block.lengths[cell] as number
        if (length < 0) validity.setNull(row)
        else {
          const position = block.positions[cell] as number
          reserve(bytesMax(block, position, length))
          const end = put(block, position, length, data, used)
          if (end < 0) bad(r)
          else used = end
        }
        offsets[row + 1] = used
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
