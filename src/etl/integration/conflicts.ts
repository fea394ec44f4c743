import { asText } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import { personalData } from '../../plan/personal.ts'
import type { StageContext } from '../../run/context.ts'
import { keyShown } from '../../run/keys.ts'
import type { Integration } from './golden.ts'
import { disagree, ruleText, survivalOf, valueOf, winner, type Survival } from './survivorship.ts'

/** Longest text of one value that a conflict shows. */
const SHOWN_CHARACTERS = 1_000

/** Replaces the conflicts of the keys that were integrated: one row for each cell in which contributors disagree. */
export async function writeConflicts(
  ctx: StageContext,
  it: Integration,
  rows: { readonly wide: Ident; readonly keys: Ident },
): Promise<void> {
  const { entity } = it
  const ofEntity = sql`entity = ${entity.name}`
  const within = it.full ? sql`` : sql`and key in (select ${shownKey(ctx, it, 'k')} from ${rows.keys} k)`
  await ctx.tx.execute(sql`delete from naru.conflict where ${ofEntity} ${within}`)
  const selects = survivalOf(it)
    .filter(survival => survival.givers.length > 1)
    .map(survival => conflictsOf(ctx, it, survival, rows.wide))
  if (selects.length === 0) return
  await ctx.tx.execute(sql`
    insert into naru.conflict select ${ctx.run.id}, ${entity.name}, * from (${joinSql(selects, ' union all ')})`)
}

function conflictsOf(ctx: StageContext, it: Integration, survival: Survival, wide: Ident): Sql {
  return sql`
    select ${shownKey(ctx, it, 'w')} as key, ${survival.column.name} as "column", ${winner(it, survival)} as winner,
      ${ruleText(it, survival)} as rule, ${valuesJson(ctx, it, survival)} as "values"
    from ${wide} w where ${disagree(survival)}`
}

function shownKey(ctx: StageContext, it: Integration, alias: string): Sql {
  const personal = personalData(ctx.project).inGoldenKey(it.entity.name)
  return keyShown(
    it.entity.key.map(name => sql`${ident(alias, name)}`),
    personal,
  )
}

/** `[{"contributor":"erp","value":"3"}]`, in the order of the rule. */
function valuesJson(ctx: StageContext, it: Integration, survival: Survival): Sql {
  const { name } = survival.column
  const masked = personalData(ctx.project).inEntity(it.entity.name).has(name)
  const members = survival.givers.map(at => {
    const value = valueOf(at, name)
    const label = `{"contributor":${JSON.stringify(it.entity.contributions[at]?.as)},"value":`
    const text = sql`cast(to_json(substr(${asText(value)}, 1, ${SHOWN_CHARACTERS})) as varchar)`
    return sql`case when ${value} is not null then ${label} || ${masked ? sql`${'"***"'}` : text} || '}' end`
  })
  return sql`'[' || concat_ws(',', ${joinSql(members)}) || ']'`
}
