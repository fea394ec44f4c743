import { durationMs, readOptions } from '../core/implementation.ts'
import type { SecretRef } from '../core/secret.ts'
import { redis as adapter, type RedisTableDef } from '../services/adapter/redis/index.ts'
import type { Duration, Polled } from './change.ts'
import { everyOf } from './change-def.ts'
import { columnDefs, keyList, type Columns, type KeyOf, type NameOf } from './column.ts'
import { checkedName, checkedOptions, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { ChangeDef, SourceTableDef } from './model.ts'
import { sourceOf, tableDef, type Table } from './source.ts'

/**
 * One table of a Redis source.
 * - `hashes: 'user:*'` has a row for each hash with such a key, and a column for each field.
 * - `strings: 'visits:*'` has a row for each string with such a key, and one column beside the key.
 * - `stream: 'events'` has a row for each entry of one stream, and a column for each field.
 */
export type RedisTable<C extends Columns> = {
  readonly columns: C
  /** The column for what the `*` of the pattern stands for, or for the id of a stream's entry. */
  readonly key: NameOf<C> | readonly [NameOf<C>]
} & (
  | {
      readonly hashes: `${string}*${string}`
      readonly strings?: never
      readonly stream?: never
      readonly since?: never
    }
  | {
      readonly strings: `${string}*${string}`
      readonly hashes?: never
      readonly stream?: never
      readonly since?: never
    }
  | { readonly stream: string; readonly since?: StreamSince; readonly hashes?: never; readonly strings?: never }
)

/** Reads only the entries behind the last one that was read, by their ids. */
export interface StreamSince {
  /** An id cannot show a delete, nor that the stream was cut: `keep` leaves such rows in place, `sweep` compares all ids that often. */
  readonly deletes: 'keep' | { readonly sweep: Duration }
}

interface ColumnsByTable {
  readonly [table: string]: Columns
}
interface KeysByTable {
  readonly [table: string]: string | readonly [string]
}
type RedisTables<T extends ColumnsByTable, K extends KeysByTable> = { readonly [N in keyof T]: RedisTable<T[N]> } & {
  readonly [N in keyof K]: { readonly key: K[N] }
}

export interface RedisOptions {
  /** `rediss://user:password@host:6379/0`, as `env('NAME')` or `file('path')`; `redis://` without TLS. */
  readonly url: SecretRef
  /** Longest wait for a connection and its login. */
  readonly connectTimeout?: Duration
  /** Longest wait for the answer to one command. */
  readonly answerTimeout?: Duration
  /** Keys that one SCAN looks at. */
  readonly scanCount?: number
  /** Most keys of one table. */
  readonly maxKeys?: number
  /** Most rows that are read in a second; 0, the default, is as fast as it goes. */
  readonly rowsPerSecond?: number
  /** Hours of the day, in UTC, in which the server may be read: `'22:00-06:00'`. */
  readonly hours?: `${number}:${number}-${number}:${number}`
  /** Largest row that is taken, in bytes of its values; a larger one is set aside. */
  readonly maxValueBytes?: number
}

/** Hashes, strings and streams of a Redis server. */
export function redis<const S extends string, T extends ColumnsByTable, const K extends KeysByTable>(
  name: S,
  options: RedisOptions & Polled & { readonly tables: RedisTables<T, K> },
): Handle & { readonly [N in keyof T]: Table<S, T[N], KeyOf<K[N & keyof K]>> } {
  checkedName('source', name)
  const { tables, every, ...rest } = options
  const made = Object.entries(tables as Readonly<Record<string, RedisTable<Columns>>>).map(([table, given]) =>
    madeTable(name, table, given),
  )
  const data = Object.fromEntries(made.map(({ table, def }) => [table.name, def]))
  readOptions(adapter.options, { ...rest, tables: data }, `source "${name}"`)
  return sourceOf({
    name,
    adapter: adapter.kind,
    options: { ...rest, tables: data },
    tables: made.map(it => it.table),
    ...everyOf(name, every),
  })
}

function madeTable(
  source: string,
  name: string,
  given: RedisTable<Columns>,
): { readonly table: SourceTableDef; readonly def: RedisTableDef } {
  const where = `table ${source}.${name}`
  checkedOptions(where, given, ['columns', 'key', 'hashes', 'strings', 'stream', 'since'])
  const { columns } = given
  const [key = ''] = keyList(given.key)
  const table = tableDef(source, name, { remote: name, columns, key: [key], change: changeOf(where, key, given) })
  const defs = columnDefs(columns)
  const odd = defs.find(column => column.type.kind === 'interval')
  if (odd !== undefined) throw mistake(`${where}: column "${odd.name}" cannot be an interval; take it as text`)
  if (given.strings !== undefined && defs.length !== 2) {
    throw mistake(`${where}: a string has a key and a value, so it takes two columns`)
  }
  return { table, def: { ...placeOf(where, given), key, columns: defs, isAppended: given.since !== undefined } }
}

function changeOf(where: string, key: string, { stream, since }: RedisTable<Columns>): ChangeDef {
  if (since === undefined) return { technique: 'full' }
  if (stream === undefined) throw mistake(`${where}: only a stream has an order that since could go by`)
  checkedOptions(`${where}, since`, since, ['deletes'])
  const { deletes } = since
  const everyMs = typeof deletes === 'object' ? durationMs(String(deletes.sweep)) : null
  if (deletes !== 'keep' && everyMs === null) {
    throw mistake(`${where}: an id shows no delete; say deletes: 'keep' or { sweep: '1d' }`)
  }
  const kept = everyMs === null ? ({ kind: 'keep' } as const) : ({ kind: 'sweep', everyMs } as const)
  return { technique: 'timestamp', column: key, lagMs: null, deletes: kept }
}

function placeOf(where: string, given: RedisTable<Columns>): Pick<RedisTableDef, 'kind' | 'before' | 'after'> {
  if (given.stream !== undefined) return { kind: 'stream', before: given.stream, after: '' }
  const pattern = given.hashes ?? given.strings
  const [before, after, more] = String(pattern).split('*')
  if (before === undefined || after === undefined || more !== undefined) {
    throw mistake(`${where}: a pattern such as 'user:*' has one *, which stands for the key of the row`)
  }
  return { kind: given.hashes === undefined ? 'strings' : 'hashes', before, after }
}
