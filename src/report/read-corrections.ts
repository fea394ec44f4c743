import { sql } from '../core/sql.ts'
import type { Row } from '../services/engine/contract.ts'
import type { CorrectedColumn } from './model.ts'
import { groupKey, groupRows, MASKED, numberOf, SAMPLE_ROWS, sampleOf, shownKey, shownText, textOf } from './sample.ts'
import { contributionOf, type ReportScope } from './scope.ts'

const columns = ['entity', 'contributor', 'column', 'repair']

/** Repaired cells that stand now, by column, with the changes that were made most often. */
export async function readCorrections(scope: ReportScope): Promise<readonly CorrectedColumn[]> {
  const { tx, project, run } = scope
  const counts = await tx.rows(sql`
    select entity, contributor, "column", repair, count(*) as n, count(*) filter (where run = ${run}) as fresh
    from naru.correction group by 1, 2, 3, 4 order by n desc, entity, contributor, "column", repair`)
  const changes = await tx.rows(sql`
    select * from (
      select *, count(*) over (partition by entity, contributor, "column", repair) as changes, row_number() over (
        partition by entity, contributor, "column", repair order by n desc, "before", "after") as nth
      from (
        select entity, contributor, "column", repair, "before", "after", count(*) as n, min(key) as key
        from naru.correction group by 1, 2, 3, 4, 5, 6) c) c
    where nth <= ${SAMPLE_ROWS} order by n desc, "before", "after"`)
  const groups = groupRows(changes, columns)
  return counts
    .filter(row => contributionOf(project, String(row['entity']), String(row['contributor'])) !== undefined)
    .map(row => correctedColumn(scope, row, groups.get(groupKey(row, columns)) ?? []))
}

function correctedColumn({ personal }: ReportScope, count: Row, changes: readonly Row[]): CorrectedColumn {
  const entity = String(count['entity'])
  const contributor = String(count['contributor'])
  const column = String(count['column'])
  const hidden = personal.inEntity(entity).has(column)
  const shown = (text: string | null): string | null => (hidden && text !== null ? MASKED : shownText(text))
  return {
    entity,
    contributor,
    column,
    repair: String(count['repair']),
    newInThisRun: numberOf(count['fresh']),
    cells: numberOf(count['n']),
    changes: sampleOf(changes, numberOf(changes[0]?.['changes']), row => ({
      before: shown(textOf(row['before'])),
      after: shown(textOf(row['after'])),
      cells: numberOf(row['n']),
      key: shownKey(textOf(row['key']), personal.inSourceKey(entity, contributor)) ?? '',
    })),
  }
}
