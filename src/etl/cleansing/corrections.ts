import { asText } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import { holdsStill, type StageContext } from '../../run/context.ts'
import type { Findings } from './check.ts'
import { ofFeed, sameId, type Layout } from './layout.ts'
import type { Work } from './prepare.ts'
import type { Relation } from './relation.ts'

/**
 * Records each cell that a repair or a fix changed, with both values. The records of a key are those of its cleansed
 * version: they are replaced when another version passes, and stay while a version is held.
 */
export async function writeCorrections(
  ctx: StageContext,
  layout: Layout,
  rows: { readonly work: Work; readonly relation: Relation; readonly findings: Findings },
): Promise<void> {
  const { work, relation, findings } = rows
  if (!work.fill && (await hasSome(ctx, layout, relation))) await forget(ctx, layout, work, findings.bad)
  for (const column of relation.fixed) {
    if ((findings.fixes.get(column) ?? 0) === 0) continue
    await record(ctx, layout, rows, { column, repair: 'fix', before: `_o_${column}`, after: `_m_${column}` })
  }
  for (const column of relation.repaired) {
    if ((findings.repairs.get(column) ?? 0) === 0) continue
    await record(ctx, layout, rows, { column, repair: 'cleanse', before: `_m_${column}`, after: column })
  }
}

/** False when nothing is repaired or fixed and nothing ever was. */
async function hasSome(ctx: StageContext, layout: Layout, { repaired, fixed }: Relation): Promise<boolean> {
  const none = `no corrections ${layout.target.path.join('.')}`
  if (repaired.length + fixed.length > 0) {
    ctx.checked?.delete(none)
    return true
  }
  const some = sql`select 1 as one from naru.correction where ${ofFeed(layout.feed)} limit 1`
  return !(await holdsStill(ctx, none, async () => (await ctx.tx.rows(some)).length === 0))
}

async function forget(ctx: StageContext, layout: Layout, work: Work, bad: boolean): Promise<void> {
  const held = bad ? sql`key not in (select b."_key" from ${layout.temp('bad')} b)` : sql`true`
  const touched = work.touched === null ? sql`` : sql`and key in (select ${layout.keyOf('k')} from ${work.touched} k)`
  await ctx.tx.execute(sql`delete from naru.correction where ${ofFeed(layout.feed)} and ${held} ${touched}`)
}

interface Change {
  readonly column: string
  readonly repair: 'cleanse' | 'fix'
  readonly before: string
  readonly after: string
}

async function record(
  ctx: StageContext,
  layout: Layout,
  { relation, findings }: { readonly relation: Relation; readonly findings: Findings },
  change: Change,
): Promise<void> {
  const { feed } = layout
  const personal = layout.columns.some(c => c.column.name === change.column && c.personal)
  const passes = findings.bad
    ? sql`and not exists (select 1 from ${layout.temp('bad')} b where ${sameId(layout, 'b', 'r')})`
    : sql``
  const fields = [
    sql`${ctx.run.id}`,
    sql`r."_load"`,
    sql`${feed.entity.name}`,
    sql`${feed.contribution.as}`,
    layout.keyOf('r'),
    sql`${change.column}`,
    sql`${change.repair}`,
    shown(change.before, personal),
    shown(change.after, personal),
  ]
  await ctx.tx.execute(sql`
    insert into naru.correction select ${joinSql(fields)} from (${relation.query}) r
    where ${ident('r', change.before)} is distinct from ${ident('r', change.after)} ${passes}`)
}

/** Personal values are masked; that there was one, or none, may be seen. */
function shown(column: string, personal: boolean): Sql {
  const value = sql`${ident('r', column)}`
  return personal ? sql`case when ${value} is not null then '***' end` : sql`${asText(value)}`
}
