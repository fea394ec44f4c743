import { ident, rawSql, sql, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { createSweep } from '../../run/landing.ts'
import { noteSwept, type LoadRange, type OpenLoad } from '../../run/loads.ts'
import { equalKeys, stagedColumns, stagingNames } from '../../run/tables.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { warn, type TableRead } from './table-read.ts'

/**
 * A row of the range that did not come is gone, or stands elsewhere in the source by now. Only the source's keys tell: when
 * a row is missing they are read, so that none is taken for deleted that is there. Gives the plan with what was read.
 */
export async function keepMoved(
  read: TableRead,
  load: OpenLoad,
  readKeys: (read: TableRead) => Promise<void>,
): Promise<TableRead> {
  const { ctx, config, plan } = read
  const { range } = plan
  const { table } = read.reading
  // A key never moves: another one is another row.
  if (range === null || table.key.includes(range.column)) return read
  if ((await ctx.commit(tx => countMissing(tx, table, range, sql`true`))) === 0) return read
  await ctx.commit(async tx => {
    await createSweep(tx, table)
    await noteSwept(tx, load.load)
  })
  await readKeys(read)
  const { sweep } = stagingNames(table)
  const isThere = sql`exists (select 1 from ${sweep} k where ${equalKeys('s', 'k', table.key)})`
  const moved = await ctx.commit(tx => countMissing(tx, table, range, isThere))
  if (moved > 0) {
    const { column, from, to } = range
    const text = `${moved} staged rows with ${column} from ${from} to ${to} have another ${column} in the source: they stay until they are read there`
    warn(ctx, config, text, 'BACKFILL_MOVED')
  }
  return { ...read, plan: { ...plan, sweep: true } }
}

/** Staged rows of the range that did not come. */
async function countMissing(tx: Transaction, table: SourceTableDef, range: LoadRange, which: Sql): Promise<number> {
  const { image, landing } = stagingNames(table)
  const column = stagedColumns(table).find(it => it.name === range.column)
  if (column === undefined || !(await tx.exists(image))) return 0
  const type = rawSql(tx.dialect.type(column.type))
  const value = ident('s', column.name)
  const [row] = await tx.rows(sql`
    select count(*) as n from ${image} s
    where ${value} >= cast(${range.from} as ${type}) and ${value} < cast(${range.to} as ${type}) and ${which}
      and not exists (select 1 from ${landing} l where ${equalKeys('s', 'l', table.key)})`)
  return Number(row?.['n'])
}
