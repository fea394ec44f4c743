import type { Expr } from '../core/expr.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql, type SqlValue } from '../core/sql.ts'
import type { ColumnDef } from '../core/types.ts'
import type { ContributionDef, EntityDef, MatchDef, PreferDef } from '../config/model.ts'
import { changedBy, filled, type ChangeSet } from '../run/context.ts'
import { findDifferences } from '../run/differences.ts'
import { cleansedTable } from '../run/mapping.ts'
import { columnDefinitions } from '../run/tables.ts'
import type { Transaction } from '../services/engine/contract.ts'

/** A row of a cleansed table: a value for each column that the contributor gives. */
export type CleansedRow = Readonly<Record<string, SqlValue>>

/** A text column; names that begin with `personal` are personal data. */
export function textColumn(name: string): ColumnDef {
  return { name, type: { kind: 'text' }, nullable: true, personal: name.startsWith('personal') }
}

/** An entity of text columns, for tests of integration. */
export function entityOf(
  name: string,
  shape: {
    readonly key: readonly string[]
    readonly columns: readonly (string | ColumnDef)[]
    readonly contributions: readonly ContributionDef[]
    readonly conflicts?: Readonly<Record<string, PreferDef>>
  },
): EntityDef {
  return {
    name,
    key: shape.key,
    columns: shape.columns.map(column => (typeof column === 'string' ? textColumn(column) : column)),
    contributions: shape.contributions,
    rules: [],
    cleanse: [],
    conflicts: Object.entries(shape.conflicts ?? {}).map(([column, prefer]) => ({ column, prefer })),
  }
}

/** A contribution that gives columns of the same name. */
export function contributionOf(as: string, columns: readonly string[], match: MatchDef | null = null): ContributionDef {
  const map = columns.map(column => {
    const expr: Expr = { kind: 'column', name: column, type: { kind: 'text' } }
    return { column, expr }
  })
  return { as, source: as, table: 't', map, where: null, match }
}

/** Makes the cleansed table of a contribution hold exactly these rows, and tells what changed, as cleansing would. */
export async function putCleansed(
  tx: Transaction,
  entity: EntityDef,
  contribution: ContributionDef,
  rows: readonly CleansedRow[],
): Promise<ChangeSet> {
  const table = cleansedTable(entity, contribution)
  const layout = layoutOf(entity, contribution)
  const next = ident('temp', `put_${entity.name}_${contribution.as}`)
  await tx.execute(sql`drop table if exists ${next}`)
  await tx.execute(sql`create temporary table ${next} (${columnDefinitions(tx.dialect, layout)})`)
  await insertRows(
    tx,
    next,
    layout,
    rows.map(row => withIdentity(row, contribution)),
  )
  if (!(await tx.exists(table))) {
    await tx.execute(sql`create table ${table} as select * from ${next}`)
    return filled(table, rows.length)
  }
  const key = contribution.match === null ? entity.key : contribution.map.map(m => `_k_${m.column}`)
  const into = ident('temp', `put_${entity.name}_${contribution.as}_changes`)
  const columns = layout.map(column => column.name)
  const counts = await findDifferences(tx, { target: table, next, within: null, key, columns, into, was: into })
  await tx.execute(sql`delete from ${table}`)
  await tx.execute(sql`insert into ${table} select * from ${next}`)
  return changedBy(table, into, counts)
}

function layoutOf(entity: EntityDef, contribution: ContributionDef): readonly ColumnDef[] {
  const held: ColumnDef = { ...textColumn('_held'), type: { kind: 'bool' } }
  if (contribution.match === null) return [...entity.columns, held]
  const rows: ColumnDef = { ...textColumn('_rows'), type: { kind: 'int', bits: 64 } }
  return [...entity.columns, ...contribution.map.map(m => textColumn(`_k_${m.column}`)), rows, held]
}

/** What `_k_` columns a row does not name are its values: nothing was repaired. */
function withIdentity(row: CleansedRow, contribution: ContributionDef): CleansedRow {
  const own = contribution.map.map(m => [`_k_${m.column}`, row[m.column] ?? null] as const)
  return { _held: false, _rows: 1, ...(contribution.match === null ? {} : Object.fromEntries(own)), ...row }
}

async function insertRows(
  tx: Transaction,
  table: Ident,
  columns: readonly ColumnDef[],
  rows: readonly CleansedRow[],
): Promise<void> {
  const perStatement = 1_000
  for (let from = 0; from < rows.length; from += perStatement) {
    const tuples = rows.slice(from, from + perStatement).map(row => {
      const values = columns.map(column => {
        const type = rawSql(tx.dialect.type(column.type))
        return sql`cast(${row[column.name] ?? null} as ${type})`
      })
      return sql`(${joinSql(values)})`
    })
    await tx.execute(sql`insert into ${table} values ${joinSql(tuples)}`)
  }
}

/** All rows of a table in the order of all its columns, without control columns: to compare two tables by value. */
export async function tableRows(
  tx: Transaction,
  table: Ident,
  but: readonly string[] = [],
): Promise<readonly object[]> {
  const rows = await tx.rows(sql`select * from ${table}`)
  const kept = rows.map(row => Object.fromEntries(Object.entries(row).filter(([name]) => !but.includes(name))))
  const text = (row: object): string =>
    JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))
  return kept.sort((a, b) => (text(a) < text(b) ? -1 : 1))
}

/** Control tables of a stage, made in an empty engine. */
export async function createTables(tx: Transaction, tables: readonly Sql[]): Promise<void> {
  for (const table of tables) await tx.execute(table)
}
