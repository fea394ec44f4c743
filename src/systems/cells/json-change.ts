import { rejectMessage, unknownMessage } from '../../core/change-reject.ts'
import { changeOp, type ChangeMessage, type ChangeOp, type TableChanges } from '../../core/change-slice.ts'
import type { ColumnDef } from '../../core/types.ts'
import { CellBatches, type Value } from './batches.ts'
import { keyColumnsOf, keyText } from './json-key.ts'
import { recordReader } from './json-record.ts'
import { eachMember, JsonFault, kindOf, textBytes, wholeValue, type Slice } from './json-scan.ts'

/** A change as an application wrote it: JSON of its key, and of the columns that it tells. */
export interface JsonEvent {
  readonly table: string
  readonly op: string
  readonly key: Uint8Array | null
  readonly row: Uint8Array | null
  /** Where the source has it, for rejects. */
  readonly place: string
}

/** A table that events are of, as it is asked for. */
export interface EventTable {
  readonly name: string
  /** What events call it. */
  readonly remote: string
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
}

const ops: Readonly<Record<string, ChangeOp | undefined>> = {
  insert: changeOp.insert,
  update: changeOp.update,
  delete: changeOp.delete,
  truncate: changeOp.truncate,
}
const empty = Buffer.from('{}')
/** Most bytes of an event that a reject shows. */
const SHOWN_BYTES = 1000

/**
 * Events become changes of columns: numbers keep their digits, and an update that leaves a column out leaves it as it was. An
 * event that is wrong becomes a message that says why, and blocks no other. Columns and tables that nobody asked for are
 * told once.
 */
export class EventChanges {
  readonly #tables: ReadonlyMap<string, TableEvents>
  readonly #told = new Set<string>()
  #messages: ChangeMessage[] = []
  #count = 0

  constructor(tables: readonly EventTable[], bytesMax: number) {
    const made = tables.map(table => new TableEvents(table, bytesMax))
    this.#tables = new Map(made.flatMap(it => [[it.table.remote, it] as const, [it.table.name, it] as const]))
  }

  /** Changes since the last `take`. */
  get count(): number {
    return this.#count
  }

  add(event: JsonEvent): void {
    const table = this.#tables.get(event.table)
    if (table === undefined) return this.#tellOnce(event.table, null)
    try {
      this.#count += table.add(event, this.#count)
      for (const column of table.unknown.splice(0)) this.#tellOnce(table.table.name, column)
    } catch (error) {
      if (!(error instanceof EventFault) && !(error instanceof JsonFault)) throw error
      const reason = error instanceof JsonFault ? 'LINE_JSON' : 'LINE_FIELD_MISSING'
      const shown = Buffer.concat([event.key ?? empty, event.row ?? empty])
      const detail = `${error.message} (${event.place})`
      const content = shown.toString('utf8', 0, SHOWN_BYTES)
      this.#messages.push(
        rejectMessage(this.#count, table.table.name, {
          reason,
          detail,
          key: null,
          line: null,
          bytes: shown.length,
          content,
        }),
      )
    }
  }

  /** The changes so far, in buffers of their own. */
  take(): { readonly tables: readonly TableChanges[]; readonly messages: readonly ChangeMessage[] } {
    const tables: TableChanges[] = []
    for (const table of new Set(this.#tables.values())) {
      const { changes, rejects } = table.take()
      if (changes.rows.rows > 0) tables.push(changes)
      this.#messages.push(...rejects.map(reject => rejectMessage(this.#count, table.table.name, reject)))
    }
    const messages = this.#messages.sort((a, b) => a.order - b.order)
    this.#messages = []
    this.#count = 0
    return { tables, messages }
  }

  #tellOnce(table: string, column: string | null): void {
    const what = JSON.stringify([table, column])
    if (this.#told.has(what)) return
    this.#told.add(what)
    this.#messages.push(unknownMessage(this.#count, table, column))
  }
}

/** What is wrong with an event, for people. */
class EventFault extends Error {}

/** Changes of one table in the making. */
class TableEvents {
  readonly table: EventTable
  /** Columns of the last event that nobody asked for. */
  readonly unknown: string[] = []
  readonly #batches: CellBatches
  readonly #read: (bytes: Uint8Array, record: Slice) => Value[]
  readonly #keyColumns: readonly ColumnDef[]
  readonly #keyPlaces: readonly number[]
  readonly #names: ReadonlyMap<string, number>
  #ops: number[] = []
  #order: number[] = []
  /** For each row the columns that its event left out. */
  #unchanged: (readonly number[])[] = []

  constructor(table: EventTable, bytesMax: number) {
    this.table = table
    this.#batches = new CellBatches(table.columns, table.key, bytesMax)
    this.#read = recordReader(table.columns.map(column => ({ column, path: [column.name] })))
    this.#keyColumns = keyColumnsOf(table.key, table.columns)
    this.#keyPlaces = table.key.map(name => table.columns.findIndex(column => column.name === name))
    this.#names = new Map(table.columns.map(({ name }, i) => [name, i]))
  }

  /** Adds the changes of an event; gives how many. */
  add(event: JsonEvent, order: number): number {
    const op = ops[event.op]
    if (op === undefined) throw new EventFault(`it has the operation "${event.op.slice(0, 40)}", which is none`)
    if (op === changeOp.truncate) return this.#put([], { op, order, left: [], place: event.place })
    const key = this.#members(event.key, 'key')
    const keyValues = key.values.map((value, i) => (this.#keyPlaces.includes(i) ? value : null))
    const missing = this.#keyPlaces.find(place => keyValues[place] === null)
    if (missing !== undefined) throw new EventFault(`its key has no "${this.table.columns[missing]?.name ?? ''}"`)
    if (op === changeOp.delete) return this.#put(keyValues, { op, order, left: [], place: event.place })
    const row = this.#members(event.row, 'row')
    const values = row.values.map((value, i) =>
      this.#keyPlaces.includes(i) && !row.given.has(i) ? (keyValues[i] ?? null) : value,
    )
    const isAbsent = (i: number): boolean => !row.given.has(i) && !this.#keyPlaces.includes(i)
    const left = op === changeOp.update ? [...values.keys()].filter(isAbsent) : []
    const [before, after] = [this.#keyOf(keyValues), this.#keyOf(values)]
    if (op === changeOp.insert || before === after) return this.#put(values, { op, order, left, place: event.place })
    const gone = this.#put(keyValues, { op: changeOp.delete, order, left: [], place: event.place })
    return gone + this.#put(values, { op: changeOp.move, order: order + gone, left, place: event.place })
  }

  take(): { readonly changes: TableChanges; readonly rejects: ReturnType<CellBatches['take']>['rejects'] } {
    const { batch, rejects } = this.#batches.take()
    const { name, columns } = this.table
    const changes: TableChanges = {
      table: name,
      columns,
      rows: batch,
      ops: Uint8Array.from(this.#ops),
      order: Uint32Array.from(this.#order),
      unchanged: columns.map((_, c) => this.#bitsOf(c)),
    }
    this.#ops = []
    this.#order = []
    this.#unchanged = []
    return { changes, rejects }
  }

  #put(
    values: readonly Value[],
    {
      op,
      order,
      left,
      place,
    }: { readonly op: ChangeOp; readonly order: number; readonly left: readonly number[]; readonly place: string },
  ): number {
    const isWhole = op === changeOp.insert
    const all = this.table.columns.map((_, i) => values[i] ?? null)
    if (!this.#batches.add(all, () => place, { open: !isWhole })) return 0
    this.#ops.push(op)
    this.#order.push(order)
    this.#unchanged.push(left)
    return 1
  }

  /** The values of an object, and which columns it has. */
  #members(
    json: Uint8Array | null,
    what: string,
  ): { readonly values: readonly Value[]; readonly given: ReadonlySet<number> } {
    if (json === null) throw new EventFault(`it has no ${what}`)
    const record = wholeValue(json)
    if (kindOf(json, record) !== 'object') throw new EventFault(`its ${what} is no object`)
    const given = new Set<number>()
    eachMember(json, record.start, name => {
      const text = Buffer.from(textBytes(json, name) ?? []).toString('utf8')
      const place = this.#names.get(text)
      if (place === undefined) this.unknown.push(text)
      else given.add(place)
    })
    return { values: this.#read(json, record), given }
  }

  #keyOf(values: readonly Value[]): string | null {
    return keyText(
      this.#keyColumns,
      this.#keyPlaces.map(place => values[place] ?? null),
    )
  }

  #bitsOf(column: number): Uint8Array | null {
    let bits: Uint8Array | null = null
    for (const [row, left] of this.#unchanged.entries()) {
      if (!left.includes(column)) continue
      bits ??= new Uint8Array((this.#unchanged.length + 7) >> 3)
      bits[row >> 3] = (bits[row >> 3] as number) | (1 << (row & 7))
    }
    return bits
  }
}
