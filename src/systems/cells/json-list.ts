import type { JsonList } from '../../core/json-list.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { CellBatches, Value } from './batches.ts'
import { keyColumnsOf, keyText } from './json-key.ts'
import { recordReader, valueAt, type FieldPath } from './json-record.ts'
import { eachElement, JsonFault, kindOf, type Slice } from './json-scan.ts'

/** A record, checked by the grammar before, and where its source has it. */
export interface PlacedRecord {
  readonly bytes: Buffer
  readonly record: Slice
  readonly place: () => string
}

/** Makes rows of the elements of a list within records. */
export interface ListReader {
  /**
   * Puts the elements into batches: an element that does not fit, or repeats a key, is set aside with its place. A record
   * without the list, or with NULL, has no element. False when anything was set aside: the rows are not the whole list.
   */
  add(record: PlacedRecord, batches: CellBatches): boolean
  /** The row that has the key of the record, and nothing else. */
  keyOf(record: PlacedRecord): Value[]
}

/** `all` are the columns of the list, `columns` those that are read; `given` are parts of the key that no record has. */
export function listReader(
  list: JsonList,
  all: readonly ColumnDef[],
  columns: readonly ColumnDef[],
  given: ReadonlyMap<string, Value> = new Map(),
): ListReader {
  const isParent = (column: ColumnDef): boolean => list.parent[column.name] !== undefined
  const isOwn = (column: ColumnDef): boolean => !isParent(column) && column.name !== list.position
  const own = (column: ColumnDef): FieldPath => ({ column, path: list.at[column.name] ?? [column.name] })
  const readParent = recordReader(
    columns.filter(isParent).map(column => ({ column, path: list.parent[column.name] as readonly string[] })),
  )
  const readOwn = recordReader(columns.filter(isOwn).map(own))
  const ownKey = keyColumnsOf(list.key, all).filter(isOwn)
  const readKey = recordReader(ownKey.map(own))
  const together = (parents: readonly Value[], mine: readonly Value[], position: Value): Value[] => {
    const [parent, value] = [parents.values(), mine.values()]
    return columns.map(column => {
      if (column.name === list.position) return position
      if (!isParent(column)) return value.next().value ?? null
      const read = parent.next().value ?? null
      return given.has(column.name) ? (given.get(column.name) ?? null) : read
    })
  }
  const keyOf = ({ bytes, record }: PlacedRecord): Value[] => together(readParent(bytes, record), [], null)
  const add = (placed: PlacedRecord, batches: CellBatches): boolean => {
    const { bytes, record, place } = placed
    const found = listOf(list.list, bytes, record)
    if (typeof found === 'string') {
      // Which elements it has is not known, so it names no key: none of those that are staged is taken as deleted.
      batches.reject('VALUE_NOT_IN_TYPE', `${found} (${place()})`, null, contentOf(bytes, record))
      return false
    }
    if (found === null) return true
    const parents = readParent(bytes, record)
    let isWhole = true
    let position = 0
    const seen = new Set<string>()
    eachElement(bytes, found.start, element => {
      const values = together(parents, readOwn(bytes, element), { cell: position++ })
      const number = position
      const where = (): string => `${place()}, element ${number}`
      const key = list.position === null ? keyText(ownKey, readKey(bytes, element)) : null
      const isRepeated = key !== null && seen.size === seen.add(key).size
      if (!isRepeated) {
        isWhole = batches.add(values, where) && isWhole
        return
      }
      isWhole = false
      const detail = `an element before it has its key (${where()})`
      batches.reject('KEY_REPEATED', detail, values, contentOf(bytes, element))
    })
    return isWhole
  }
  return { add, keyOf }
}

/** The list, `null` where the record has none, or why it cannot be read. */
function listOf(path: readonly string[], bytes: Buffer, record: Slice): Slice | null | string {
  try {
    const list = valueAt(bytes, record, path)
    if (list === null || kindOf(bytes, list) === 'null') return null
    return kindOf(bytes, list) === 'list' ? list : `${path.join('.')} of the record is no list`
  } catch (error) {
    if (error instanceof JsonFault) return error.message
    throw error
  }
}

/** The start of a value for people, and its size. */
export function contentOf(bytes: Buffer, { start, end }: Slice): { readonly bytes: number; readonly content: string } {
  return { bytes: end - start, content: bytes.toString('utf8', start, Math.min(end, start + 1000)) }
}
