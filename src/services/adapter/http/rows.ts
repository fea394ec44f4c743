import type { ColumnDef } from '../../../core/types.ts'
import type { CellBatches, Value } from '../../../systems/cells/batches.ts'
import { recordReader, valueAt, type FieldPath } from '../../../systems/cells/json-record.ts'
import { eachElement, JsonFault, kindOf, type Slice } from '../../../systems/cells/json-scan.ts'
import { parseCell } from '../../../systems/cells/parse.ts'
import type { RowFilter } from '../contract.ts'
import type { ChildDef, RowsDef } from './index.ts'
import { keyColumnsOf, keyText, type Place } from './keys.ts'
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
  const isParent = (column: ColumnDef): boolean => child.parent[column.name] !== undefined
  const fields = (of: (column: ColumnDef) => boolean, at: (name: string) => readonly string[]): readonly FieldPath[] =>
    columns.filter(of).map(column => ({ column, path: at(column.name) }))
  const isOwn = (column: ColumnDef): boolean => !isParent(column) && column.name !== child.position
  const readParent = recordReader(fields(isParent, name => child.parent[name] ?? []))
  const readOwn = recordReader(fields(isOwn, name => pathOf(child, name)))
  const ownKey = keyColumnsOf(child).filter(isOwn)
  const readKey = recordReader(ownKey.map(column => ({ column, path: pathOf(child, column.name) })))
  return (record, batches) => {
    const { bytes, place } = record
    const whole = wholeOf(record)
    const parents = readParent(bytes, whole)
    const together = (own: readonly Value[], position: number): Value[] => {
      const [parent, mine] = [parents.values(), own.values()]
      return columns.map(column => {
        if (column.name === child.position) return { cell: position }
        return (isParent(column) ? parent.next().value : mine.next().value) ?? null
      })
    }
    if (record.before !== null) return repeats(record, together([], 0), batches)
    const list = listOf(child, record)
    if (typeof list === 'string') return notList(list, record, together([], 0), batches)
    if (list === null) return
    let position = 0
    const seen = new Set<string>()
    eachElement(bytes, list.start, element => {
      const values = together(readOwn(bytes, element), position++)
      const where = `${placeText(place)}, element ${position}`
      const key = child.position === null ? keyText(ownKey, readKey(bytes, element)) : null
      const isRepeated = key !== null && seen.size === seen.add(key).size
      if (!isRepeated) return batches.add(values, () => where)
      const detail = `an element before it has its key (${where})`
      batches.reject('KEY_REPEATED', detail, values, contentOf(bytes, element))
    })
  }
}

/** The list, `null` where the record has none, or why it cannot be read. */
function listOf(child: ChildDef, record: SpooledRecord): Slice | null | string {
  const { bytes } = record
  try {
    const list = valueAt(bytes, wholeOf(record), child.list)
    if (list === null || kindOf(bytes, list) === 'null') return null
    return kindOf(bytes, list) === 'list' ? list : `${child.list.join('.')} of the record is no list`
  } catch (error) {
    if (error instanceof JsonFault) return error.message
    throw error
  }
}

function notList(problem: string, record: SpooledRecord, values: readonly Value[], batches: CellBatches): void {
  const detail = `${problem} (${placeText(record.place)})`
  batches.reject('VALUE_NOT_IN_TYPE', detail, values, contentOf(record.bytes, wholeOf(record)))
}

/** A record that the API gave twice, as a list that moves between two pages does. */
function repeats(record: SpooledRecord, values: readonly Value[], batches: CellBatches): void {
  const first = placeText(record.before as Place)
  const detail = `its key came before, as ${first} (${placeText(record.place)})`
  batches.reject('KEY_REPEATED', detail, values, contentOf(record.bytes, wholeOf(record)))
}

function contentOf(bytes: Buffer, { start, end }: Slice): { readonly bytes: number; readonly content: string } {
  return { bytes: end - start, content: bytes.toString('utf8', start, Math.min(end, start + 1000)) }
}

function placeText({ page, index }: Place): string {
  return `record ${index} of page ${page}`
}

function wholeOf({ bytes }: SpooledRecord): Slice {
  return { start: 0, end: bytes.length }
}
