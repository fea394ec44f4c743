import { isValid, type ColumnBatch, type ColumnData } from './batch.ts'

/** One batch with the rows of several, which have the same columns. */
export function joinBatches(batches: readonly ColumnBatch[]): ColumnBatch {
  const [first] = batches
  if (first === undefined) throw new RangeError('there are no batches to join')
  if (batches.length === 1) return first
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0)
  return { rows, columns: first.columns.map((_, c) => joinColumn(batches, c, rows)) }
}

function joinColumn(batches: readonly ColumnBatch[], index: number, rows: number): ColumnData {
  const parts = batches.map(batch => ({ rows: batch.rows, column: batch.columns[index] as ColumnData }))
  const validity = joinValidity(parts, rows)
  const data = new Uint8Array(parts.reduce((sum, part) => sum + valuesOf(part).length, 0))
  const offsets = new Uint32Array(rows + 1)
  let [bytes, row] = [0, 0]
  for (const part of parts) {
    const values = valuesOf(part)
    data.set(values, bytes)
    if (part.column.layout === 'bytes') {
      const before = bytes - (part.column.offsets[0] as number)
      for (let r = 1; r <= part.rows; r++) offsets[row + r] = (part.column.offsets[r] as number) + before
    }
    row += part.rows
    bytes += values.length
  }
  const { column } = parts[0] as (typeof parts)[0]
  return column.layout === 'fixed'
    ? { layout: 'fixed', width: column.width, validity, data }
    : { layout: 'bytes', validity, offsets, data }
}

/** The bytes that the rows use. */
function valuesOf({ rows, column }: { readonly rows: number; readonly column: ColumnData }): Uint8Array {
  return column.layout === 'fixed'
    ? column.data.subarray(0, rows * column.width)
    : column.data.subarray(column.offsets[0], column.offsets[rows])
}

function joinValidity(
  parts: readonly { readonly rows: number; readonly column: ColumnData }[],
  rows: number,
): Uint8Array | null {
  if (parts.every(({ column }) => column.validity === null)) return null
  const bits = new Uint8Array((rows + 7) >> 3).fill(0xff)
  let at = 0
  for (const { rows: count, column } of parts) {
    for (let row = 0; row < count; row++, at++) {
      if (!isValid(column.validity, row)) bits[at >> 3] = (bits[at >> 3] as number) & ~(1 << (at & 7))
    }
  }
  return bits
}
