import { messageOf } from '../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { createSweep } from '../../run/landing.ts'
import { noteSwept, type LoadRange, type OpenLoad } from '../../run/loads.ts'
import { columnList, equalKeys, stagedColumns, stagingNames } from '../../run/tables.ts'
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
  const swept = await sweepKeys(read, load, readKeys)
  const { sweep } = stagingNames(table)
  const isThere = sql`exists (select 1 from ${sweep} k where ${equalKeys('s', 'k', table.key)})`
  const moved = await ctx.commit(tx => countMissing(tx, table, range, isThere))
  if (moved > 0) {
    const { column, from, to } = range
    const text = `${moved} staged rows with ${column} from ${from} to ${to} have another ${column} in the source: they stay until they are read there`
    warn(ctx, config, text, 'BACKFILL_MOVED')
  }
  return swept
}

/**
 * A staged row that the condition of a part finds, and that did not come, is gone, or the source's condition finds it no more. Again
 * the source's keys tell. The engine has to understand the condition as well: where it does not, that is said, and no row is taken
 * as deleted. That it may see it in another way (letters of both cases, say) takes no row that the source has.
 */
export async function findGone(
  read: TableRead,
  load: OpenLoad,
  readKeys: (read: TableRead) => Promise<void>,
): Promise<TableRead> {
  const { ctx, config, plan } = read
  const { table } = read.reading
  const { where } = plan
  if (where === undefined) return read
  const { image, landing } = stagingNames(table)
  try {
    const [row] = await ctx.commit(tx => {
      const found = matching(table, image, where)
      const isMissing = sql`not exists (select 1 from ${landing} l where ${equalKeys('m', 'l', table.key)})`
      return tx.rows(sql`select count(*) as n from (${found}) m where ${isMissing}`)
    })
    if (Number(row?.['n']) === 0) return read
  } catch (error) {
    ctx.signal.throwIfAborted()
    const text = `the engine cannot tell which staged rows the condition finds, so none is taken as deleted; a range (--from, --to, --by) or the whole table tells: ${messageOf(error)}`
    warn(ctx, config, text, 'RESYNC_DELETES')
    return read
  }
  return sweepKeys(read, load, readKeys)
}

/** Leaves alone what the condition does not find: among the keys of the source stand those of all other staged rows. */
export async function spareOthers(tx: Transaction, table: SourceTableDef, where: string): Promise<void> {
  const { image, sweep } = stagingNames(table)
  const key = columnList(table.key)
  await tx.execute(sql`
    insert into ${sweep} (${key}) select ${columnList(table.key, 's')} from ${image} s
    where not exists (select 1 from (${matching(table, image, where)}) m where ${equalKeys('s', 'm', table.key)})`)
}

/** Keys of staged rows that a condition in the source's words finds. */
function matching(table: SourceTableDef, image: Ident, where: string): Sql {
  const remote = (name: string): string => table.renamed?.[name] ?? name
  const columns = stagedColumns(table).map(({ name }) => sql`${ident(name)} as ${ident(remote(name))}`)
  const keys = table.key.map(name => sql`${ident('t', remote(name))} as ${ident(name)}`)
  // A comment at its end ends with its line.
  return sql`select ${joinSql(keys)} from (select ${joinSql(columns)} from ${image}) t where (${rawSql(`${where}\n`)})`
}

async function sweepKeys(
  read: TableRead,
  load: OpenLoad,
  readKeys: (read: TableRead) => Promise<void>,
): Promise<TableRead> {
  const { ctx, plan, reading } = read
  await ctx.commit(async tx => {
    await createSweep(tx, reading.table)
    await noteSwept(tx, load.load)
  })
  await readKeys(read)
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
