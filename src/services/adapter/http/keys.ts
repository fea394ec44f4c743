import { sha256 } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { Value } from '../../../systems/cells/batches.ts'
import { recordReader } from '../../../systems/cells/json-record.ts'
import type { Slice } from '../../../systems/cells/json-scan.ts'
import { parseCell } from '../../../systems/cells/parse.ts'
import type { RowsDef } from './index.ts'

/** Where a record stands in what the API gave: page and record, both counted from 1. */
export interface Place {
  readonly page: number
  readonly index: number
}

/** A longer key is remembered by its hash. */
const keyLengthMax = 64
/** Records of one page that a place can count: a page has 512 MiB at most, a record two bytes at least. */
const indexes = 2 ** 29

/** The columns of a key in its order. */
export function keyColumnsOf({ key, columns }: Pick<RowsDef, 'key' | 'columns'>): readonly ColumnDef[] {
  return key.flatMap(name => columns.filter(column => column.name === name))
}

/** A key as one text, equal for equal values however they are spelled; `null` where a part is missing or misfits. */
export function keyText(columns: readonly ColumnDef[], values: readonly Value[]): string | null {
  let text = ''
  for (const [i, { type }] of columns.entries()) {
    const value = values[i] ?? null
    if (value === null || 'misfit' in value) return null
    const cell = 'cell' in value ? value.cell : parseCell(type, value.text)
    if (typeof cell === 'string') return null
    const part = cell instanceof Uint8Array ? Buffer.from(cell).toString('latin1') : String(cell)
    text += `${part.length}:${part}`
  }
  return text.length > keyLengthMax ? sha256(text) : text
}

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
    this.#columns = keyColumnsOf(rows)
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
