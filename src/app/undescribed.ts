import { sql } from '../core/sql.ts'
import type { Project } from '../config/model.ts'
import { stagedName } from '../run/tables.ts'
import type { MaskedTable, Transaction } from '../services/engine/contract.ts'

/**
 * Staged columns that the config does not name: a contract took them in, or they left the config. Nobody said that they
 * hold no personal data, so people see them masked.
 */
export async function undescribedColumns(tx: Transaction, project: Project): Promise<readonly MaskedTable[]> {
  const rows = await tx.rows(sql`
    select table_name as name, column_name as col from information_schema.columns
    where table_catalog = current_database() and table_schema = 'staging' order by 1, 2`)
  const tables = project.sources.flatMap(source => source.tables)
  const columnsOf = new Map(tables.map(table => [stagedName(table), new Set(table.columns.map(column => column.name))]))
  const masked = new Map<string, string[]>()
  for (const { name, col } of rows) {
    const known = columnsOf.get(String(name).replace(/__(past|landing|sweep)$/, ''))
    const column = String(col)
    if (known === undefined || known.has(column) || column.startsWith('_')) continue
    masked.set(String(name), [...(masked.get(String(name)) ?? []), column])
  }
  return [...masked].map(([table, columns]) => ({ schema: 'staging', table, columns }))
}
