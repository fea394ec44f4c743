import { sql, type Sql } from '../core/sql.ts'
import type { Row } from '../services/engine/contract.ts'
import type { ConflictingColumn, Histogram, MatchedContributor, MatchedRow } from './model.ts'
import {
  groupRows,
  LIST_ROWS,
  MASKED,
  numberOf,
  numberOrNull,
  SAMPLE_ROWS,
  sampleOf,
  shownKey,
  shownText,
  textOf,
} from './sample.ts'
import type { ReportScope } from './scope.ts'

const SCORE_STEPS = 20

/** Which source rows found their golden record, for every contributor that has to be matched. */
export async function readMatches(scope: ReportScope): Promise<readonly MatchedContributor[]> {
  const found: MatchedContributor[] = []
  for (const entity of scope.project.entities) {
    for (const { as, match } of entity.contributions) {
      const of = sql`naru.crosswalk where entity = ${entity.name} and contributor = ${as}`
      const [counts] = await scope.tx.rows(sql`select count(*) as n, count(golden_key) as matched from ${of}`)
      const all = numberOf(counts?.['n'])
      const matched = numberOf(counts?.['matched'])
      if (all === 0) continue
      const from = { entity: entity.name, contributor: as }
      const alike = sql`${of} and golden_key is not null order by score, source_key`
      const alone = sql`${of} and golden_key is null order by score desc nulls last, source_key`
      found.push({
        ...from,
        by: match === null ? 'key' : 'likeness',
        matched,
        unmatched: all - matched,
        scores: match === null ? null : await readScores(scope, of),
        weakest: match === null ? { shown: [], of: 0 } : await readRows(scope, from, alike, matched),
        without: await readRows(scope, from, alone, all - matched),
      })
    }
  }
  return found
}

async function readScores({ tx }: ReportScope, of: Sql): Promise<Histogram> {
  const rows = await tx.rows(sql`
    select cast(least(${SCORE_STEPS - 1}, floor(score * ${SCORE_STEPS})) as integer) as step, count(*) as n
    from ${of} and golden_key is not null group by step`)
  const counts = Array.from({ length: SCORE_STEPS }, () => 0)
  for (const row of rows) counts[numberOf(row['step'])] = numberOf(row['n'])
  return { unit: 'value', from: 0, width: 1 / SCORE_STEPS, counts }
}

async function readRows(
  { tx, personal }: ReportScope,
  from: { readonly entity: string; readonly contributor: string },
  query: Sql,
  of: number,
): Promise<MatchedContributor['without']> {
  if (of === 0) return { shown: [], of: 0 }
  const rows = await tx.rows(sql`select source_key, golden_key, score, rule from ${query} limit ${LIST_ROWS}`)
  return sampleOf(rows, of, (row): MatchedRow => ({
    sourceKey: shownKey(textOf(row['source_key']), personal.inSourceKey(from.entity, from.contributor)) ?? '',
    goldenKey: shownKey(textOf(row['golden_key']), personal.inGoldenKey(from.entity)),
    score: numberOrNull(row['score']),
    rule: String(row['rule']),
  }))
}

/** Cells in which contributors disagree now, by column; those that nobody won come first. */
export async function readConflicts(scope: ReportScope): Promise<readonly ConflictingColumn[]> {
  const { tx, project } = scope
  const winners = await tx.rows(sql`
    select entity, "column", winner, count(*) as n from naru.conflict group by 1, 2, 3
    order by entity, "column", n desc, winner nulls first`)
  const samples = await tx.rows(sql`
    select entity, "column", key, winner, rule, "values" from (
      select *, row_number() over (partition by entity, "column" order by winner is not null, key) as nth
      from naru.conflict) c
    where nth <= ${SAMPLE_ROWS} order by entity, "column", winner is not null, key`)
  const groups = groupRows(samples, ['entity', 'column'])
  return [...groupRows(winners, ['entity', 'column'])]
    .filter(([, [first]]) => project.entities.some(entity => entity.name === first?.['entity']))
    .map(([key, rows]) => conflictingColumn(scope, rows, groups.get(key) ?? []))
}

function conflictingColumn(
  { personal }: ReportScope,
  winners: readonly Row[],
  samples: readonly Row[],
): ConflictingColumn {
  const entity = String(winners[0]?.['entity'])
  const column = String(winners[0]?.['column'])
  const cells = winners.reduce((sum, row) => sum + numberOf(row['n']), 0)
  const hidden = personal.inEntity(entity).has(column)
  return {
    entity,
    column,
    cells,
    winners: winners.map(row => ({ winner: textOf(row['winner']), cells: numberOf(row['n']) })),
    samples: sampleOf(samples, cells, row => ({
      key: shownKey(textOf(row['key']), personal.inGoldenKey(entity)) ?? '',
      winner: textOf(row['winner']),
      rule: String(row['rule']),
      values: valuesOf(row).map(({ contributor, value }) => ({
        contributor,
        value: hidden && value !== null ? MASKED : shownText(value),
      })),
    })),
  }
}

function valuesOf(row: Row): readonly { readonly contributor: string; readonly value: string | null }[] {
  return JSON.parse(textOf(row['values']) ?? '[]') as readonly { contributor: string; value: string | null }[]
}
