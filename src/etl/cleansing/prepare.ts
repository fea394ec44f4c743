import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import { holdsStill, isThere, type ChangeSet, type StageContext } from '../../run/context.ts'
import { isClear } from './clear.ts'
import { keyShown } from '../../run/keys.ts'
import {
  columnDefinitions,
  columnList,
  declaredColumns,
  dropViewsOf,
  equalKeys,
  stagingNames,
} from '../../run/tables.ts'
import { HELD, idValues, isBehind, ofFeed, sameId, type Layout } from './layout.ts'

/** Which rows are cleansed now. */
export interface Work {
  /** The staged rows to read. */
  readonly source: Ident
  /** Ids of the rows that may have changed; `null`: every row is computed again. */
  readonly touched: Ident | null
  /**
   * The cleansed rows that may be replaced: of a delta put aside once, so that a large table is not joined again and again.
   * A key that a row outside of the delta holds is not among them: uniqueness keeps it from the good rows.
   */
  readonly old: Ident
  /** They were taken out of the cleansed table: what stays is written again. */
  readonly taken: boolean
  /** The cleansed table is new: there is nothing to compare with. */
  readonly fill: boolean
  /** There are few: what is put aside for them is left until the next publish puts its own in its place. */
  readonly few: boolean
}

/** Finds the rows to cleanse and makes the table ready for them; `null` when there is nothing to do. */
export async function prepare(
  ctx: StageContext,
  layout: Layout,
  asked: { readonly changes: ChangeSet; readonly rebuild: boolean },
): Promise<Work | null> {
  const { tx } = ctx
  const { image } = stagingNames(layout.feed.table)
  const fill = !(await hasTarget(ctx, layout))
  if (fill) await createTarget(ctx, layout)
  if (!(await isThere(ctx, image))) return null
  const { target } = layout
  const isWhole = fill || asked.rebuild || asked.changes.scope === 'all'
  if (isWhole) return { source: image, touched: null, old: target, taken: false, fill, few: false }

  const recycled = await hasRecycled(ctx, layout)
  const { keys, rows } = asked.changes
  if (keys === null && !recycled) return null
  const touched = layout.temp('touched')
  if (keys !== null && rows !== undefined && !recycled && layout.keying !== 'identities') {
    await tx.replaceTemp(touched, sql`select distinct ${idValues(layout)} from ${keys} s`)
    const old = layout.temp('old')
    await tx.takeRows({ table: target, keys: touched, key: layout.ids, into: old })
    return { source: rows, touched, old, taken: true, fill, few: true }
  }
  await (layout.keying === 'identities'
    ? touchIdentities(ctx, layout, { keys, recycled })
    : touchKeys(ctx, layout, { keys, recycled }))
  const old = await findOld(ctx, layout, touched)
  return { source: layout.temp('source'), touched, old, taken: false, fill, few: false }
}

async function findOld(ctx: StageContext, layout: Layout, touched: Ident): Promise<Ident> {
  const old = layout.temp('old')
  await ctx.tx.replaceTemp(
    old,
    sql`select t.* from ${layout.target} t join ${touched} k on ${sameId(layout, 't', 'k')}`,
  )
  return old
}

/** Removes what `prepare` and the steps after it put aside, but for the keys that are handed on. */
export async function cleanUp(ctx: StageContext, layout: Layout): Promise<void> {
  for (const purpose of [
    'keys',
    'source',
    'touched',
    'repeated',
    'candidates',
    'bad',
    'bad_ids',
    'bad_source',
    'good',
    'old',
  ]) {
    await ctx.tx.execute(sql`drop table if exists ${layout.temp(purpose)}`)
  }
}

async function hasRecycled(ctx: StageContext, layout: Layout): Promise<boolean> {
  if (await isClear(ctx, layout)) return false
  const rows = await ctx.tx.rows(
    sql`select 1 as one from naru.quarantine where ${ofFeed(layout.feed)} and state = 'recycle' limit 1`,
  )
  return rows.length > 0
}

interface Touching {
  readonly keys: Ident | null
  readonly recycled: boolean
}

/** Staged keys of the change set and of rows that are to be tried again, and their staged rows. */
async function touchKeys(ctx: StageContext, layout: Layout, { keys, recycled }: Touching): Promise<void> {
  const { table } = layout.feed
  const { image } = stagingNames(table)
  const own = layout.temp('keys')
  const parts = [
    ...(keys === null ? [] : [sql`select ${columnList(table.key)} from ${keys}`]),
    ...(recycled ? [sql`select ${columnList(table.key, 's')} from ${image} s where ${isRecycled(layout)}`] : []),
  ]
  await ctx.tx.replaceTemp(own, joinSql(parts, ' union '))
  await ctx.tx.replaceTemp(layout.temp('touched'), sql`select distinct ${idValues(layout)} from ${own} s`)
  await ctx.tx.replaceTemp(
    layout.temp('source'),
    sql`select s.* from ${image} s join ${own} k on ${equalKeys('s', 'k', table.key)}`,
  )
}

function isRecycled(layout: Layout): Sql {
  const { table } = layout.feed
  const personal = table.columns.some(column => column.personal && table.key.includes(column.name))
  const key = keyShown(
    table.key.map(name => sql`${ident('s', name)}`),
    personal,
  )
  return sql`${key} in (select q.key from naru.quarantine q where ${ofFeed(layout.feed)} and q.state = 'recycle')`
}

/** Identities that the changed staged rows have now or had before, and every staged row behind them. */
async function touchIdentities(ctx: StageContext, layout: Layout, { keys, recycled }: Touching): Promise<void> {
  const { table } = layout.feed
  const { image, past } = stagingNames(table)
  const ids = idValues(layout)
  const parts: Sql[] = []
  if (keys !== null) {
    const ofKeys = sql`join ${keys} k on ${equalKeys('s', 'k', table.key)}`
    parts.push(sql`select ${ids} from ${image} s ${ofKeys}`)
    if (await ctx.tx.exists(past)) parts.push(sql`select ${ids} from ${past} s ${ofKeys}`)
  }
  if (recycled) {
    parts.push(sql`
      select i.* from (select distinct ${ids} from ${image} s) i
      where ${layout.keyOf('i')} in (
        select q.key from naru.quarantine q where ${ofFeed(layout.feed)} and q.state = 'recycle')`)
  }
  await ctx.tx.replaceTemp(layout.temp('touched'), joinSql(parts, ' union '))
  await ctx.tx.replaceTemp(
    layout.temp('source'),
    sql`select s.* from ${image} s join ${layout.temp('touched')} t on ${isBehind(layout, 't')}`,
  )
}

async function createTarget(ctx: StageContext, layout: Layout): Promise<void> {
  const columns = columnDefinitions(ctx.tx.dialect, [...layout.stored, HELD])
  await dropViewsOf(ctx.tx, ctx.project, layout.feed.entity)
  await ctx.tx.execute(sql`drop table if exists ${layout.target}`)
  await ctx.tx.execute(sql`create table ${layout.target} (${columns})`)
}

/** True when the table is there with the columns that the config asks for now; otherwise it is made anew. */
async function hasTarget(ctx: StageContext, layout: Layout): Promise<boolean> {
  const { tx } = ctx
  const asked = await declaredColumns(tx, [...layout.stored, HELD])
  const text = JSON.stringify(asked)
  return holdsStill(
    ctx,
    `shape ${layout.target.path.join('.')} ${text}`,
    async () => (await tx.exists(layout.target)) && JSON.stringify(await tx.columns(layout.target)) === text,
  )
}
