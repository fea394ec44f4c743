import type { ColumnDef } from '../../../../core/types.ts'
import { typeText } from '../../../../core/types.ts'
import { readLogAs, type LogColumn } from '../../../../systems/postgres/log-values.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import { nativeOf, type Types } from '../catalog.ts'
import { BrokenStream } from './broken-stream.ts'
import type { Cursor } from './cursor.ts'

/** A Relation message: what the log says a table is from here on. */
export interface RelationMessage {
  readonly id: number
  readonly schema: string
  readonly name: string
  /** `d` default, `f` full, `i` index, `n` nothing. */
  readonly identity: string
  readonly columns: readonly {
    readonly name: string
    readonly isKey: boolean
    readonly type: number
    readonly modifier: number
  }[]
}

/** A table of the stream as the log has it: how the values of its tuples become columns. */
export interface Relation {
  readonly id: number
  readonly table: CapturedTable
  /** The columns that slices have, in the order of the config. */
  readonly columns: readonly ColumnDef[]
  readonly logColumns: readonly LogColumn[]
  /** For each value of a tuple its place in `columns`, or -1. */
  readonly places: Int16Array
  /** For each value of a tuple a `touch`. */
  readonly touches: Uint8Array
  /** Places of the key in `columns`. */
  readonly key: readonly number[]
  /** Every column, as the log has them. */
  readonly all: readonly ColumnDef[]
  readonly keyNames: readonly string[]
  /** Everything of the message, for telling whether anything changed. */
  readonly shape: string
}

/** A type that has no binary form which we know: the stream must be opened again, as text. */
export class NeedsText extends Error {}

/** Reads a Relation message behind its kind. */
export function readRelation(cursor: Cursor): RelationMessage {
  const id = cursor.int()
  const schema = cursor.text() || 'pg_catalog'
  const name = cursor.text()
  const identity = String.fromCharCode(cursor.byte())
  const count = cursor.short()
  if (count < 0 || count > 1_600) throw new BrokenStream(`a table of ${count} columns`)
  const columns = Array.from({ length: count }, () => {
    const isKey = (cursor.byte() & 1) === 1
    return { isKey, name: cursor.text(), type: cursor.int(), modifier: cursor.int() | 0 }
  })
  cursor.done()
  return { id, schema, name, identity, columns }
}

/** Lays a message over the table that was asked for. Throws `NeedsText`. */
export function relationOf(message: RelationMessage, table: CapturedTable, types: Types, isBinary: boolean): Relation {
  const natives = message.columns.map(it => nativeOf(it.type, it.modifier, types))
  const all = message.columns.map((it, i): ColumnDef => {
    const asked = table.columns.find(column => column.name === it.name)
    const type = readLogAs(natives[i]!, false)!.type
    return { name: it.name, type, nullable: asked?.nullable ?? true, personal: asked?.personal ?? false }
  })
  const kept = table.columns.filter(it => all.some(column => column.name === it.name))
  const columns = kept.map(it => all.find(column => column.name === it.name) as ColumnDef)
  const places = Int16Array.from(all, it => columns.findIndex(column => column.name === it.name))
  const logColumns = columns.map(({ name }) => {
    const read = readLogAs(natives[all.findIndex(it => it.name === name)]!, isBinary)
    if (read === null) throw new NeedsText(`column "${name}" of "${table.remote}" has no binary form`)
    return read
  })
  const touches = Uint8Array.from(places, place => (place < 0 ? 0 : (logColumns[place] as LogColumn).touch))
  return {
    id: message.id,
    table,
    columns,
    logColumns,
    places,
    touches,
    key: table.key.map(name => columns.findIndex(it => it.name === name)).filter(it => it >= 0),
    all,
    keyNames: keyOf(message, table),
    shape: JSON.stringify([message, all.map(it => typeText(it.type))]),
  }
}

/** The key that the source declares: with a full identity every column is marked, so that the one of the config stands. */
function keyOf({ identity, columns }: RelationMessage, { key }: CapturedTable): readonly string[] {
  const marked = columns.filter(it => it.isKey).map(it => it.name)
  if (identity === 'f') return key.filter(name => columns.some(it => it.name === name))
  if (marked.length === key.length && key.every(name => marked.includes(name))) return key
  return marked
}

/**
 * True when a table is not what was asked for, or not what it was: then the stream says so. Of a stream that begins nobody
 * knows what it was, so columns that were not asked for are told: they may have come while nobody read.
 */
export function isChanged(now: Relation, before: Relation | undefined): boolean {
  if (before !== undefined) return now.shape !== before.shape && told(now) !== told(before)
  const { table } = now
  if (now.all.length > now.columns.length) return true
  if (now.columns.length < table.columns.length || now.keyNames.join('\0') !== table.key.join('\0')) return true
  return table.columns.some((it, i) => typeText(it.type) !== typeText((now.columns[i] as ColumnDef).type))
}

function told({ all, keyNames }: Relation): string {
  return JSON.stringify([all.map(it => [it.name, typeText(it.type)]), keyNames])
}
