import type { ColumnBatch, ColumnData } from '../../../core/batch.ts'
import { cellText } from '../../../core/cell-text.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { BufferPool } from '../../../core/buffer-pool.ts'
import { copyWriter, UnfitValue } from '../../../systems/postgres/copy-writer.ts'
import type { Stage } from './stage.ts'
import { valueError } from './unfit.ts'
import type { WriteOrder } from './write-plan.ts'

/** One unit on its way into the stage. */
export interface UnitRows {
  readonly order: WriteOrder
  readonly stage: Stage
  readonly unit: string
  /** The number that its rows are marked with. */
  readonly place: number
  readonly pool: BufferPool
}

/** The bytes of a COPY of the batches into the stage. Throws `WRITE_VALUE` for what PostgreSQL has no place for. */
export async function* piecesOf(batches: AsyncIterable<ColumnBatch>, given: UnitRows): AsyncGenerator<Buffer, void> {
  const { order, stage, place, pool } = given
  const writer = copyWriter([...order.columns, stage.unitColumn], pool)
  const mark = markColumn(place)
  let rowsBefore = 0
  yield writer.header()
  for await (const batch of batches) {
    try {
      yield* writer.pieces({ rows: batch.rows, columns: [...batch.columns, mark(batch.rows)] })
    } catch (error) {
      if (!(error instanceof UnfitValue)) throw error
      const row = rowName(given, batch, error.row, rowsBefore)
      throw valueError(order, error.column, row, error.message)
    }
    rowsBefore += batch.rows
  }
  yield writer.trailer()
}

/** A column that says the same number for every row; its memory is kept from batch to batch. */
function markColumn(place: number): (rows: number) => ColumnData {
  let numbers = new Int32Array(0)
  return rows => {
    if (numbers.length < rows) numbers = new Int32Array(rows).fill(place)
    return { layout: 'fixed', width: 4, validity: null, data: new Uint8Array(numbers.buffer, 0, rows * 4) }
  }
}

/** The key of a row, or its number where there is none. */
function rowName({ order, unit }: UnitRows, batch: ColumnBatch, row: number, before: number): string {
  if (order.key.length === 0) return `row ${before + row + 1} of unit "${unit}"`
  return order.key
    .map(name => {
      const c = order.columns.findIndex(column => column.name === name)
      const { type } = order.columns[c] as ColumnDef
      return `${name} = ${cellText(type, batch.columns[c] as ColumnData, row) ?? 'NULL'}`
    })
    .join(', ')
}
