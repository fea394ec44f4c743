import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import type { StageContext } from '../../run/context.ts'
import type { Findings } from './check.ts'
import { isClear, noLongerClear } from './clear.ts'
import { checkedRows, isBad } from './controls.ts'
import { isBehind, ofFeed, sameId, type Layout } from './layout.ts'
import type { Work } from './prepare.ts'
import type { Loss, Relation } from './relation.ts'

/**
 * Puts the rows that failed into the temporary table `bad`: ids, key text, every rule that each row broke, the texts
 * that did not fit, and the row. Only when there are any.
 */
export async function findBad(
  ctx: StageContext,
  layout: Layout,
  rows: { readonly work: Work; readonly relation: Relation; readonly findings: Findings },
): Promise<void> {
  const { work, relation, findings } = rows
  const [badIds, source] = [layout.temp('bad_ids'), layout.temp('bad_source')]
  await ctx.tx.replaceTemp(badIds, brokenRules(layout, relation, findings))
  // Their texts and JSON are made from the few staged rows alone: in one statement they would be made for all.
  await ctx.tx.replaceTemp(source, sql`select s.* from ${work.source} s join ${badIds} b on ${isBehind(layout, 'b')}`)
  await ctx.tx.replaceTemp(
    layout.temp('bad'),
    sql`select ${joinSql(layout.ids.map(id => ident('r', id)))}, r."_load", ${layout.keyOf('r')} as "_key", b."_rules",
      ${lostJson(relation.losses)} as "_lost", r."_row"
    from (${relation.over(source)}) r join ${badIds} b on ${sameId(layout, 'r', 'b')}`,
  )
}

/** The ids of the rows to set aside, each with the list of everything it broke, warnings included. */
function brokenRules(layout: Layout, relation: Relation, { controls, repeated }: Findings): Sql {
  const lookups = controls.flatMap((control, i) =>
    control.kind === 'unique' && (repeated.get(control.id) ?? 0) > 0
      ? [{ control, alias: `repeated_${i}`, broken: sql`${ident(`repeated_${i}`, '_control')} is not null` }]
      : [],
  )
  const joins = lookups.map(
    ({ control, alias }) => sql`left join ${layout.temp('repeated')} ${ident(alias)}
      on ${sameId(layout, alias, 'r')} and ${ident(alias, '_control')} = ${control.id}`,
  )
  const rules = controls.flatMap(control => {
    const broken = control.kind === 'row' ? control.broken : lookups.find(l => l.control === control)?.broken
    return broken === undefined ? [] : [sql`case when ${broken} then ${control.id} end`]
  })
  const acting = lookups.filter(l => l.control.severity !== 'warn').map(l => sql` or ${l.broken}`)
  return sql`
    select ${joinSql(layout.ids.map(id => ident('r', id)))},
      string_to_array(concat_ws(chr(10), ${joinSql([...rules, sql`${null}`])}), chr(10)) as "_rules"
    from ${checkedRows(relation, controls)} ${joinSql(joins, ' ')}
    where ${isBad(controls)}${joinSql(acting, '')}`
}

/** The texts that did not fit their type or map, by control, as JSON; `null` when there are none. */
function lostJson(losses: readonly Loss[]): Sql {
  const members = losses.map(loss => {
    const label = `${JSON.stringify(loss.id)}:`
    const shown = loss.personal
      ? sql`${'"***"'}`
      : sql`coalesce(cast(to_json(${ident('r', loss.raw)}) as varchar), 'null')`
    return sql`case when ${ident('r', loss.flag)} then ${label} || ${shown} end`
  })
  return sql`'{' || nullif(concat_ws(',', ${joinSql([...members, sql`${null}`])}), '') || '}'`
}

/**
 * Brings quarantine up to date with the rows that were cleansed: open rows whose key passed or is gone are resolved and
 * kept, those that failed again are replaced. A row whose key has a cleansed version from before says so in `held`.
 */
export async function writeQuarantine(ctx: StageContext, layout: Layout, work: Work, bad: boolean): Promise<void> {
  const { tx } = ctx
  const table = layout.temp('bad')
  const open = sql`${ofFeed(layout.feed)} and state in ('open', 'recycle')`
  if (!(await isClear(ctx, layout))) {
    await resolvePassed(ctx, layout, { work, open, bad })
    if (bad)
      await tx.execute(sql`delete from naru.quarantine where ${open} and key in (select b."_key" from ${table} b)`)
  }
  if (!bad) return
  noLongerClear(ctx, layout)
  const { feed } = layout
  const ids = joinSql(layout.ids.map(id => ident('t', id)))
  await tx.execute(sql`
    insert into naru.quarantine
    select ${ctx.run.id}, b."_load", ${feed.entity.name}, ${feed.contribution.as}, ${feed.table.source},
      ${feed.table.name}, b."_key", b."_rules", b."_lost", b."_row",
      h."_here" is not null, 'open', cast(${null} as varchar), cast(${null} as bigint)
    from ${table} b
    left join (
      select ${ids}, true as "_here" from ${layout.target} t join ${table} b on ${sameId(layout, 't', 'b')}) h
    on ${sameId(layout, 'h', 'b')}
    order by b."_key"`)
}

async function resolvePassed(
  ctx: StageContext,
  layout: Layout,
  { work, open, bad }: { readonly work: Work; readonly open: Sql; readonly bad: boolean },
): Promise<void> {
  const { target } = layout
  const touched = work.touched === null ? sql`` : sql`and key in (select ${layout.keyOf('k')} from ${work.touched} k)`
  const narrowed = work.touched === null ? sql`` : sql`join ${work.touched} k on ${sameId(layout, 't', 'k')}`
  await ctx.tx.execute(sql`
    update naru.quarantine set state = 'resolved', resolved_run = ${ctx.run.id},
      resolution = case when key in (select ${layout.keyOf('t')} from ${target} t ${narrowed}) then 'passed'
        else 'gone' end
    where ${open} ${touched} ${bad ? sql`and key not in (select b."_key" from ${layout.temp('bad')} b)` : sql``}`)
}
