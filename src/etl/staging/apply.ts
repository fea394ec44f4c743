import { fail } from '../../core/errors.ts'
import { ident, rawSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import {
  changedBy,
  filled,
  isThere,
  ROWS_HANDED_ON,
  rowsChanged,
  unchanged,
  type ChangeSet,
  type StageContext,
} from '../../run/context.ts'
import { columnsToAdd, imageState } from '../../run/layouts.ts'
import { readRange, type LoadScope } from '../../run/loads.ts'
import { countOps, rowsDiffer } from '../../run/differences.ts'
import { spareRejected } from './spared.ts'
import {
  columnDefinitions,
  columnList,
  countRows,
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
  /**
   * `all`: the landing holds the whole table, what is missing in it was deleted. `delta`: rows to add or replace by key.
   * `range`: the landing holds all rows of the load's range, what is missing of it was deleted.
   */
  readonly scope: LoadScope
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
  if ((await imageState(tx, accepted.table)) === 'other' && !(await widened(ctx, accepted)))
    return replaceImage(ctx, accepted)
  if (!(await tx.exists(names.image)) || (await isToBeFilled(tx, names))) return becomeImage(ctx, accepted)

  const temp = (what: string): Ident => ident('temp', `staging_${stagedName(accepted.table)}${what}`)
  const keys = temp('')
  const replaced = await replacedRows(ctx, accepted, temp('_replaced'))
  await tx.replaceTemp(keys, differences(accepted, replaced, await spared(ctx, accepted)))
  const counts = await countOps(tx, keys)
  const few = rowsChanged(counts) > 0 && rowsChanged(counts) <= ROWS_HANDED_ON
  const rows = few ? temp('_rows') : undefined
  if (rows !== undefined) await tx.replaceTemp(rows, newVersions(accepted, keys))
  if (rowsChanged(counts) > 0) await replaceVersions(ctx, accepted, { keys, replaced, rows })
  await dropLanding(ctx, accepted)
  ctx.env.crash('staging.apply.after')
  return changedBy(names.image, keys, counts, rows)
}

/**
 * The rows of the image that the load may replace. Those of a delta are put aside, so that a large image is read once for
 * them; a load of a whole table speaks of all.
 */
async function replacedRows(ctx: StageContext, { table, scope, swept }: AcceptedLoad, into: Ident): Promise<Ident> {
  const { image, landing } = stagingNames(table)
  if (scope !== 'delta' || swept) return image
  await ctx.tx.replaceTemp(
    into,
    sql`select s.* from ${image} s where exists (select 1 from ${landing} l where ${equalKeys('l', 's', table.key)})`,
  )
  return into
}

/** A table that nothing was read of yet: it exists and is empty, so that every stage after it has something to read. */
export async function ensureImage(ctx: StageContext, table: SourceTableDef): Promise<ChangeSet> {
  const { image } = stagingNames(table)
  if (await isThere(ctx, image)) return unchanged(image)
  const columns = columnDefinitions(ctx.tx.dialect, stagingLayout(table))
  await ctx.tx.execute(sql`create table ${image} (${columns})`)
  await createPast(ctx, table)
  return filled(image, 0)
}

/**
 * An empty image becomes what was read. One that stays empty is left as it is, for to make it anew everybody who reads it would
 * have to be gone; unless it was made when nothing was read yet, and the table turned out to have more columns.
 */
async function isToBeFilled(tx: Transaction, { image, landing }: ReturnType<typeof stagingNames>): Promise<boolean> {
  if (await hasRows(tx, image)) return false
  if (await hasRows(tx, landing)) return true
  const known = new Set((await tx.columns(image)).map(column => column.name))
  return (await tx.columns(landing)).some(column => !known.has(column.name))
}

async function hasRows(tx: Transaction, table: Ident): Promise<boolean> {
  return (await tx.rows(sql`select 1 as some from ${table} limit 1`)).length > 0
}

async function becomeImage(ctx: StageContext, accepted: AcceptedLoad): Promise<ChangeSet> {
  const { tx } = ctx
  const names = stagingNames(accepted.table)
  const name = stagedName(accepted.table)
  await tx.execute(sql`drop table if exists ${names.image}`)
  await tx.execute(sql`alter table ${names.landing} rename to ${ident(name)}`)
  await createPast(ctx, accepted.table)
  if (accepted.swept) await tx.execute(sql`drop table if exists ${names.sweep}`)
  const rows = await countRows(tx, names.image)
  ctx.env.crash('staging.apply.after')
  return filled(names.image, rows)
}

/** Gives the image and its past the columns that came to the table; false when it differs in another way. */
async function widened(ctx: StageContext, { table, scope }: AcceptedLoad): Promise<boolean> {
  const added = await columnsToAdd(ctx.tx, table)
  // Files that add rows are read once: rows of earlier ones have NULL in a new column, which the interface stage told.
  const isAdding = table.change.technique === 'files' && scope === 'delta'
  if (added === null || (scope !== 'all' && !isAdding)) return false
  const { image, past } = stagingNames(table)
  for (const column of added) {
    const definition = columnDefinitions(ctx.tx.dialect, [column])
    await ctx.tx.execute(sql`alter table ${image} add column if not exists ${definition}`)
    await ctx.tx.execute(sql`alter table ${past} add column if not exists ${definition}`)
  }
  if (added.length > 0 && !isAdding) {
    const names = added.map(column => column.name).join(', ')
    const text = `${table.source}.${table.name}: ${names} came to the table, so it was read again`
    ctx.emit({ kind: 'note', level: 'info', text, code: 'STAGED_AGAIN' })
  }
  return true
}

/**
 * The columns of the table changed in the config: the load read the whole table and becomes the image. The stages after
 * it compare, so only real differences go on. Earlier versions stay in the shape they had, in a table of their own.
 */
async function replaceImage(ctx: StageContext, accepted: AcceptedLoad): Promise<ChangeSet> {
  const { table, load } = accepted
  const past = `${stagedName(table)}__past_${load}`
  await ctx.tx.execute(sql`alter table ${stagingNames(table).past} rename to ${ident(past)}`)
  const text = `${table.source}.${table.name}: its columns changed, so it was read again; older versions are in staging.${past}`
  ctx.emit({ kind: 'note', level: 'info', text, code: 'STAGED_AGAIN' })
  return becomeImage(ctx, accepted)
}

/** One that was made for an image that nothing was read of may have other columns than the first load: it is empty. */
async function createPast(ctx: StageContext, table: SourceTableDef): Promise<void> {
  const { past } = stagingNames(table)
  if ((await ctx.tx.exists(past)) && !(await hasRows(ctx.tx, past))) await ctx.tx.execute(sql`drop table ${past}`)
  const columns = columnDefinitions(ctx.tx.dialect, stagingLayout(table))
  await ctx.tx.execute(sql`create table if not exists ${past} (${columns}, "_until" bigint, "_op" varchar)`)
}

/** Which rows of the image may be taken as deleted. A sweep read every key, so it needs no care. */
async function spared(ctx: StageContext, { scope, table, load }: AcceptedLoad): Promise<Sql> {
  // The rows of a log that begins anew are others: each was read once more.
  if (scope === 'delta' || table.append === true) return sql`true`
  const mayGo = await spareRejected(ctx, table, load)
  if (scope === 'all') return mayGo
  const range = await readRange(ctx.tx, load)
  const column = stagedColumns(table).find(it => it.name === range?.column)
  if (range === null || column === undefined)
    throw fail('INTERNAL', { what: `load ${load} is a backfill without a range` })
  const type = rawSql(ctx.tx.dialect.type(column.type))
  const value = ident('s', column.name)
  return sql`${mayGo} and ${value} >= cast(${range.from} as ${type}) and ${value} < cast(${range.to} as ${type})`
}

/** The keys that differ between the landing and the image, with what happened to each. */
function differences(accepted: AcceptedLoad, replaced: Ident, mayGo: Sql): Sql {
  const { landing, sweep } = stagingNames(accepted.table)
  const key = accepted.table.key
  const same = equalKeys('l', 's', key)
  const values = stagedColumns(accepted.table).map(column => column.name)
  const differs = rowsDiffer(
    'l',
    's',
    values.filter(name => !key.includes(name)),
  )
  const first = ident('s', key[0] as string)
  const written = sql`
    select ${columnList(key, 'l')}, case when ${first} is null then 'i' else 'u' end as "_op"
    from ${landing} l left join ${replaced} s on ${same}
    where ${first} is null or ${differs}`
  const { scope, swept } = accepted
  const gone = scope === 'all' ? landing : swept ? sweep : scope === 'range' ? landing : null
  if (gone === null) return written
  return sql`${written}
    union all
    select ${columnList(key, 's')}, 'd' from ${replaced} s
    where ${mayGo} and not exists (select 1 from ${gone} g where ${equalKeys('s', 'g', key)})
    ${gone === landing ? sql`` : sql`and not exists (select 1 from ${landing} l where ${same})`}`
}

/** The rows of the load that are new or differ. */
function newVersions({ table }: AcceptedLoad, keys: Ident): Sql {
  const names = stagingLayout(table).map(column => column.name)
  return sql`select ${columnList(names, 'l')} from ${stagingNames(table).landing} l
    join ${keys} k on ${equalKeys('l', 'k', table.key)} where k."_op" <> 'd'`
}

async function replaceVersions(
  ctx: StageContext,
  accepted: AcceptedLoad,
  given: { readonly keys: Ident; readonly replaced: Ident; readonly rows: Ident | undefined },
): Promise<void> {
  const { tx } = ctx
  const { keys, replaced, rows } = given
  const { image, past } = stagingNames(accepted.table)
  const key = accepted.table.key
  const names = columnList(stagingLayout(accepted.table).map(column => column.name))
  const old = columnList(
    stagingLayout(accepted.table).map(column => column.name),
    's',
  )
  await tx.execute(sql`
    insert into ${past} (${names}, "_until", "_op") select ${old}, ${accepted.load}, k."_op"
    from ${replaced} s join ${keys} k on ${equalKeys('s', 'k', key)}`)
  await tx.execute(sql`delete from ${image} s using ${keys} k where ${equalKeys('s', 'k', key)}`)
  const next = rows === undefined ? newVersions(accepted, keys) : sql`select ${names} from ${rows}`
  await tx.execute(sql`insert into ${image} (${names}) ${next}`)
}

async function dropLanding(ctx: StageContext, accepted: AcceptedLoad): Promise<void> {
  const { landing, sweep } = stagingNames(accepted.table)
  await ctx.tx.execute(sql`drop table if exists ${landing}`)
  await ctx.tx.execute(sql`drop table if exists ${sweep}`)
}
