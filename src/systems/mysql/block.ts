import { ProtocolError } from './protocol.ts'
/**
 * Some complete rows as they lie in the bytes of the server, before decoding: where each value begins and how long it
 * is. Columns are then decoded one at a time in tight loops, with no object and no slice for a value.
 */
export interface Block {
  bytes: Buffer
  view: DataView
  rows: number
  readonly columns: number
  /** Place and length of the value of row r, column c, at index `r * columns + c`. The length of NULL is -1. */
  readonly positions: Int32Array
  readonly lengths: Int32Array
}

/** Rows in one block: enough to spread the cost of a call, few enough to stay in the processor's cache. */
export function blockRows(columns: number): number {
  return Math.max(16, Math.min(1024, Math.floor(32_768 / columns)))
}

export function newBlock(columns: number): Block {
  const cells = blockRows(columns) * columns
  const bytes = Buffer.alloc(0)
  return {
    bytes,
    view: viewOf(bytes),
    rows: 0,
    columns,
    positions: new Int32Array(cells),
    lengths: new Int32Array(cells),
  }
}

/** Empties the block and lays it over new bytes. */
export function layOver(block: Block, bytes: Buffer): void {
  block.bytes = bytes
  block.view = viewOf(bytes)
  block.rows = 0
}

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

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
