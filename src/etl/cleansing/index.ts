import { sql, type Sql } from '../../core/sql.ts'
import type { ContributionDef, EntityDef, SourceTableDef } from '../../config/model.ts'
import { unchanged, type ChangeSet, type StageContext } from '../../run/context.ts'
import { insertRuleResults, noRuleResults, ruleResultTable, type RuleResult } from '../../run/rule-results.ts'
import { countRows } from '../../run/tables.ts'
import { apply } from './apply.ts'
import { check, enforceLimits, type Findings } from './check.ts'
import { controlsOf } from './controls.ts'
import { writeCorrections } from './corrections.ts'
import { layoutOf, type Layout } from './layout.ts'
import { cleanUp, prepare } from './prepare.ts'
import { relationOf } from './relation.ts'
import { findBad, writeQuarantine } from './set-aside.ts'

/** What cleansing keeps: every repaired cell, every row it set aside, and the values that people set for such rows. */
export const controlTables: readonly Sql[] = [
  // repair: 'cleanse' for a repair of the config, 'fix' for a value set by a person. Personal values are masked.
  sql`create table if not exists naru.correction (
    run bigint, "load" bigint, entity varchar, contributor varchar, key varchar, "column" varchar, repair varchar,
    "before" varchar, "after" varchar)`,
  // state: open, recycle (to be tried by the next run), resolved (kept; resolution: passed or gone). lost: the texts
  // that did not fit, as JSON by control. row: the staged row as JSON. held: an older version of the row is in use.
  sql`create table if not exists naru.quarantine (
    run bigint, "load" bigint, entity varchar, contributor varchar, source varchar, "table" varchar, key varchar,
    rules varchar[], lost varchar, "row" varchar, held boolean, state varchar, resolution varchar,
    resolved_run bigint)`,
  // Holds for the version of the row that load brought: when the source sends another, that one counts.
  sql`create table if not exists naru.quarantine_fix (
    entity varchar, contributor varchar, key varchar, "load" bigint, "column" varchar, value varchar)`,
  ruleResultTable,
]

/** One contribution of an entity and what changed in its staged table. */
export interface CleanseWork {
  readonly entity: EntityDef
  readonly contribution: ContributionDef
  readonly table: SourceTableDef
  readonly changes: ChangeSet
  /** Compute every row again: the config changed, or a crosswalk that the mapping reads. Only what differs is handed on. */
  readonly rebuild?: boolean
}

/**
 * Maps the staged rows of a change set to the entity's columns, repairs them, checks every rule on the repaired values
 * and writes `cleansed.<entity>_<contributor>`. What fails goes to quarantine with every rule it broke; the version
 * before it stays, flagged `_held`. Rows that are marked for another try are added to the change set.
 */
export async function cleanse(ctx: StageContext, asked: CleanseWork): Promise<ChangeSet> {
  const layout = layoutOf(ctx, { entity: asked.entity, contribution: asked.contribution, table: asked.table })
  const work = await prepare(ctx, layout, { changes: asked.changes, rebuild: asked.rebuild ?? false })
  if (work === null) return unchanged(layout.target)

  const relation = await relationOf(ctx, layout, work.source)
  const controls = await controlsOf(ctx, layout, relation)
  const findings = await check(ctx, layout, { work, relation, controls })
  enforceLimits(layout, findings)
  if (findings.bad) await findBad(ctx, layout, { work, relation, findings })
  const changes = await apply(ctx, layout, { work, relation, bad: findings.bad })
  await writeCorrections(ctx, layout, { work, relation, findings })
  await writeQuarantine(ctx, layout, work, findings.bad)
  const kept = ctx.controls === 'changes' && ctx.figures !== 'sum' ? findings.results.filter(found) : findings.results
  if (kept.length > 0) ctx.checked?.delete(noRuleResults)
  await insertRuleResults(ctx.tx, kept)
  await tell(ctx, layout, findings)
  if (!work.few) await cleanUp(ctx, layout)
  ctx.env.crash('cleansing.apply.after')
  return changes
}

function found(result: RuleResult): boolean {
  return (result.rowsFailed ?? 0) > 0
}

async function tell(ctx: StageContext, layout: Layout, findings: Findings): Promise<void> {
  if (!findings.bad) return
  const rows = await countRows(ctx.tx, layout.temp('bad'))
  const { entity, contribution } = layout.feed
  const text = `${rows} rows of ${entity.name} from ${contribution.as} went to quarantine`
  ctx.emit({ kind: 'note', level: 'warn', text })
}
