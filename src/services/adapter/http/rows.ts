import type { ColumnDef } from '../../../core/types.ts'
import type { CellBatches, Value } from '../../../systems/cells/batches.ts'
import { contentOf, listReader } from '../../../systems/cells/json-list.ts'
import { recordReader } from '../../../systems/cells/json-record.ts'
import type { Slice } from '../../../systems/cells/json-scan.ts'
import { parseCell } from '../../../systems/cells/parse.ts'
import type { RowFilter } from '../contract.ts'
import type { ChildDef, RowsDef } from './index.ts'
import type { Place } from './keys.ts'
import type { SpooledRecord } from './records.ts'

/** Puts the rows of one record into batches: itself, or the elements of a list within it. */
export type AddRows = (record: SpooledRecord, batches: CellBatches) => void

export function rowReader(
  rows: RowsDef,
  child: ChildDef | null,
  columns: readonly ColumnDef[],
  filter: RowFilter,
): AddRows {
  return child === null ? recordRows(rows, columns, filter) : listRows(child, columns)
}

function pathOf(rows: RowsDef, name: string): readonly string[] {
  return rows.at[name] ?? [name]
}

function recordRows(rows: RowsDef, columns: readonly ColumnDef[], { since }: RowFilter): AddRows {
  const stamp = rows.columns.find(column => column.name === since?.column)
  const fields = [...columns, ...(stamp === undefined ? [] : [stamp])].map(column => ({
    column,
    path: pathOf(rows, column.name),
  }))
  const read = recordReader(fields)
  return (record, batches) => {
    const all = read(record.bytes, wholeOf(record))
    const values = all.slice(0, columns.length)
    if (record.before !== null) return repeats(record, values, batches)
    if (stamp !== undefined && since !== undefined) {
      // The parameter is cut to what it can say, and an API may take it loosely.
      if (isBefore(stamp, all[columns.length] ?? null, since.atLeastMicros)) return
    }
    batches.add(values, () => placeText(record.place))
  }
}

/** True when the row was not changed since; one whose stamp cannot be read is not left out but rejected. */
function isBefore({ type }: ColumnDef, value: Value, micros: bigint): boolean {
  if (value === null) return true
  if (!('text' in value)) return false
  const cell = parseCell(type, value.text)
  return typeof cell === 'bigint' && cell < micros
}

function listRows(child: ChildDef, columns: readonly ColumnDef[]): AddRows {
  const list = listReader(child, child.columns, columns)
  return (record, batches) => {
    const { bytes } = record
    const placed = { bytes, record: wholeOf(record), place: (): string => placeText(record.place) }
    if (record.before !== null) repeats(record, list.keyOf(placed), batches)
    else list.add(placed, batches)
  }
}

/** A record that the API gave twice, as a list that moves between two pages does. */
function repeats(record: SpooledRecord, values: readonly Value[], batches: CellBatches): void {
  const first = placeText(record.before as Place)
  const detail = `its key came before, as ${first} (${placeText(record.place)})`
  batches.reject('KEY_REPEATED', detail, values, contentOf(record.bytes, wholeOf(record)))
}

function placeText({ page, index }: Place): string {
  return `record ${index} of page ${page}`
}

function wholeOf({ bytes }: SpooledRecord): Slice {
  return { start: 0, end: bytes.length }
}
