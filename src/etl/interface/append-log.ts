import type { ColumnData } from '../../core/batch.ts'
import { changeOp, type ChangeSlice, type TableChanges } from '../../core/change-slice.ts'
import type { ColumnDef } from '../../core/types.ts'
import { logColumnDefs } from '../../config/append.ts'
import type { SourceTableDef } from '../../config/model.ts'

/** Places that a unit of a first load has for its rows. */
const unitRows = 2n ** 32n

/** Place of the first change behind the rows of a first load: the changes of that load come behind its rows. */
export const firstChangeLine = 2n ** 52n

/** The columns that the table has beside those of its source. */
export function logColumnsOf({ append }: SourceTableDef): readonly ColumnDef[] {
  return append === true ? logColumnDefs : []
}

/** The columns of the log for rows that were read: `before` rows of the unit came before them. */
export function readColumns(
  { load, unit, atMicros }: { readonly load: bigint; readonly unit: number; readonly atMicros?: bigint },
  rows: number,
  before: number,
): readonly ColumnData[] {
  const first = BigInt(unit) * unitRows + BigInt(before)
  const times = new BigInt64Array(rows).fill(atMicros ?? 0n)
  const words = Buffer.from('read'.repeat(rows), 'latin1')
  const offsets = Uint32Array.from({ length: rows + 1 }, (_, row) => row * 4)
  return [
    loads(load, rows),
    linesFrom(first, rows),
    { layout: 'bytes', validity: null, offsets, data: words },
    bigints(times, atMicros === undefined ? new Uint8Array((rows + 7) >> 3) : null),
  ]
}

/** The columns of the log for changes, of which the first is the `firstLine`th of the load. */
export function changeColumns(
  { ops, order }: TableChanges,
  { transactions }: Pick<ChangeSlice, 'transactions'>,
  { load, firstLine }: { readonly load: bigint; readonly firstLine: bigint },
): readonly ColumnData[] {
  const rows = ops.length
  const times = new BigInt64Array(rows)
  const told = new Uint8Array((rows + 7) >> 3)
  let at = 0
  for (let row = 0; row < rows; row++) {
    while (at < transactions.ends.length && (transactions.ends[at] as number) <= (order[row] as number)) at++
    const time = transactions.committedMicros[at]
    if (time === undefined) continue
    times[row] = time
    told[row >> 3] = (told[row >> 3] as number) | (1 << (row & 7))
  }
  return [loads(load, rows), linesFrom(firstLine, rows), wordsOf(ops), bigints(times, told)]
}

/** An update of a table without a key comes as the delete of the old row and, directly behind it, a move to the new one. */
function wordOf(ops: Uint8Array, row: number): string {
  switch (ops[row]) {
    case changeOp.insert:
      return 'insert'
    case changeOp.delete:
      return ops[row + 1] === changeOp.move ? 'before' : 'delete'
    case changeOp.truncate:
      return 'truncate'
    default:
      return 'after'
  }
}

function loads(load: bigint, rows: number): ColumnData {
  return bigints(new BigInt64Array(rows).fill(load))
}

function linesFrom(first: bigint, rows: number): ColumnData {
  const lines = new BigInt64Array(rows)
  let line = first
  for (let row = 0; row < rows; row++) lines[row] = line++
  return bigints(lines)
}

function bigints(values: BigInt64Array, validity: Uint8Array | null = null): ColumnData {
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return { layout: 'fixed', width: 8, validity, data }
}

function wordsOf(ops: Uint8Array): ColumnData {
  const words = Array.from(ops, (_, row) => wordOf(ops, row))
  const offsets = new Uint32Array(words.length + 1)
  for (const [row, word] of words.entries()) offsets[row + 1] = (offsets[row] as number) + word.length
  return { layout: 'bytes', validity: null, offsets, data: Buffer.from(words.join(''), 'latin1') }
}
