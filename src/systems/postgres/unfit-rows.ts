import type { ColumnBatch, ColumnData } from '../../core/batch.ts'
import type { ColumnDef } from '../../core/types.ts'
import { valueEncoder } from './value-encoders.ts'

/** A row of a batch with a value that PostgreSQL has no place for, and its first column of that kind. */
export interface UnfitRow {
  /** Row of the batch, from 0. */
  readonly row: number
  readonly column: number
  readonly problem: string
}

/** Finds the rows of batches that PostgreSQL cannot hold, in their order; mostly none. */
export function unfitFinder(columns: readonly ColumnDef[]): (batch: ColumnBatch) => readonly UnfitRow[] {
  const encoders = columns.map(({ type }) => valueEncoder(type, 1))
  return batch => {
    const found = new Map<number, UnfitRow>()
    for (const [c, encoder] of encoders.entries()) {
      const data = batch.columns[c] as ColumnData
      for (let bad = encoder.check(data, 0, batch.rows); bad !== null;) {
        if (!found.has(bad.row)) found.set(bad.row, { ...bad, column: c })
        bad = encoder.check(data, bad.row + 1, batch.rows)
      }
    }
    return [...found.values()].toSorted((a, b) => a.row - b.row)
  }
}
