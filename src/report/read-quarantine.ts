import { sql } from '../core/sql.ts'
import type { Row } from '../services/engine/contract.ts'
import type { QuarantinedContributor, QuarantinedRow } from './model.ts'
import { groupKey, groupRows, MASKED, numberOf, SAMPLE_ROWS, sampleOf, shownKey, shownText, textOf } from './sample.ts'
import { contributionOf, type ReportScope } from './scope.ts'

/** Longest row that is shown; a longer one is found by its key. */
const ROW_CHARACTERS = 20_000

/** Rows that wait now, by entity, contributor and rule. */
export async function readQuarantine(scope: ReportScope): Promise<readonly QuarantinedContributor[]> {
  const { tx, project, run } = scope
  const counts = await tx.rows(sql`
    select * from (
      select entity, contributor, count(*) filter (where state <> 'resolved') as n,
        count(*) filter (where state <> 'resolved' and run = ${run}) as fresh,
        count(*) filter (where state <> 'resolved' and held) as held,
        count(*) filter (where state = 'resolved' and resolved_run = ${run}) as resolved
      from naru.quarantine group by entity, contributor) q
    where n > 0 or resolved > 0 order by n desc, entity, contributor`)
  const found: QuarantinedContributor[] = []
  for (const row of counts) {
    const [entity, contributor] = [String(row['entity']), String(row['contributor'])]
    if (contributionOf(project, entity, contributor) === undefined) continue
    found.push({
      entity,
      contributor,
      rows: numberOf(row['n']),
      newInThisRun: numberOf(row['fresh']),
      resolvedInThisRun: numberOf(row['resolved']),
      held: numberOf(row['held']),
      rules: await readByRule(scope, entity, contributor),
    })
  }
  return found
}

async function readByRule(
  scope: ReportScope,
  entity: string,
  contributor: string,
): Promise<QuarantinedContributor['rules']> {
  const broken = sql`(
    select key, rules, held, case when length("row") <= ${ROW_CHARACTERS} then "row" end as "row", unnest(rules) as rule
    from naru.quarantine where entity = ${entity} and contributor = ${contributor} and state <> 'resolved') b`
  const counts = await scope.tx.rows(sql`select rule, count(*) as n from ${broken} group by rule order by n desc, rule`)
  const samples = await scope.tx.rows(sql`
    select rule, key, rules, held, "row" from (
      select *, row_number() over (partition by rule order by key) as nth from ${broken}) b
    where nth <= ${SAMPLE_ROWS} order by rule, key`)
  const groups = groupRows(samples, ['rule'])
  return counts.map(count => ({
    rule: String(count['rule']),
    rows: sampleOf(groups.get(groupKey(count, ['rule'])) ?? [], numberOf(count['n']), row =>
      quarantined(scope, { entity, contributor }, row),
    ),
  }))
}

function quarantined(
  { project, personal }: ReportScope,
  from: { readonly entity: string; readonly contributor: string },
  row: Row,
): QuarantinedRow {
  const contribution = contributionOf(project, from.entity, from.contributor)
  const hidden = personal.inStaged(contribution?.source ?? '', contribution?.table ?? '')
  const values = valuesOf(row['row'])
  return {
    key: shownKey(textOf(row['key']), personal.inSourceKey(from.entity, from.contributor)) ?? '',
    rules: row['rules'] as readonly string[],
    held: row['held'] === true,
    values:
      values?.map(([column, value]) => ({
        column,
        value: hidden.has(column) && value !== null ? MASKED : shownText(value),
      })) ?? null,
  }
}

function valuesOf(cell: Row[string] | undefined): readonly (readonly [string, string | null])[] | null {
  if (typeof cell !== 'string') return null
  return Object.entries(JSON.parse(cell) as Readonly<Record<string, string | null>>)
}
