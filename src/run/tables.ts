import { same } from '../core/dialect-functions.ts'
import { ident, joinSql, rawSql, sql, type Dialect, type Ident, type Sql } from '../core/sql.ts'
import type { ColumnDef } from '../core/types.ts'
import type { EntityDef, Project, SourceTableDef } from '../config/model.ts'
import { isTyped } from '../services/adapter/contract-files.ts'
import type { TableColumnNow, Transaction } from '../services/engine/contract.ts'

/** The schemas of a database that Naru keeps. */
export const schemas = ['naru', 'staging', 'cleansed', 'ods', 'export', 'dw', 'mart'] as const

/** Control columns of every staged row: which load brought it, in which chunk or file, on which line. */
export const stagingControl: readonly ColumnDef[] = [
  { name: '_load', type: { kind: 'int', bits: 64 }, nullable: false, personal: false },
  { name: '_unit', type: { kind: 'int', bits: 32 }, nullable: false, personal: false },
  { name: '_line', type: { kind: 'int', bits: 64 }, nullable: true, personal: false },
]

/** Names of the tables that hold one staged source table. */
export interface StagingNames {
  /** The current image of every source key. */
  readonly image: Ident
  /** Versions that were replaced or deleted. */
  readonly past: Ident
  /** What a load has read so far: hidden until it is published. */
  readonly landing: Ident
  /** Keys that a sweep saw in the source. */
  readonly sweep: Ident
}

export function stagingNames(table: SourceTableDef): StagingNames {
  const name = stagedName(table)
  return {
    image: ident('staging', name),
    past: ident('staging', `${name}__past`),
    landing: ident('staging', `${name}__landing`),
    sweep: ident('staging', `${name}__sweep`),
  }
}

/** `ops_flight` for table `flight` of source `ops`: its name in `staging` and in results. */
export function stagedName(table: { readonly source: string; readonly name: string }): string {
  return `${table.source}_${table.name}`
}

/** Condition on the `source` and `"table"` columns that all control tables of this stage have. */
export function ofTable(table: SourceTableDef): Sql {
  return sql`source = ${table.source} and "table" = ${table.name}`
}

/** True for tables whose rows arrive as text: reading a column means casting it to the type that the config declares. */
export function isStagedAsText({ change }: SourceTableDef): boolean {
  return change.technique === 'files' && !isTyped(change.format)
}

/** Columns of a source table as staging keeps them: text as it arrived for files of text, exact types otherwise. */
export function stagedColumns(table: SourceTableDef): readonly ColumnDef[] {
  if (!isStagedAsText(table)) {
    return table.columns.map(column =>
      table.gone?.includes(column.name) === true ? { ...column, nullable: true } : column,
    )
  }
  return table.columns.map(column => ({ ...column, type: { kind: 'text' }, nullable: true }))
}

/** The columns of a staging table in order: data, then control. */
export function stagingLayout(table: SourceTableDef): readonly ColumnDef[] {
  return [...stagedColumns(table), ...stagingControl]
}

/** The columns that make a row of staging one of its kind. */
export function keyColumns(table: SourceTableDef): readonly ColumnDef[] {
  const columns = stagedColumns(table)
  return table.key.map(name => columns.find(column => column.name === name) as ColumnDef)
}

/** Joins two relations on the same columns: `a."k" = b."k" and …`. */
export function equalKeys(a: string, b: string, columns: readonly string[]): Sql {
  const parts = columns.map(column => sql`${ident(a, column)} = ${ident(b, column)}`)
  return parts.reduce((all, part) => sql`${all} and ${part}`)
}

/** Equality of keys in which NULL equals NULL; true when there is no key column, as in a total over everything. */
export function equalKeysOrNull(a: string, b: string, columns: readonly string[]): Sql {
  if (columns.length === 0) return sql`true`
  return joinSql(
    columns.map(name => same(ident(a, name), ident(b, name))),
    ' and ',
  )
}

/** `"a" integer, "b" varchar`: the columns of a table to create. */
export function columnDefinitions(dialect: Dialect, columns: readonly ColumnDef[]): Sql {
  return joinSql(columns.map(column => sql`${ident(column.name)} ${rawSql(dialect.type(column.type))}`))
}

/** `"a", "b"`, or `x."a", x."b"` inside relation `x`. */
export function columnList(names: readonly string[], alias?: string): Sql {
  return joinSql(names.map(name => (alias === undefined ? ident(name) : ident(alias, name))))
}

/** How many rows a table or view has. */
export async function countRows(tx: Transaction, relation: Ident): Promise<number> {
  const [row] = await tx.rows(sql`select count(*) as n from ${relation}`)
  return Number(row?.['n'])
}

/** What stands under a name; `null` when nothing does. */
export async function kindOfRelation(tx: Transaction, relation: Ident): Promise<'view' | 'table' | null> {
  const [schema, name] = relation.path as [string, string]
  const [found] = await tx.rows(sql`
    select table_type as kind from information_schema.tables
    where table_catalog = current_database() and table_schema = ${schema} and table_name = ${name}`)
  if (found === undefined) return null
  return found['kind'] === 'VIEW' ? 'view' : 'table'
}

/** Drops whatever stands under a name, so that the other form can take it. Gives what it was. */
export async function dropRelation(tx: Transaction, relation: Ident): Promise<'view' | 'table' | null> {
  const kind = await kindOfRelation(tx, relation)
  if (kind === 'view') await tx.execute(sql`drop view ${relation}`)
  if (kind === 'table') await tx.execute(sql`drop table ${relation}`)
  return kind
}

/** How an engine spells columns, by their names and types: asked once for each list. */
const spelled = new WeakMap<Dialect, Map<string, readonly TableColumnNow[]>>()

/** Columns as the engine spells them, to compare with those of a table that is there. */
export async function declaredColumns(
  tx: Transaction,
  columns: readonly { readonly name: string; readonly type: ColumnDef['type'] | string }[],
): Promise<readonly TableColumnNow[]> {
  const known = spelled.get(tx.dialect) ?? new Map<string, readonly TableColumnNow[]>()
  spelled.set(tx.dialect, known)
  const declared = columns.map(
    ({ name, type }) => [name, typeof type === 'string' ? type : tx.dialect.type(type)] as const,
  )
  const text = JSON.stringify(declared)
  const found = known.get(text) ?? (await spellColumns(tx, declared))
  known.set(text, found)
  return found
}

async function spellColumns(
  tx: Transaction,
  declared: readonly (readonly [name: string, type: string])[],
): Promise<readonly TableColumnNow[]> {
  // An empty copy tells how the engine itself spells the declared types.
  const probe = ident('temp', 'declared_columns')
  const typed = declared.map(([name, type]) => sql`cast(${null} as ${rawSql(type)}) as ${ident(name)}`)
  await tx.replaceTemp(probe, sql`select ${joinSql(typed)} where false`)
  const found = await tx.columns(probe)
  await tx.execute(sql`drop table ${probe}`)
  return found
}

/**
 * Drops the views through which an entity and its exports are seen, before the table behind them is made anew: an engine
 * may refuse to drop a table that a view needs. The stages make them again.
 */
export async function dropViewsOf(tx: Transaction, project: Project, entity: EntityDef): Promise<void> {
  const exports = project.exports.filter(it => it.entity === entity.name).map(it => ident('export', it.name))
  for (const view of [...exports, ident('ods', entity.name)]) {
    if ((await kindOfRelation(tx, view)) === 'view') await tx.execute(sql`drop view ${view}`)
  }
}
