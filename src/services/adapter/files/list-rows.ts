import type { JsonList } from '../../../core/json-list.ts'
import type { RowReject } from '../../../core/reject.ts'
import type { ColumnDef } from '../../../core/types.ts'
import { CellBatches, type Value } from '../../../systems/cells/batches.ts'
import { keyText } from '../../../systems/cells/json-key.ts'
import { listReader, type ListReader, type PlacedRecord } from '../../../systems/cells/json-list.ts'
import type { SourceBatch } from '../contract.ts'
import { makeFields, type Fields } from './csv-scan.ts'
import { JsonScanner, jsonBad } from './json-scan.ts'
import { contentChars } from './lines.ts'
import type { JsonRows, JsonShape } from './ndjson.ts'

export interface ListShape extends JsonShape {
  readonly list: JsonList
  readonly listColumns: readonly ColumnDef[]
  /** Parts of the key of the objects that stand in the path of the file. */
  readonly given: ReadonlyMap<string, Value>
  /** What an object is called where it stands in the file. */
  readonly noun: 'line' | 'object'
}

/** Puts the elements of a list within objects into rows; see `listOf` in the contract. */
export class ListRows implements JsonRows {
  readonly scanner: JsonScanner
  readonly #shape: ListShape
  readonly #fields: Fields = makeFields(0)
  readonly #batches: CellBatches
  readonly #list: ListReader
  /** Where the key of the object stands among the columns. */
  readonly #parent: readonly number[]

  constructor(shape: ListShape) {
    const { list, listColumns, given } = shape
    // An element without a part of its key would be the row of none: it is set aside, whatever its columns allow.
    const strict = listColumns.map(it => ({ ...it, nullable: it.nullable && !list.key.includes(it.name) }))
    this.#shape = shape
    this.scanner = new JsonScanner([], shape)
    this.#batches = new CellBatches(strict, list.key, shape.maxLineBytes)
    this.#list = listReader(list, strict, strict, given)
    this.#parent = strict.flatMap(({ name }, i) => (list.parent[name] === undefined ? [] : [i]))
  }

  get full(): boolean {
    return this.#batches.full
  }

  add(bytes: Buffer, from: number, to: number, at: { readonly line: number; readonly problem: string | null }): void {
    const reject = (reason: RowReject['reason'], detail: string): void => {
      const content = bytes.toString('utf8', from, Math.min(to, from + contentChars))
      this.reject(reason, detail, { line: at.line, bytes: to - from, content })
    }
    if (at.problem !== null) return reject('LINE_NOT_TEXT', at.problem)
    // Checks the whole object, within the limits of files.
    if (this.scanner.readObject(bytes, from, to, this.#fields) === jsonBad) {
      return reject('LINE_JSON', this.scanner.problem)
    }
    this.#batches.line = at.line
    const record: PlacedRecord = { bytes, record: objectIn(bytes, from, to), place: () => this.#place(at.line) }
    if (!this.#list.add(record, this.#batches)) return
    // An object whose key cannot be read has no elements either: it is a reject of the table of objects.
    const key = this.#list.keyOf(record)
    const parts = this.#parent.map(place => key[place] ?? null)
    const columns = this.#parent.map(place => this.#shape.listColumns[place] as ColumnDef)
    if (keyText(columns, parts) !== null) this.#batches.add(key, record.place, { open: true })
  }

  reject(reason: RowReject['reason'], detail: string, at: Parameters<JsonRows['reject']>[2]): void {
    this.#batches.line = at.line
    this.#batches.reject(reason, detail, null, at)
  }

  take(): SourceBatch | null {
    return this.#batches.empty ? null : this.#batches.take()
  }

  #place(line: number): string {
    return `${this.#shape.noun} ${line}`
  }
}

function objectIn(bytes: Buffer, from: number, to: number): PlacedRecord['record'] {
  let start = from
  while (bytes[start] !== 0x7b) start++
  return { start, end: to }
}
