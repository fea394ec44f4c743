import { sql } from '../core/sql.ts'
import { typeText, type ColumnDef } from '../core/types.ts'
import type { SourceTableDef } from '../config/model.ts'
import { ofTable } from '../run/tables.ts'
import type { Row } from '../services/engine/contract.ts'
import type { ColumnFacts, Drift, Histogram, TableProfile } from './model.ts'
import { numberOf, numberOrNull, shownText } from './sample.ts'
import type { ReportScope } from './scope.ts'

/** What profiling last found about a table, up to this run. */
export async function readProfile(scope: ReportScope, table: SourceTableDef): Promise<TableProfile | null> {
  const { tx, run, personal } = scope
  const rows = await tx.rows(sql`
    select * from naru.profile where ${ofTable(table)}
      and run = (select max(run) from naru.profile where ${ofTable(table)} and run <= ${run})`)
  const [first] = rows
  if (first === undefined) return null
  const drifts = await tx.rows(sql`
    select "column", previous_run, null_share_change, mean_change_in_stddev from naru.profile_drift
    where ${ofTable(table)} and run = ${first['run'] as bigint}`)
  const hidden = personal.inStaged(table.source, table.name)
  const columns = table.columns.flatMap(column => {
    const row = rows.find(it => it['column'] === column.name)
    if (row === undefined) return []
    const drift = drifts.find(it => it['column'] === column.name)
    return [columnOf(column, row, { personal: hidden.has(column.name), drift: driftOf(drift) })]
  })
  return {
    run: numberOf(first['run']),
    inThisRun: first['run'] === run,
    scope: String(first['scope']),
    rows: numberOf(first['rows']),
    sampleRows: numberOrNull(first['sample_rows']),
    columns,
  }
}

function columnOf(
  column: ColumnDef,
  row: Row,
  { personal, drift }: { readonly personal: boolean; readonly drift: Drift | null },
): ColumnFacts {
  const unless = <T>(value: T): T | null => (personal ? null : value)
  return {
    column: column.name,
    type: shownText(typeText(column.type)) ?? '',
    personal,
    rows: numberOf(row['rows']),
    nulls: numberOf(row['nulls']),
    distinctAbout: numberOf(row['distinct_about']),
    min: unless(shownText(row['min'])),
    max: unless(shownText(row['max'])),
    mean: unless(numberOrNull(row['mean'])),
    stddev: unless(numberOrNull(row['stddev'])),
    lengthMin: numberOrNull(row['length_min']),
    lengthMax: numberOrNull(row['length_max']),
    castable: numberOrNull(row['castable']),
    top: unless(topOf(row['top'])),
    histogram: unless(histogramOf(row['histogram'])),
    drift,
  }
}

function topOf(cell: Row[string] | undefined): ColumnFacts['top'] {
  if (typeof cell !== 'string') return null
  const values = JSON.parse(cell) as readonly { readonly value: string; readonly count: number }[]
  return values.map(({ value, count }) => ({ value: shownText(value) ?? '', count }))
}

function histogramOf(cell: Row[string] | undefined): Histogram | null {
  return typeof cell === 'string' ? (JSON.parse(cell) as Histogram) : null
}

function driftOf(row: Row | undefined): Drift | null {
  if (row === undefined) return null
  return {
    previousRun: numberOf(row['previous_run']),
    nullShareChange: numberOrNull(row['null_share_change']),
    meanChangeInStddev: numberOrNull(row['mean_change_in_stddev']),
  }
}
