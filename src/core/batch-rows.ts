import { isValid, type ColumnBatch, type ColumnData } from './batch.ts'

/** A copy of a batch without some rows: for rows that are set aside, which are few. */
export function withoutRows(batch: ColumnBatch, left: ReadonlySet<number>): ColumnBatch {
  const kept = Array.from({ length: batch.rows }, (_, row) => row).filter(row => !left.has(row))
  return { rows: kept.length, columns: batch.columns.map(column => pick(column, kept)) }
}

function pick(column: ColumnData, kept: readonly number[]): ColumnData {
  const validity = column.validity === null ? null : new Uint8Array(Math.ceil(kept.length / 8))
  kept.forEach((row, i) => {
    if (validity !== null && isValid(column.validity, row))
      validity[i >> 3] = (validity[i >> 3] as number) | (1 << (i & 7))
  })
  if (column.layout === 'fixed') {
    const { width } = column
    const data = new Uint8Array(kept.length * width)
    kept.forEach((row, i) => data.set(column.data.subarray(row * width, (row + 1) * width), i * width))
    return { ...column, validity, data }
  }
  const offsets = new Uint32Array(kept.length + 1)
  const pieces = kept.map((row, i) => {
    const piece = column.data.subarray(column.offsets[row], column.offsets[row + 1])
    offsets[i + 1] = (offsets[i] as number) + piece.length
    return piece
  })
  return { layout: 'bytes', validity, offsets, data: Buffer.concat(pieces) }
}
