import { toJson } from '../core/dialect-functions.ts'
import { ident, joinSql, sql, type Sql } from '../core/sql.ts'
import type { StageContext } from '../run/context.ts'
import { rowsDiffer } from '../run/differences.ts'
import { keyText } from '../run/keys.ts'
import { equalKeys } from '../run/tables.ts'
import { visibleColumns, type DimensionLayout } from './dimension-layout.ts'

/**
 * Records each version that is about to be changed after the fact (M73): `removed`, `replaced` (same time, other type 2
 * values), `overwritten` (type 1), `moved` (its range was another one), `flagged`. That a new version or a delete ends
 * an open range is the ordinary course of history and no restatement.
 */
export async function recordRestatements(ctx: StageContext, layout: DimensionLayout): Promise<void> {
  const key = keyText(layout.key.map(name => sql`${ident('v', name)}`))
  await ctx.tx.execute(sql`
    insert into naru.restatement
    select ${ctx.run.id}, ${layout.table.path.join('.')}, ${ident('v', layout.surrogate)}, ${key}, ${whatChanged(layout)},
      ${asJson('v', layout)}, case when c."_op" = 'u' then ${asJson('c', layout)} end
    from ${layout.temp('changed')} c join ${layout.table} v on ${equalKeys('c', 'v', [layout.surrogate])}
    where ${whatChanged(layout)} is not null`)
}

function whatChanged(layout: DimensionLayout): Sql {
  return sql`case when c."_op" = 'd' then 'removed'
    when ${rowsDiffer('v', 'c', [...layout.type2, ...layout.carried])} then 'replaced'
    when ${rowsDiffer('v', 'c', layout.type1)} then 'overwritten'
    when c.valid_from <> v.valid_from or (c.valid_to <> v.valid_to and v.valid_to < 'infinity') then 'moved'
    when c.is_deleted <> v.is_deleted and c.valid_to = v.valid_to then 'flagged' end`
}

function asJson(alias: string, layout: DimensionLayout): Sql {
  const names = visibleColumns(layout).filter(name => !layout.key.includes(name))
  const fields = names.map(
    name => sql`${`${JSON.stringify(name)}:`} || coalesce(${toJson(ident(alias, name))}, 'null')`,
  )
  return sql`'{' || ${joinSql(fields, ` || ',' || `)} || '}'`
}
