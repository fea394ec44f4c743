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

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Bytes of the values of column `index` in the rows `from` to `to`. */
export function valueBytes({ lengths, columns }: Block, index: number, from: number, to: number): number {
  let sum = 0
  for (let cell = from * columns + index; cell < to * columns; cell += columns) {
    const length = lengths[cell] as number
    if (length > 0) sum += length
  }
  return sum
}
