import { joinBatches } from '../../../../core/batch-join.ts'
import type { ChangeSlice, TableChanges } from '../../../../core/change-slice.ts'
import { int64s, mergeOrder, messagesOf, opsOf, transactionsOf, withoutFirst } from '../../change-order.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import type { Group } from './window.ts'

/** Columns before those of the table: the two numbers of the order, and what happened. */
const LEADING = 3

/** The rows of the change tables as a slice. Nothing is copied but what came in several batches. */
export function sliceOf(group: Group, tables: readonly CapturedTable[]): ChangeSlice {
  const read = [...group.rows].map(([place, { columns, batches }]) => {
    const batch = joinBatches(batches.map(it => it.batch))
    const [last, seq, op] = batch.columns as [
      (typeof batch.columns)[0],
      (typeof batch.columns)[0],
      (typeof batch.columns)[0],
    ]
    return {
      table: (tables[place] as CapturedTable).name,
      columns: columns.slice(1),
      numbers: { first: int64s(last, batch.rows), second: int64s(seq, batch.rows) },
      ops: opsOf(op, batch.rows),
      rows: withoutFirst(batch, LEADING),
      rejects: batches.flatMap(it => it.rejects),
    }
  })
  const orders = mergeOrder(read.map(it => it.numbers))
  const changes = read.map(({ table, columns, ops, rows }, i): TableChanges => ({
    table,
    columns,
    rows,
    ops,
    order: orders[i] as Uint32Array,
    unchanged: columns.map(() => null),
  }))
  return {
    position: group.position,
    committedMicros: group.clockMicros,
    tables: changes.filter(it => it.rows.rows > 0),
    transactions: transactionsOf(
      group.transactions,
      read.map(it => it.numbers),
      group.clockMicros,
    ),
    messages: read.flatMap(({ table, rejects }) => messagesOf(table, rejects)),
  }
}
