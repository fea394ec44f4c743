import { joinSql, sql, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { changedRows } from '../../run/changed.ts'
import type { ChangeSet, StageContext } from '../../run/context.ts'
import type { Feed } from '../../run/mapping.ts'
import { insertRuleResults, noRuleResults, ruleResultTable } from '../../run/rule-results.ts'
import { beforeRules, resultsOf } from './rules.ts'
import { describeSample } from './sample.ts'
import { profiledColumns, readStatistics, statisticsOf, type ColumnProfile } from './statistics.ts'

/** What profiling keeps for each run: the statistics of a column, the findings of a rule, and how columns drift. */
export const controlTables: readonly Sql[] = [
  // distinct_about is an estimate (HyperLogLog, a few percent). top and histogram are JSON; they come from sample_rows
  // rows chosen by a hash of the key when the change set is large. castable: text values that fit the declared type.
  sql`create table if not exists naru.profile (
    run bigint, source varchar, "table" varchar, "column" varchar, scope varchar, "rows" bigint, nulls bigint,
    distinct_about bigint, min varchar, max varchar, mean double precision, stddev double precision,
    length_min bigint, length_max bigint, castable bigint, top varchar, histogram varchar, sample_rows bigint)`,
  ruleResultTable,
  // Each profile beside the one before it of the same table, column and scope.
  sql`create or replace view naru.profile_drift as
    select run, source, "table", "column", scope, previous_run, "rows", previous_rows,
      cast(nulls as double precision) / nullif("rows", 0)
        - cast(previous_nulls as double precision) / nullif(previous_rows, 0) as null_share_change,
      distinct_about - previous_distinct_about as distinct_change,
      (mean - previous_mean) / nullif(previous_stddev, 0) as mean_change_in_stddev,
      min is distinct from previous_min as min_changed, max is distinct from previous_max as max_changed
    from (
      select *, lag(run) over w as previous_run, lag("rows") over w as previous_rows,
        lag(nulls) over w as previous_nulls, lag(distinct_about) over w as previous_distinct_about,
        lag(mean) over w as previous_mean, lag(stddev) over w as previous_stddev,
        lag(min) over w as previous_min, lag(max) over w as previous_max
      from naru.profile
      window w as (partition by source, "table", "column", scope order by run)) p
    where previous_run is not null`,
]

/** Columns that one scan measures. Planning a statement takes longer than the scan when it has tens of thousands of figures. */
const COLUMNS_AT_ONCE = 250

/**
 * Measures the staged rows of a change set: statistics of each column, and each rule of each entity that reads the
 * table, on mapped values before repair. One scan counts everything, unless the table is very wide; uniqueness needs a grouping of its own. Nothing
 * is acted on: that is cleansing's part.
 */
export async function profileStaged(
  ctx: StageContext,
  work: { readonly table: SourceTableDef; readonly changes: ChangeSet },
): Promise<void> {
  const { table, changes } = work
  if (changes.scope === 'delta' && changes.keys === null) return
  // Nothing is acted on here: among many small publishes, those that take stock are the sample.
  if (ctx.controls === 'changes' && changes.scope === 'delta') return

  const rows = changedRows(table, changes)
  const columns = profiledColumns(ctx.tx.dialect, table)
  const rules = feedsOf(ctx, table).flatMap((feed, i) => beforeRules(ctx, feed, i))
  const joins = joinSql(
    rules.flatMap(rule => (rule.join === null ? [] : [rule.join])),
    ' ',
  )
  let measures = rules.flatMap(rule => rule.measures)
  for (let at = 0; at < columns.length; at += COLUMNS_AT_ONCE) {
    const group = columns.slice(at, at + COLUMNS_AT_ONCE)
    const all = [...statisticsOf(group), ...measures]
    const [scan] = await ctx.tx.rows(sql`select ${joinSql(all)} from (${rows}) s ${at === 0 ? joins : sql``}`)
    if (scan === undefined) return
    const statistics = readStatistics(group, scan)
    await insertProfiles(ctx, work, await describeSample(ctx, table, { rows, columns: group, statistics }))
    ctx.checked?.delete(noRuleResults)
    if (at === 0) await insertRuleResults(ctx.tx, await resultsOf(ctx, rules, rows, scan))
    measures = []
  }
}

function feedsOf(ctx: StageContext, table: SourceTableDef): readonly Feed[] {
  return ctx.project.entities.flatMap(entity =>
    entity.contributions
      .filter(c => c.source === table.source && c.table === table.name)
      .map(contribution => ({ entity, contribution, table })),
  )
}

async function insertProfiles(
  ctx: StageContext,
  work: { readonly table: SourceTableDef; readonly changes: ChangeSet },
  profiles: readonly ColumnProfile[],
): Promise<void> {
  const { table, changes } = work
  const rows = profiles.map(
    p => sql`(${ctx.run.id}, ${table.source}, ${table.name}, ${p.column}, ${changes.scope}, ${p.rows}, ${p.nulls},
      ${p.distinct}, ${p.min}, ${p.max}, ${p.mean}, ${p.stddev}, ${p.lengthMin}, ${p.lengthMax}, ${p.castable},
      ${p.top}, ${p.histogram}, ${p.sampleRows})`,
  )
  await ctx.tx.execute(sql`insert into naru.profile values ${joinSql(rows)}`)
}
