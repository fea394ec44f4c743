import { fail } from '../../../core/errors.ts'
import type { ColumnDef } from '../../../core/types.ts'
import { keyColumnsOf, keyText } from '../../../systems/cells/json-key.ts'
import { recordReader } from '../../../systems/cells/json-record.ts'
import type { Slice } from '../../../systems/cells/json-scan.ts'
import type { RowsDef } from './index.ts'

/** Where a record stands in what the API gave: page and record, both counted from 1. */
export interface Place {
  readonly page: number
  readonly index: number
}

/** Records of one page that a place can count: a page has 512 MiB at most, a record two bytes at least. */
const indexes = 2 ** 29

/**
 * The keys of the records of one read. A list that changes while its pages are read shows a record on two of them: the
 * first one counts. A record without a whole key is none that repeats; it is rejected when it is read.
 */
export class SeenKeys {
  readonly #columns: readonly ColumnDef[]
  readonly #read: ReturnType<typeof recordReader>
  readonly #first = new Map<string, number>()
  readonly #limit: { readonly most: number; readonly source: string; readonly endpoint: string }

  constructor(rows: RowsDef, limit: { readonly most: number; readonly source: string; readonly endpoint: string }) {
    this.#columns = keyColumnsOf(rows.key, rows.columns)
    this.#read = recordReader(this.#columns.map(column => ({ column, path: rows.at[column.name] ?? [column.name] })))
    this.#limit = limit
  }

  /** Where a record with this one's key came before; `null` for the first. Throws `HTTP_RECORDS` past the limit. */
  before(body: Uint8Array, record: Slice, { page, index }: Place): Place | null {
    if (this.#columns.length === 0) return null
    const key = keyText(this.#columns, this.#read(body, record))
    if (key === null) return null
    const first = this.#first.get(key)
    if (first !== undefined) return { page: Math.floor(first / indexes), index: first % indexes }
    if (this.#first.size >= this.#limit.most) throw fail('HTTP_RECORDS', this.#limit)
    this.#first.set(key, page * indexes + index)
    return null
  }
}
