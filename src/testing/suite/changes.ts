import { cellText } from '../../core/cell-text.ts'
import { isValid } from '../../core/batch.ts'
import { rejectOf } from '../../core/change-reject.ts'
import type { ChangeSlice } from '../../core/change-slice.ts'
import { changeOp } from '../../core/change-slice.ts'

/** One change as text, for tests only: what moves in the product are slices. */
export interface ChangeSeen {
  readonly table: string
  readonly op: 'insert' | 'update' | 'delete' | 'truncate' | 'move'
  /** Values by column; an unchanged one is absent. */
  readonly values: Readonly<Record<string, string | null>>
  readonly transaction: bigint | null
}

const names = new Map(Object.entries(changeOp).map(([name, op]) => [op, name as ChangeSeen['op']]))

/** The changes of a slice in their order. */
export function changesIn({ tables, transactions }: ChangeSlice): readonly ChangeSeen[] {
  const found: ChangeSeen[] = []
  for (const { table, columns, rows, ops, order, unchanged } of tables) {
    for (let row = 0; row < rows.rows; row++) {
      const values = columns.flatMap(({ name, type }, c) => {
        const bits = unchanged[c] ?? null
        if (bits !== null && isValid(bits, row)) return []
        return [[name, cellText(type, rows.columns[c]!, row)] as const]
      })
      const place = order[row] as number
      const nth = transactions.ends.findIndex(end => place < end)
      const transaction = nth < 0 ? null : (transactions.ids[nth] as bigint)
      const op = names.get(ops[row] as 1) as ChangeSeen['op']
      if (found[place] !== undefined) throw new Error(`two changes have the place ${place}`)
      found[place] = { table, op, values: Object.fromEntries(values), transaction }
    }
  }
  return found
}

/** The rejects that a slice tells of. */
export function rejectsIn(slice: ChangeSlice): readonly NonNullable<ReturnType<typeof rejectOf>>[] {
  return slice.messages.flatMap(message => rejectOf(message) ?? [])
}
