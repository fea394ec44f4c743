import { columnDefs, t, type Columns, type Key } from './column.ts'
import { mistake } from './mistake.ts'
import type { ChangeDef, SourceTableDef } from './model.ts'
import type { Schema } from './source.ts'

/** What a row of an append log tells: see `docs/guide/change-capture.md`. */
export const logColumns = {
  /** The load that brought the row. */
  log_load: t.big(),
  /** Its place in the load: with `log_load` the key, and the order in which the changes took effect. */
  log_line: t.big(),
  log_op: t.enum('read', 'insert', 'before', 'after', 'delete', 'truncate'),
  /** When it was committed, or read, by the source's clock; NULL where the source did not say. */
  log_at: t.timestamptz().null(),
} as const

type LogColumns = typeof logColumns
type LogKey = readonly ['log_load', 'log_line']

/** The columns of a staged table: those of an append log as well, where the table has no key. */
export type StagedColumns<D extends Schema[string]> = D['key'] extends 'append'
  ? D['columns'] & LogColumns
  : D['columns']

/** The key of a staged table. */
export type StagedKey<D extends Schema[string]> = D['key'] extends 'append' ? LogKey : D['key'] & Key

/** `key: 'append'` of a schema module: what the model has for it, and whether the table can be one. */
export function stagedAs(
  where: string,
  { columns, key }: { readonly columns: Columns; readonly key: readonly string[] | 'append' },
  change: ChangeDef,
  hasLog: boolean,
): Pick<SourceTableDef, 'key' | 'append'> & { readonly columns: Columns } {
  if (typeof key !== 'string') return { columns, key }
  if (key !== 'append') throw mistake(`${where}: a key is a list of columns or 'append', not ${JSON.stringify(key)}`)
  if (!hasLog) {
    throw mistake(
      `${where} has no key, and its source has no technique "log", which alone tells each change of such a table; write the columns that tell its rows apart as its key`,
    )
  }
  if (change.technique !== 'log') {
    throw mistake(
      `${where} has no key (key: 'append'), so the technique "${change.technique}" cannot tell which of its rows are new; use the technique "log", or write the columns that tell its rows apart as its key`,
    )
  }
  const taken = Object.keys(logColumns).find(name => Object.hasOwn(columns, name))
  if (taken !== undefined) {
    throw mistake(
      `${where}: an append log has a column "${taken}" of its own; leave the one of the table out, or give it a key`,
    )
  }
  return { columns: { ...columns, ...logColumns }, key: ['log_load', 'log_line'], append: true }
}

/** The columns that an append log has beside those of its table. */
export const logColumnDefs = columnDefs(logColumns)

/** The table with what its append log adds to it: the columns of the log behind all others, as rows of it come. */
export function asLog({ append, key }: SourceTableDef, table: SourceTableDef): SourceTableDef {
  if (append !== true) return table
  return { ...table, append, key, columns: [...asInSource({ ...table, append }).columns, ...logColumnDefs] }
}

/** The table as its source has it: of an append log without a key and without the columns that the log adds. */
export function asInSource(table: SourceTableDef): SourceTableDef {
  if (table.append !== true) return table
  const { append: _, ...rest } = table
  return { ...rest, key: [], columns: table.columns.filter(column => !Object.hasOwn(logColumns, column.name)) }
}
