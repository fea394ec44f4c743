import type { Block } from '../wire/block.ts'
import { ProtocolError } from './protocol.ts'

/** Notes where the values of one binary row lie that fills `start` to `end`. `widths` are those of `wireBytes`. Throws when it does not fill it. */
export function addRow(block: Block, widths: Uint8Array, start: number, end: number): void {
  const { bytes, columns, positions, lengths } = block
  const bitmap = start + 1
  let at = bitmap + ((columns + 9) >> 3)
  let cell = block.rows * columns
  if (at > end || bytes[start] !== 0) throw new ProtocolError('the server sent a row that is none')
  for (let c = 0; c < columns; c++, cell++) {
    if (((bytes[bitmap + ((c + 2) >> 3)] as number) & (1 << ((c + 2) & 7))) !== 0) {
      lengths[cell] = -1
      continue
    }
    let length = widths[c] as number
    if (length === 0) {
      if (at >= end) break
      length = bytes[at++] as number
      if (length === 0xfc && at + 2 <= end) {
        length = bytes.readUInt16LE(at)
        at += 2
      } else if (length === 0xfd && at + 3 <= end) {
        length = bytes.readUIntLE(at, 3)
        at += 3
      } else if (length === 0xfe && at + 8 <= end) {
        length = bytes.readUInt32LE(at + 4) === 0 ? bytes.readUInt32LE(at) : Infinity
        at += 8
      } else if (length > 0xfa) break
    }
    if (at + length > end) break
    positions[cell] = at
    lengths[cell] = length
    at += length
  }
  if (at !== end || cell !== (block.rows + 1) * columns) {
    throw new ProtocolError('the server sent a row that its values do not fill')
  }
  block.rows++
}
