import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { ChangeSet, StageContext } from '../../run/context.ts'
import {
  columnDefinitions,
  columnList,
  equalKeys,
  stagedColumns,
  stagedName,
  stagingLayout,
  stagingNames,
} from '../../run/tables.ts'

/** A load that was accepted and waits in the landing table. */
export interface AcceptedLoad {
  readonly load: bigint
  readonly table: SourceTableDef
  /** `all`: the landing holds the whole table, what is missing in it was deleted. `delta`: rows to add or replace by key. */
  readonly scope: 'all' | 'delta'
  /** The sweep table holds every key of the source. */
  readonly swept: boolean
}

/**
 * Makes a load part of the current image. The first load becomes the image as it stands; later ones are compared with
 * it by key, so that only real differences go on: what was re-read unchanged disappears here. The replaced version of
 * each key moves to the past table: image and past together are the change log.
 */
export async function applyLoad(ctx: StageContext, accepted: AcceptedLoad): Promise<ChangeSet> {
  const { tx } = ctx
  const names = stagingNames(accepted.table)
  if (await isEmptyOrMissing(ctx, names.image)) return becomeImage(ctx, accepted)

  const keys = ident('temp', `staging_${stagedName(accepted.table)}`)
  await tx.execute(sql`create or replace temp table ${keys} as ${differences(accepted)}`)
  const changes = await countChanges(ctx, names.image, keys)
  if (changes.keys !== null) await replaceVersions(ctx, accepted, keys)
  await dropLanding(ctx, accepted)
  ctx.env.crash('staging.apply.after')
  return changes
}

/** A table that nothing was read of yet: it exists and is empty, so that every stage after it has something to read. */
export async function ensureImage(ctx: StageContext, table: SourceTableDef): Promise<ChangeSet> {
  const { image } = stagingNames(table)
  const nothing = { table: image, keys: null, inserted: 0, updated: 0, deleted: 0 }
  if (await ctx.tx.exists(image)) return { ...nothing, scope: 'delta' }
  const columns = columnDefinitions(ctx.tx.dialect, stagingLayout(table))
  await ctx.tx.execute(sql`create table ${image} (${columns})`)
  await createPast(ctx, table)
  return { ...nothing, scope: 'all' }
}

async function isEmptyOrMissing(ctx: StageContext, image: Ident): Promise<boolean> {
  if (!(await ctx.tx.exists(image))) return true
  const rows = await ctx.tx.rows(sql`select 1 as some from ${image} limit 1`)
  return rows.length === 0
}

async function becomeImage(ctx: StageContext, accepted: AcceptedLoad): Promise<ChangeSet> {
  const { tx } = ctx
  const names = stagingNames(accepted.table)
  const name = stagedName(accepted.table)
  await tx.execute(sql`drop table if exists ${names.image}`)
  await tx.execute(sql`alter table ${names.landing} rename to ${ident(name)}`)
  await createPast(ctx, accepted.table)
  if (accepted.swept) await tx.execute(sql`drop table if exists ${names.sweep}`)
  const [row] = await tx.rows(sql`select count(*) as n from ${names.image}`)
  ctx.env.crash('staging.apply.after')
  return { table: names.image, scope: 'all', keys: null, inserted: Number(row?.['n']), updated: 0, deleted: 0 }
}

async function createPast(ctx: StageContext, table: SourceTableDef): Promise<void> {
  const columns = columnDefinitions(ctx.tx.dialect, stagingLayout(table))
  await ctx.tx.execute(
    sql`create table if not exists ${stagingNames(table).past} (${columns}, "_until" bigint, "_op" varchar)`,
  )
}

/** The keys that differ between the landing and the image, with what happened to each. */
function differences(accepted: AcceptedLoad): Sql {
  const { image, landing, sweep } = stagingNames(accepted.table)
  const key = accepted.table.key
  const same = equalKeys('l', 's', key)
  const anyDiffers = stagedColumns(accepted.table)
    .filter(column => !key.includes(column.name))
    .map(column => sql`${ident('l', column.name)} is distinct from ${ident('s', column.name)}`)
  const differs = anyDiffers.length === 0 ? sql`false` : sql`(${joinSql(anyDiffers, ' or ')})`
  const first = ident('s', key[0] as string)
  const written = sql`
    select ${columnList(key, 'l')}, case when ${first} is null then 'i' else 'u' end as "_op"
    from ${landing} l left join ${image} s on ${same}
    where ${first} is null or ${differs}`
  const gone = accepted.scope === 'all' ? landing : accepted.swept ? sweep : null
  if (gone === null) return written
  return sql`${written}
    union all
    select ${columnList(key, 's')}, 'd' from ${image} s
    where not exists (select 1 from ${gone} g where ${equalKeys('s', 'g', key)})
    ${accepted.scope === 'delta' ? sql`and not exists (select 1 from ${landing} l where ${same})` : sql``}`
}

async function countChanges(ctx: StageContext, table: Ident, keys: Ident): Promise<ChangeSet> {
  const rows = await ctx.tx.rows(sql`select "_op" as op, count(*) as n from ${keys} group by "_op"`)
  const count = (op: string): number => Number(rows.find(row => row['op'] === op)?.['n'] ?? 0)
  const changed = rows.length > 0
  return {
    table,
    scope: 'delta',
    keys: changed ? keys : null,
    inserted: count('i'),
    updated: count('u'),
    deleted: count('d'),
  }
}

async function replaceVersions(ctx: StageContext, accepted: AcceptedLoad, keys: Ident): Promise<void> {
  const { tx } = ctx
  const { image, past, landing } = stagingNames(accepted.table)
  const key = accepted.table.key
  const names = stagingLayout(accepted.table).map(column => column.name)
  await tx.execute(sql`
    insert into ${past} select ${columnList(names, 's')}, ${accepted.load}, k."_op"
    from ${image} s join ${keys} k on ${equalKeys('s', 'k', key)}`)
  await tx.execute(sql`delete from ${image} s using ${keys} k where ${equalKeys('s', 'k', key)}`)
  await tx.execute(sql`
    insert into ${image} select ${columnList(names, 'l')}
    from ${landing} l join ${keys} k on ${equalKeys('l', 'k', key)} where k."_op" <> 'd'`)
}

async function dropLanding(ctx: StageContext, accepted: AcceptedLoad): Promise<void> {
  const { landing, sweep } = stagingNames(accepted.table)
  await ctx.tx.execute(sql`drop table if exists ${landing}`)
  await ctx.tx.execute(sql`drop table if exists ${sweep}`)
}
