import type { ColumnBatch, ColumnData } from '../../core/batch.ts'
import { rejectMessage } from '../../core/change-reject.ts'
import type { ChangeMessage, SliceTransactions } from '../../core/change-slice.ts'
import type { RowReject } from './contract.ts'

/** Numbers by which the changes of one table are in order: by the first, then by the second. */
export interface OrderedRows {
  readonly first: BigInt64Array
  readonly second: BigInt64Array
}

/** The numbers of a column of 64-bit integers. */
export function int64s(column: ColumnData, rows: number): BigInt64Array {
  // A view needs an aligned start; buffers of a batch begin at zero, but a slice of one need not.
  const { data } = column
  if (data.byteOffset % 8 === 0) return new BigInt64Array(data.buffer, data.byteOffset, rows)
  return new BigInt64Array(data.slice(0, rows * 8).buffer, 0, rows)
}

/** The operations, which were read as 16-bit integers. */
export function opsOf(column: ColumnData, rows: number): Uint8Array {
  return Uint8Array.from({ length: rows }, (_, row) => column.data[row * 2] as number)
}

/** A batch without its first columns. */
export function withoutFirst(batch: ColumnBatch, count: number): ColumnBatch {
  return { rows: batch.rows, columns: batch.columns.slice(count) }
}

/** The place of each row among those of all tables together. */
export function mergeOrder(tables: readonly OrderedRows[]): readonly Uint32Array[] {
  const orders = tables.map(({ first }) => new Uint32Array(first.length))
  const heads = tables.map(() => 0)
  const total = tables.reduce((sum, { first }) => sum + first.length, 0)
  for (let place = 0; place < total; place++) {
    let least = -1
    for (let t = 0; t < tables.length; t++) {
      if ((heads[t] as number) >= (tables[t] as OrderedRows).first.length) continue
      if (
        least < 0 ||
        isBefore(tables[t] as OrderedRows, heads[t] as number, tables[least] as OrderedRows, heads[least] as number)
      )
        least = t
    }
    const order = orders[least] as Uint32Array
    const row = heads[least] as number
    order[row] = place
    heads[least] = row + 1
  }
  return orders
}

function isBefore(a: OrderedRows, i: number, b: OrderedRows, j: number): boolean {
  const [x, y] = [a.first[i] as bigint, b.first[j] as bigint]
  return x < y || (x === y && (a.second[i] as bigint) < (b.second[j] as bigint))
}

/** Where each transaction ends: `last` is the first of its numbers in every row. */
export function transactionsOf(
  transactions: readonly { readonly xid: bigint; readonly last: bigint }[],
  tables: readonly OrderedRows[],
  micros: bigint,
): SliceTransactions {
  const counts = new Map<bigint, number>()
  for (const { first } of tables) for (const last of first) counts.set(last, (counts.get(last) ?? 0) + 1)
  let end = 0
  const ends = transactions.map(({ last }) => (end += counts.get(last) ?? 0))
  return {
    ids: BigInt64Array.from(transactions, ({ xid }) => xid),
    ends: Uint32Array.from(ends),
    committedMicros: BigInt64Array.from(transactions, () => micros),
  }
}

/** Rejects of the changes of a table. Their place within the slice is not known: they are before all of it. */
export function messagesOf(table: string, rejects: readonly RowReject[]): readonly ChangeMessage[] {
  return rejects.map(reject => rejectMessage(0, table, reject))
}

/** No transactions: for sources that cannot name them. */
export const noTransactions: SliceTransactions = {
  ids: new BigInt64Array(0),
  ends: new Uint32Array(0),
  committedMicros: new BigInt64Array(0),
}
