import type { ColumnDef } from '../../../core/types.ts'
import type { CellBatches, Value } from '../../../systems/cells/batches.ts'
import { recordReader, valueAt, type FieldPath } from '../../../systems/cells/json-record.ts'
import { eachElement, kindOf, type Slice } from '../../../systems/cells/json-scan.ts'
import { parseCell } from '../../../systems/cells/parse.ts'
import type { RowFilter } from '../contract.ts'
import type { ChildDef, RowsDef } from './index.ts'

/** Puts the rows of one record into batches: itself, or the elements of a list within it. */
export type AddRows = (record: Buffer, batches: CellBatches) => void

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
    const values = read(record, wholeOf(record))
    if (stamp !== undefined && since !== undefined) {
      // The parameter is cut to what it can say, and an API may take it loosely.
      if (isBefore(stamp, values[columns.length] ?? null, since.atLeastMicros)) return
    }
    batches.add(values.slice(0, columns.length))
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
  const isParent = (column: ColumnDef): boolean => child.parent[column.name] !== undefined
  const fields = (of: (column: ColumnDef) => boolean, at: (name: string) => readonly string[]): readonly FieldPath[] =>
    columns.filter(of).map(column => ({ column, path: at(column.name) }))
  const isOwn = (column: ColumnDef): boolean => !isParent(column) && column.name !== child.position
  const readParent = recordReader(fields(isParent, name => child.parent[name] ?? []))
  const readOwn = recordReader(fields(isOwn, name => pathOf(child, name)))
  return (record, batches) => {
    const whole = wholeOf(record)
    const parents = readParent(record, whole)
    const together = (own: readonly Value[], position: number): Value[] => {
      const [parent, mine] = [parents.values(), own.values()]
      return columns.map(column => {
        if (column.name === child.position) return { cell: position }
        return (isParent(column) ? parent.next().value : mine.next().value) ?? null
      })
    }
    const list = valueAt(record, whole, child.list)
    if (list === null || kindOf(record, list) === 'null') return
    if (kindOf(record, list) !== 'list') return notList(child, record, list, together([], 0), batches)
    let position = 0
    eachElement(record, list.start, element => batches.add(together(readOwn(record, element), position++)))
  }
}

function notList(child: ChildDef, record: Buffer, found: Slice, values: readonly Value[], batches: CellBatches): void {
  const content = record.toString('utf8', found.start, Math.min(found.end, found.start + 1000))
  const detail = `${child.list.join('.')} of the record is no list`
  batches.reject('VALUE_NOT_IN_TYPE', detail, values, { bytes: found.end - found.start, content })
}

function wholeOf(record: Buffer): Slice {
  return { start: 0, end: record.length }
}
