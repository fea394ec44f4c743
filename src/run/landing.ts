import { sql } from '../core/sql.ts'
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
  await tx.execute(sql`drop table if exists ${names.landing}`)
  await tx.execute(sql`drop table if exists ${names.sweep}`)
  await tx.execute(sql`create table ${names.landing} (${columnDefinitions(tx.dialect, stagingLayout(table))})`)
  if (options.sweep) await createSweep(tx, table)
}

/** Creates an empty sweep table in place of one that a broken load left. */
export async function createSweep(tx: Transaction, table: SourceTableDef): Promise<void> {
  const { sweep } = stagingNames(table)
  await tx.execute(sql`drop table if exists ${sweep}`)
  await tx.execute(sql`create table ${sweep} (${columnDefinitions(tx.dialect, keyColumns(table))})`)
}
