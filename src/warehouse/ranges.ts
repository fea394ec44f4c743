import { fail } from '../core/errors.ts'
import { ident, sql } from '../core/sql.ts'
import type { StageContext } from '../run/context.ts'
import { keyText } from '../run/keys.ts'
import { columnList, equalKeys } from '../run/tables.ts'
import type { DimensionLayout } from './dimension-layout.ts'

/**
 * M64: after each load, the versions of every touched key are checked as they stand in the table: from ever on, no empty
 * range, no overlap, no gap but one that a delete opened, and one current version unless a delete closed the last one.
 * A wrong history stops the publish.
 */
export async function assertRanges(ctx: StageContext, layout: DimensionLayout): Promise<void> {
  const surrogate = ident(layout.surrogate)
  const key = keyText(layout.key.map(name => sql`${ident(name)}`))
  const [wrong] = await ctx.tx.rows(sql`
    with touched as (
      select v.* from ${layout.table} v
      where exists (select 1 from ${layout.temp('touched')} t where ${equalKeys('v', 't', layout.key)})),
    versions as (
      select *, ${key} as "_text", lag(valid_to) over w as "_before_to", lag(is_deleted) over w as "_before_deleted",
        lead(valid_from) over w is null as "_last", count(*) over (partition by ${surrogate}) as "_twins"
      from touched
      window w as (partition by ${columnList(layout.key)} order by valid_from, valid_to, ${surrogate}))
    select "_text" as key, problem from (
      select "_text", case
        when "_twins" > 1 then 'a surrogate key stands twice'
        when valid_from is null or valid_to is null or valid_from >= valid_to then 'a range is empty or inverted'
        when "_before_to" is null and valid_from > '-infinity' then 'the first range does not begin at -infinity'
        when "_before_to" > valid_from then 'two ranges overlap'
        when "_before_to" < valid_from and not "_before_deleted" then 'there is a gap between two ranges'
        when "_last" and is_deleted is distinct from true and valid_to < 'infinity' then 'the last range ends without a delete'
        when is_current is distinct from ("_last" and valid_to = 'infinity') then 'not exactly one version is current'
        end as problem
      from versions)
    where problem is not null order by 1, 2 limit 1`)
  if (wrong === undefined) return
  throw fail('DIMENSION_RANGES', {
    dimension: layout.definition.name,
    key: String(wrong['key']),
    problem: String(wrong['problem']),
  })
}
