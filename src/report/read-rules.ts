import { sql } from '../core/sql.ts'
import type { EntityDef } from '../config/model.ts'
import type { Row } from '../services/engine/contract.ts'
import type { RuleOutcome, RulePhase } from './model.ts'
import { groupRows, numberOf, numberOrNull, shownKey, shownText, textOf } from './sample.ts'
import { ruleText } from './rule-text.ts'
import type { ReportScope } from './scope.ts'

/** What each control last found in each contributor, up to this run. */
export async function readRules(scope: ReportScope): Promise<readonly RuleOutcome[]> {
  const outcomes: RuleOutcome[] = []
  for (const entity of scope.project.entities) {
    for (const { as } of entity.contributions) outcomes.push(...(await rulesOf(scope, entity, as)))
  }
  return outcomes
}

async function rulesOf(scope: ReportScope, entity: EntityDef, contributor: string): Promise<readonly RuleOutcome[]> {
  const { tx, run, personal } = scope
  const of = sql`entity = ${entity.name} and contributor = ${contributor}`
  const rows = await tx.rows(sql`
    select * from naru.rule_result where ${of}
      and run = (select max(run) from naru.rule_result where ${of} and run <= ${run}) order by rule`)
  const hidden = personal.inSourceKey(entity.name, contributor)
  return [...groupRows(rows, ['rule']).values()].map(phases => {
    const [first] = phases as readonly [Row]
    const phase = (name: string): RulePhase | null => {
      const row = phases.find(it => it['phase'] === name)
      return row === undefined ? null : phaseOf(row, hidden)
    }
    const rule = String(first['rule'])
    return {
      entity: entity.name,
      contributor,
      rule,
      asks: shownText(ruleText(entity, rule)) ?? '',
      severity: String(first['severity']),
      run: numberOf(first['run']),
      inThisRun: first['run'] === run,
      limitRows: numberOrNull((phases.find(it => it['phase'] === 'after') ?? first)['limit_rows']),
      before: phase('before'),
      after: phase('after'),
    }
  })
}

function phaseOf(row: Row, hidden: boolean): RulePhase {
  const keys = JSON.parse(textOf(row['samples']) ?? '[]') as readonly string[]
  const rowsFailed = numberOrNull(row['rows_failed'])
  return {
    rowsChecked: numberOf(row['rows_checked']),
    rowsFailed,
    keys: { shown: keys.map(key => shownKey(key, hidden) ?? ''), of: rowsFailed ?? 0 },
    note: textOf(row['note']),
  }
}
