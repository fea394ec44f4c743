import { asText, hexNumber } from '../core/dialect-functions.ts'
import { ident, joinSql, sql, type Sql } from '../core/sql.ts'
import type { TableColumnNow, Transaction } from '../services/engine/contract.ts'

/** Schemas whose tables must be equal after a crash and a rerun, and the control tables that must. */
const comparedSchemas = ['ods', 'export', 'dw', 'mart']
const comparedControl = ['correction', 'quarantine', 'crosswalk', 'conflict', 'reject', 'restatement']

/**
 * Columns that say by which run or load a row was written: the only ones that may differ between a disturbed and an
 * undisturbed run. In the tables of people they begin with `_`; in `naru` they are plain.
 */
const controlColumns = ['_run', '_load', '_unit', '_restated_run']
const controlColumnsOfNaru = ['run', 'load', 'unit', 'resolved_run', 'published_run']

/** A fingerprint of the values of every table that people rely on: table name to row count and hash of all rows. */
export async function fingerprint(tx: Transaction): Promise<Readonly<Record<string, string>>> {
  const tables = await tx.rows(sql`
    select table_schema as s, table_name as t from information_schema.tables
    where table_catalog = current_database() order by 1, 2`)
  const prints: Record<string, string> = {}
  for (const row of tables) {
    const schema = String(row['s'])
    const name = String(row['t'])
    const compared = comparedSchemas.includes(schema) || (schema === 'naru' && comparedControl.includes(name))
    if (!compared) continue
    const left = schema === 'naru' ? controlColumnsOfNaru : controlColumns
    const columns = (await tx.columns(ident(schema, name))).filter(column => !left.includes(column.name))
    const values = joinSql(columns.map(column => sql`coalesce(${textOf(column)}, ${'\u001e'})`))
    const [print] = await tx.rows(sql`
      select count(*) as n, cast(coalesce(sum(${hexNumber(sql`left(md5(concat_ws(${'\u001f'}, ${values})), 15)`)}), 0) as varchar) as h
      from ${ident(schema, name)}`)
    prints[`${schema}.${name}`] = `${String(print?.['n'])} rows, ${String(print?.['h'])}`
  }
  return prints
}

/** Engines spell lists in their own ways. */
function textOf({ name, type }: TableColumnNow): Sql {
  return type.endsWith('[]') ? sql`array_to_string(${ident(name)}, ',')` : asText(ident(name))
}
