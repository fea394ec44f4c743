import { fail } from '../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { ColumnType } from '../core/types.ts'
import type { DimensionDef, ExportDef } from '../config/model.ts'
import { declaredColumns } from '../run/tables.ts'
import type { Transaction } from '../services/engine/contract.ts'

export type HistoryDimensionDef = Extract<DimensionDef, { kind: 'history' }>
export type CalendarDef = Extract<DimensionDef, { kind: 'calendar' }>

/** A column of a warehouse table, with its type in the engine's words. */
export interface TableColumn {
  readonly name: string
  readonly type: string
}

/** The table of a dimension. */
export function dimensionTable(name: string): Ident {
  return ident('dw', `dim_${name}`)
}

/** The table of a fact, and where its rows go that are no longer true. */
export function factTables(name: string): { readonly fact: Ident; readonly restated: Ident } {
  return { fact: ident('dw', `fact_${name}`), restated: ident('dw', `fact_${name}__restated`) }
}

/** The column that facts join a dimension by: 0 is its unknown member. */
export function surrogateOf(definition: DimensionDef): string {
  return definition.kind === 'calendar' ? 'date_key' : `${definition.name}_key`
}

/** The type of an exported column. */
export function exportedType(definition: ExportDef, column: string): ColumnType {
  const found = definition.columns.find(candidate => candidate.name === column)
  if (found === undefined) throw fail('INTERNAL', { what: `export ${definition.name} has no column ${column}` })
  return found.type
}

/** A time as the warehouse compares it: UTC without a zone. Times that carry no zone are taken as UTC. */
export function utcTimestamp(value: Sql | Ident, type: ColumnType): Sql {
  return type.kind === 'timestamp' && type.zoned ? sql`timezone('UTC', ${value})` : sql`cast(${value} as timestamp)`
}

/**
 * Makes the table, or adds the columns that it lacks (M72: history widens without an error; versions before have NULL).
 * Columns that are no longer declared stay: the warehouse forgets nothing.
 */
export async function ensureTable(
  tx: Transaction,
  table: Ident,
  columns: readonly TableColumn[],
): Promise<'created' | 'widened' | 'kept'> {
  refuseTwice(table, columns)
  const define = (column: TableColumn): Sql => sql`${ident(column.name)} ${rawSql(column.type)}`
  if (!(await tx.exists(table))) {
    await tx.execute(sql`create table ${table} (${joinSql(columns.map(define))})`)
    return 'created'
  }
  const there = await columnTypes(tx, table)
  const declared = new Map((await declaredColumns(tx, columns)).map(column => [column.name, column.type]))
  let widened = false
  for (const column of columns) {
    const was = there.get(column.name)
    const now = declared.get(column.name) as string
    if (was === undefined) {
      await tx.execute(sql`alter table ${table} add column ${define(column)}`)
      widened = true
    } else if (was !== now) {
      throw fail('WAREHOUSE_TYPE_CHANGED', { table: table.path.join('.'), column: column.name, was, now })
    }
  }
  return widened ? 'widened' : 'kept'
}

/** Names of the columns of a table, declared or left from before, in order. */
export async function columnNames(tx: Transaction, table: Ident): Promise<readonly string[]> {
  return [...(await columnTypes(tx, table)).keys()]
}

async function columnTypes(tx: Transaction, table: Ident): Promise<ReadonlyMap<string, string>> {
  return new Map((await tx.columns(table)).map(column => [column.name, column.type]))
}

function refuseTwice(table: Ident, columns: readonly TableColumn[]): void {
  const seen = new Set<string>()
  for (const { name } of columns) {
    // Names in the engine differ by more than case.
    const folded = name.toLowerCase()
    if (seen.has(folded)) throw fail('WAREHOUSE_COLUMN_TAKEN', { table: table.path.join('.'), column: name })
    seen.add(folded)
  }
}
