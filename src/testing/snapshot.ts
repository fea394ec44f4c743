import { ident, joinSql, sql } from '../core/sql.ts'
import type { Transaction } from '../services/engine/contract.ts'

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
    select table_schema as s, table_name as t, list(column_name order by ordinal_position) as c
    from information_schema.columns group by all order by all`)
  const prints: Record<string, string> = {}
  for (const row of tables) {
    const schema = String(row['s'])
    const name = String(row['t'])
    const compared = comparedSchemas.includes(schema) || (schema === 'naru' && comparedControl.includes(name))
    if (!compared) continue
    const left = schema === 'naru' ? controlColumnsOfNaru : controlColumns
    const columns = (row['c'] as readonly string[]).filter(column => !left.includes(column))
    const values = joinSql(columns.map(column => sql`coalesce(cast(${ident(column)} as varchar), ${'\u001e'})`))
    const [print] = await tx.rows(sql`
      select count(*) as n, cast(coalesce(sum(cast('0x' || left(md5(concat_ws(${'\u001f'}, ${values})), 15) as bigint)), 0) as varchar) as h
      from ${ident(schema, name)}`)
    prints[`${schema}.${name}`] = `${String(print?.['n'])} rows, ${String(print?.['h'])}`
  }
  return prints
}
