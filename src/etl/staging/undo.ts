import { asText } from '../../core/dialect-functions.ts'
import { fail } from '../../core/errors.ts'
import { ident, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { changedBy, type ChangeSet, type StageContext } from '../../run/context.ts'
import { countOps } from '../../run/differences.ts'
import { ofTable, columnList, equalKeys, stagedName, stagingNames } from '../../run/tables.ts'
import type { Transaction } from '../../services/engine/contract.ts'

/** Later loads that changed rows of a load, and how many rows. */
export interface LaterChanges {
  readonly loads: readonly bigint[]
  readonly rows: number
}

/** Who changed rows of a load after it: while they stand, its rows cannot become what they were. */
export async function laterChanges(tx: Transaction, table: SourceTableDef, load: bigint): Promise<LaterChanges> {
  const { image, past } = stagingNames(table)
  const deleted = sql`select * from ${past} where "_until" = ${load} and "_op" = 'd'`
  const cameBack = (relation: Ident): Sql => sql`
    select a."_load" as later from ${relation} a join (${deleted}) d on ${equalKeys('a', 'd', table.key)}
    where a."_load" > ${load}`
  const rows = await tx.rows(sql`
    select later, count(*) as n from (
      select "_until" as later from ${past} where "_load" = ${load} and "_until" <> ${load}
      union all ${cameBack(image)}
      union all ${cameBack(past)}) x
    group by later order by later`)
  return {
    loads: rows.map(row => BigInt(row['later'] as bigint)),
    rows: rows.reduce((sum, row) => sum + Number(row['n']), 0),
  }
}

/**
 * Takes loads of one table back, newest first: rows that they inserted go, rows that they changed or deleted become what
 * they were, from the past table. Gives what that changed. `refuseReplaced` comes first.
 */
export async function undoLoads(
  ctx: StageContext,
  table: SourceTableDef,
  loads: readonly bigint[],
): Promise<ChangeSet> {
  const { tx } = ctx
  const { image, past } = stagingNames(table)
  const key = columnList(table.key)
  const touched = ident('temp', `undo_touched_${stagedName(table)}`)
  const before = ident('temp', `undo_before_${stagedName(table)}`)
  const keys = ident('temp', `staging_${stagedName(table)}`)
  const columns = columnList((await tx.columns(image)).map(column => column.name))
  const changed = loads.map(
    load =>
      sql`select ${key} from ${image} where "_load" = ${load} union select ${key} from ${past} where "_until" = ${load}`,
  )
  await tx.replaceTemp(
    touched,
    changed.reduce((all, one) => sql`${all} union ${one}`),
  )
  await tx.replaceTemp(
    before,
    sql`select ${columnList(table.key, 's')} from ${image} s join ${touched} t on ${equalKeys('s', 't', table.key)}`,
  )
  for (const load of loads) {
    await tx.execute(sql`delete from ${image} where "_load" = ${load}`)
    // Versions that a stream made and replaced within the load were never there before it.
    await tx.execute(sql`
      insert into ${image} (${columns})
      select ${columns} from ${past} where "_until" = ${load} and "_load" <> ${load}`)
    await tx.execute(sql`delete from ${past} where "_until" = ${load}`)
  }
  const isThere = (relation: Ident, alias: string): Sql =>
    sql`exists (select 1 from ${relation} ${ident(alias)} where ${equalKeys(alias, 't', table.key)})`
  await tx.replaceTemp(
    keys,
    sql`select * from (
      select ${columnList(table.key, 't')}, case
        when ${isThere(before, 'b')} and ${isThere(image, 's')} then 'u'
        when ${isThere(before, 'b')} then 'd'
        when ${isThere(image, 's')} then 'i' end as "_op"
      from ${touched} t) o
    where "_op" is not null`,
  )
  ctx.env.crash('staging.apply.after')
  return changedBy(image, keys, await countOps(tx, keys))
}

/**
 * The columns of a table changed, so a load made the whole image anew and what was there before is kept as versions in
 * another shape only. Throws `LOAD_UNKNOWN` for that load, and `UNDO_REPLACED` for those before it, which have no rows any more.
 */
export async function refuseReplaced(tx: Transaction, table: SourceTableDef, load: bigint): Promise<void> {
  const past = sql`${`${stagedName(table)}__past_`} || ${asText(ident('l', 'load'))}`
  const [row] = await tx.rows(sql`
    select min(l.load) as load from naru.load l
    join information_schema.tables t on t.table_schema = 'staging' and t.table_name = ${past}
    where t.table_catalog = current_database() and ${ofTable(table)} and l.load >= ${load}`)
  const by = (row?.['load'] ?? null) as bigint | null
  if (by === null) return
  if (by > load) throw fail('UNDO_REPLACED', { load, table: `${table.source}.${table.name}`, by })
  const why = 'the columns of the table changed with it, and the image before is kept only as versions in another shape'
  throw fail('LOAD_UNKNOWN', { load: String(load), why })
}
