import { ident, sql, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { stagingNames } from '../../run/tables.ts'
import type { Engine } from '../../services/engine/contract.ts'
import type { ResyncedTable } from './request.ts'

/** What a load changed, from the marks that it left. */
export async function differencesOf(
  engine: Engine,
  table: SourceTableDef,
  load: bigint,
  signal: AbortSignal,
): Promise<Pick<ResyncedTable, 'inserted' | 'updated' | 'deleted'>> {
  const { image, past } = stagingNames(table)
  const [row] = await engine.transaction(signal, tx =>
    tx.rows(sql`
      select (select count(*) from ${image} where ${ident('_load')} = ${load}) as written,
        (select count(*) from ${past} where "_until" = ${load} and "_op" = 'u') as updated,
        (select count(*) from ${past} where "_until" = ${load} and "_op" = 'd') as deleted`),
  )
  const [written, updated, deleted] = ['written', 'updated', 'deleted'].map(name => Number(row?.[name])) as [
    number,
    number,
    number,
  ]
  return { inserted: written - updated, updated, deleted }
}

export async function newestLoad(engine: Engine, signal: AbortSignal): Promise<bigint> {
  const [row] = await engine.transaction(signal, tx =>
    tx.rows(sql`select coalesce(max(load), 0) as load from naru.load`),
  )
  return BigInt(row?.['load'] as bigint)
}

/** What differed in the tables that were read as a whole by one of these loads. */
export async function foundIn(
  engine: Engine,
  tables: readonly SourceTableDef[],
  which: Sql,
  signal: AbortSignal,
): Promise<readonly ResyncedTable[]> {
  const found: ResyncedTable[] = []
  for (const table of tables) {
    const load = await engine.transaction(signal, async tx => {
      const [row] = await tx.rows(sql`
        select max(load) as load from naru.load where source = ${table.source} and "table" = ${table.name}
          and state = 'published' and ${which} and scope = 'all'`)
      return (row?.['load'] ?? null) as bigint | null
    })
    if (load === null) continue
    const name = `${table.source}.${table.name}`
    found.push({ table: name, ...(await differencesOf(engine, table, load, signal)), touched: 0 })
  }
  return found
}
