import { isValid, type ColumnData } from '../../core/batch.ts'
import type { Captures } from './contract-capture.ts'

/**
 * What an outbox tells: whatever the application writes into it, and nothing of writers that do not. `truncates`: there is
 * an event for it.
 */
export const eventCan: Captures['can'] = {
  deletes: true,
  everyVersion: true,
  silentWriters: false,
  transactions: false,
  truncates: true,
}

/** An event from the columns table, operation, key and row of a batch. */
export function eventOf(
  columns: readonly ColumnData[],
  row: number,
  place: string,
): { table: string; op: string; key: Uint8Array | null; row: Uint8Array | null; place: string } {
  const [table, op, key, values] = columns.map(column => bytesAt(column, row))
  const text = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('utf8')
  return { table: text(table), op: text(op), key: key ?? null, row: values ?? null, place }
}

function bytesAt(column: ColumnData, row: number): Uint8Array | null {
  if (column.layout !== 'bytes' || !isValid(column.validity, row)) return null
  return column.data.subarray(column.offsets[row], column.offsets[row + 1])
}
