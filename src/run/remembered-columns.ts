import { sql } from '../core/sql.ts'
import type { ColumnDef, ColumnType } from '../core/types.ts'
import { asLog } from '../config/append.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { ofTable } from './tables.ts'

/** The table as the last load knew it: with the columns that it took in, and those that were gone. */
export async function rememberedTable(tx: Transaction, table: SourceTableDef): Promise<SourceTableDef> {
  const rows = await tx.rows(
    sql`select "column" as name, state, type from naru."column" where ${ofTable(table)} order by name`,
  )
  if (rows.length === 0) return table
  const isNamed = (name: string): boolean => table.columns.some(column => column.name === name)
  const evolved = rows
    .filter(row => row['type'] !== null && !isNamed(row['name'] as string))
    .map(row => evolvedColumn(row['name'] as string, JSON.parse(row['type'] as string) as ColumnType))
  const columns = [...table.columns, ...evolved]
  const gone = rows
    .filter(row => row['state'] === 'gone' && columns.some(column => column.name === row['name']))
    .map(row => row['name'] as string)
  return asLog(table, { ...table, columns, ...(gone.length === 0 ? {} : { gone }) })
}

/** A column that nobody described: until somebody does, it may hold personal data and anything may be missing. */
export function evolvedColumn(name: string, type: ColumnType): ColumnDef {
  return { name, type, nullable: true, personal: true }
}

/** Remembers what a table has beside the config. */
export async function rememberColumns(
  tx: Transaction,
  given: { readonly config: SourceTableDef; readonly table: SourceTableDef; readonly run: bigint },
): Promise<void> {
  const { config, table, run } = given
  await tx.execute(sql`delete from naru."column" where ${ofTable(table)}`)
  for (const { name, type } of table.columns) {
    const isGone = table.gone?.includes(name) === true
    const isEvolved = !config.columns.some(column => column.name === name)
    if (!isGone && !isEvolved) continue
    const state = isGone ? 'gone' : 'evolved'
    await tx.execute(sql`
      insert into naru."column" values (${table.source}, ${table.name}, ${name}, ${state},
        ${isEvolved ? JSON.stringify(type) : null}, ${run})`)
  }
}
