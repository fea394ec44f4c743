import { sql, type Sql } from '../core/sql.ts'
import type { ColumnDef } from '../core/types.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { columnDefinitions, keyColumns, stagingLayout, stagingNames } from './tables.ts'

/** Creates an empty landing table, and the sweep table when keys will be swept. Replaces what a broken load left. */
export async function createLanding(
  tx: Transaction,
  table: SourceTableDef,
  options: { readonly sweep: boolean },
): Promise<void> {
  const names = stagingNames(table)
  const define = (columns: readonly ColumnDef[]): Sql => columnDefinitions(tx.dialect, columns)
  await tx.execute(sql`drop table if exists ${names.landing}`)
  await tx.execute(sql`drop table if exists ${names.sweep}`)
  await tx.execute(sql`create table ${names.landing} (${define(stagingLayout(table))})`)
  if (options.sweep) await tx.execute(sql`create table ${names.sweep} (${define(keyColumns(table))})`)
}
