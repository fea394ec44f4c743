import type { Columns, Group, GroupOf, Holds, NullIf, TypeScriptValue } from './column.ts'
import { mistake } from './mistake.ts'

/** A table of a schema module, as `naru pull` writes it. */
export interface OutboxTable {
  readonly columns: Columns
  readonly key: readonly string[] | 'append'
  readonly remote?: string
}

/** How the driver of the application marks parameters: `$1` of `pg`, `?` of `mysql2` and of SQLite. */
export type OutboxDialect = 'postgres' | 'mysql' | 'sqlite'

type TextGroup = 'decimal' | 'date' | 'time' | 'timestamp' | 'timestamptz'
type Given<G extends Group, F extends string> =
  | (G extends TextGroup ? string | (G extends 'timestamptz' ? Date : never) : TypeScriptValue<F>[G])
  | NullIf<F>
type Row<C extends Columns> = { readonly [N in keyof C]: Given<GroupOf<C[N]>, Holds<C[N]>> }
type KeyRow<T extends OutboxTable> = Pick<Row<T['columns']>, Extract<T['key'][number], keyof T['columns']>>

/** More about an event. */
export interface EventOptions {
  /** The same key twice is one event, however often the application tries: its own id of the request, say. Random unless given. */
  readonly idempotencyKey?: string
}

/** One statement of the application's transaction. `pg` takes it as it is; of other drivers give `text` and `values`. */
export interface OutboxStatement {
  readonly text: string
  /** Not shown when the statement is printed or logged: there may be personal data in it. */
  readonly values: (string | null)[]
  /** What it is, without any value. */
  toString(): string
}

/** Events of one table. Run what they give in the transaction of the write that it tells of, behind that write. */
export interface Outbox<T extends OutboxTable> {
  /** There is a new row: all of its columns. */
  insert(row: Row<T['columns']>, options?: EventOptions): OutboxStatement
  /** The row of this key has new values. What is left out stays as it was; `before` is its key where that changed. */
  update(
    row: KeyRow<T> & Partial<Row<T['columns']>>,
    options?: EventOptions & { readonly before?: KeyRow<T> },
  ): OutboxStatement
  /** The row of this key is gone. */
  delete(key: KeyRow<T>, options?: EventOptions): OutboxStatement
}

/**
 * Events of a table for the technique `event`. The table is named as in the schema module:
 *
 *     const flights = outbox(opsSchema, 'flight', 'postgres')
 *     await client.query('update flight set delay = 5 where flight_id = 7')
 *     await client.query(flights.update({ flight_id: 7, delay: 5 }))
 */
export function outbox<S extends Readonly<Record<string, OutboxTable>>, N extends keyof S & string>(
  schema: S,
  name: N,
  dialect: OutboxDialect,
): Outbox<S[N]> {
  const table = (schema as Readonly<Record<string, OutboxTable | undefined>>)[name]
  if (table === undefined) throw mistake(`outbox: the schema has no table "${name}"`)
  const { key, remote = name } = table
  if (typeof key === 'string')
    throw mistake(`outbox of "${name}": it has no key, and an event names the row that it is about`)
  const json = (row: object, what: string): string => jsonOf(table.columns, row, `outbox of "${name}", ${what}`)
  const keyOf = (row: object): string => {
    const values = row as Readonly<Record<string, unknown>>
    const missing = key.find(column => values[column] == null)
    if (missing !== undefined) throw mistake(`outbox of "${name}": the key column "${missing}" has no value`)
    return json(Object.fromEntries(key.map(column => [column, values[column]])), 'key')
  }
  const event = (op: string, key: string, row: string | null, { idempotencyKey }: EventOptions = {}): OutboxStatement =>
    statement(dialect, [remote, op, key, row, ...(idempotencyKey === undefined ? [] : [idempotencyKey])])
  return {
    insert: (row, options) => event('insert', keyOf(row), json(row, 'row'), options),
    update: (row, options) => event('update', keyOf(options?.before ?? row), json(row, 'row'), options),
    delete: (key, options) => event('delete', keyOf(key), null, options),
  }
}

const tables: Readonly<Record<OutboxDialect, string>> = {
  postgres: 'naru_capture.outbox',
  mysql: 'naru_outbox',
  sqlite: 'naru_outbox',
}

/** An event that was written already is left as it is. */
const onceOnly: Readonly<Record<OutboxDialect, string>> = {
  postgres: 'on conflict (idempotency_key) do nothing',
  mysql: 'on duplicate key update id = id',
  sqlite: 'on conflict (idempotency_key) do nothing',
}

function statement(dialect: OutboxDialect, values: (string | null)[]): OutboxStatement {
  const quote = (name: string): string => (dialect === 'mysql' ? `\`${name}\`` : `"${name}"`)
  const names = ['table_name', 'op', 'key', 'row', 'idempotency_key'].slice(0, values.length).map(quote)
  const marks = values.map((_, i) => (dialect === 'postgres' ? `$${i + 1}` : '?'))
  const text = `insert into ${tables[dialect]} (${names.join(', ')}) values (${marks.join(', ')}) ${onceOnly[dialect]}`
  const made = { text, toString: () => `event ${values[1]} of ${values[0]}` }
  Object.defineProperty(made, 'toString', { enumerable: false })
  return Object.defineProperty(made, 'values', { value: values, enumerable: false }) as typeof made & {
    values: typeof values
  }
}

/** A row as JSON that keeps every digit. Columns without a value (`undefined`) are left out. */
function jsonOf(columns: Columns, row: object, where: string): string {
  const members = Object.entries(row).flatMap(([name, value]) => {
    if (value === undefined) return []
    const type = columns[name]?.type
    if (type === undefined) throw mistake(`${where}: there is no column "${name}"`)
    return [`${JSON.stringify(name)}:${valueText(type.kind, value, `${where}, column "${name}"`)}`]
  })
  return `{${members.join(',')}}`
}

function valueText(kind: string, value: unknown, where: string): string {
  if (value === null) return 'null'
  if (kind === 'json') return JSON.stringify(value)
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString('base64'))
  if (value instanceof Date) return JSON.stringify(value.toISOString())
  switch (typeof value) {
    case 'bigint':
      return String(value)
    case 'number':
      // JSON has no NaN and no infinity: they go as text, which a float column reads.
      return Number.isFinite(value) ? JSON.stringify(value) : JSON.stringify(String(value))
    case 'boolean':
    case 'string':
      return JSON.stringify(value)
    default:
      throw mistake(`${where}: a value of the type ${typeof value} cannot be told`)
  }
}
