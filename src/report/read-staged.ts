import { daysText, microsText } from '../core/cell-text.ts'
import { sql } from '../core/sql.ts'
import type { SourceTableDef } from '../config/model.ts'
import { ofTable } from '../run/tables.ts'
import { readStopped } from '../run/stopped.ts'
import type { Row } from '../services/engine/contract.ts'
import type { ControlTotal, FileFacts, LoadFacts, RejectReason, StagedTable } from './model.ts'
import { readProfile } from './read-profile.ts'
import {
  groupKey,
  groupRows,
  LIST_ROWS,
  MASKED,
  numberOf,
  numberOrNull,
  SAMPLE_ROWS,
  sampleOf,
  shownText,
  textOf,
  timeText,
} from './sample.ts'
import type { ReportScope } from './scope.ts'

/** Every table of the project, in the order of the config. */
export async function readStaged(scope: ReportScope): Promise<readonly StagedTable[]> {
  const tables: StagedTable[] = []
  const stopped = await readStopped(scope.tx, scope.run)
  for (const table of scope.project.sources.flatMap(source => source.tables)) {
    const load = await readLoad(scope, table)
    const stop = stopped.find(it => it.table === `${table.source}.${table.name}`)
    tables.push({
      source: table.source,
      table: table.name,
      load,
      controls: load === null ? [] : await readControls(scope, table, load.load),
      rejects: load === null ? [] : await readRejects(scope, table, load.load),
      files: table.change.technique === 'files' ? await readFiles(scope, table) : null,
      profile: await readProfile(scope, table),
      stopped: stop === undefined ? null : { run: Number(stop.run), code: stop.code, text: shownText(stop.text) ?? '' },
    })
  }
  return tables
}

/** The load of this run, also one that was refused; otherwise the last one that was published. */
async function readLoad({ tx, run }: ReportScope, table: SourceTableDef): Promise<LoadFacts | null> {
  const here = sql`(run = ${run} or coalesce(published_run = ${run}, false))`
  const [row] = await tx.rows(sql`
    select *, ${here} as here from naru.load
    where ${ofTable(table)} and (${here} or (state = 'published' and published_run <= ${run}))
    order by here desc, load desc limit 1`)
  if (row === undefined) return null
  return {
    load: numberOf(row['load']),
    run: numberOf(row['published_run'] ?? row['run']),
    inThisRun: row['here'] === true,
    state: String(row['state']),
    scope: String(row['scope']),
    technique: String(row['technique']),
    rowsRead: numberOf(row['rows_read']),
    rowsRejected: numberOf(row['rows_rejected']),
  }
}

async function readControls(
  { tx, personal }: ReportScope,
  table: SourceTableDef,
  load: number,
): Promise<readonly ControlTotal[]> {
  const rows = await tx.rows(sql`
    select "column", measure, source_value, staged_value, equal from naru.control_total where load = ${load} and unit is null`)
  const hidden = personal.inStaged(table.source, table.name)
  const order = ['', 'keys', ...table.columns.map(column => column.name)]
  return rows
    .map(row => controlOf(row, table, hidden))
    .filter(control => order.includes(control.column))
    .sort((a, b) => order.indexOf(a.column) - order.indexOf(b.column) || measureOrder(a) - measureOrder(b))
}

function measureOrder({ measure }: ControlTotal): number {
  return ['rows', 'hash', 'count', 'sum', 'min', 'max'].indexOf(measure)
}

function controlOf(row: Row, table: SourceTableDef, hidden: ReadonlySet<string>): ControlTotal {
  const [column, measure] = [String(row['column']), String(row['measure'])]
  // Counts tell nothing of a value; a smallest, a largest and, of few rows, a sum do.
  const isHidden = hidden.has(column) && measure !== 'count'
  const figure = (name: string): string | null => {
    const text = textOf(row[name])
    return text === null ? null : isHidden ? MASKED : shownText(readable(table, { column, measure, text }))
  }
  return {
    column,
    measure,
    source: figure('source_value'),
    staged: figure('staged_value'),
    equal: row['equal'] as boolean | null,
  }
}

/** The bounds of dates and times are compared as numbers, and shown as what they are. */
function readable(table: SourceTableDef, figure: { column: string; measure: string; text: string }): string {
  const type = table.columns.find(column => column.name === figure.column)?.type
  if (figure.measure !== 'min' && figure.measure !== 'max') return figure.text
  if (!/^-?\d{1,18}$/.test(figure.text)) return figure.text
  if (type?.kind === 'date') return daysText(Number(figure.text))
  if (type?.kind === 'timestamp') return microsText(BigInt(figure.text), type.zoned)
  return figure.text
}

async function readRejects(
  { tx, personal }: ReportScope,
  table: SourceTableDef,
  load: number,
): Promise<readonly RejectReason[]> {
  const counts = await tx.rows(sql`
    select reason, count(*) as n from naru.reject where load = ${load} group by reason order by n desc, reason`)
  if (counts.length === 0) return []
  const samples = await tx.rows(sql`
    select reason, file, line, row_key, detail from (
      select *, row_number() over (partition by reason order by file, line, unit, row_key) as nth
      from naru.reject where load = ${load}) r
    where nth <= ${SAMPLE_ROWS} order by reason, file, line, unit, row_key`)
  const groups = groupRows(samples, ['reason'])
  // Any column may stand in a row that could not be read.
  const hidden = personal.inStaged(table.source, table.name).size > 0
  const told = (row: Row, name: string): string | null =>
    hidden && textOf(row[name]) !== null && row['reason'] !== 'KEY_REPEATED' ? MASKED : shownText(row[name])
  return counts.map(count => ({
    reason: String(count['reason']),
    rows: sampleOf(groups.get(groupKey(count, ['reason'])) ?? [], numberOf(count['n']), row => ({
      file: shownText(row['file']),
      line: numberOrNull(row['line']),
      key: told(row, 'row_key'),
      detail: told(row, 'detail'),
    })),
  }))
}

async function readFiles({ tx, run }: ReportScope, table: SourceTableDef): Promise<FileFacts> {
  const upTo = sql`(select as_of_micros from naru.run where run = ${run})`
  const files = sql`naru.file where ${ofTable(table)} and taken_micros <= ${upTo}`
  const counts = await tx.rows(sql`select state, count(*) as n from ${files} group by state order by state`)
  const rows = await tx.rows(sql`
    select name, state, reason, bytes, taken_micros, taken_micros = ${upTo} as here from ${files}
    order by state = 'refused' desc, taken_micros desc nulls last, name limit ${LIST_ROWS}`)
  const all = counts.reduce((sum, row) => sum + numberOf(row['n']), 0)
  return {
    counts: counts.map(row => ({ state: String(row['state']), files: numberOf(row['n']) })),
    files: sampleOf(rows, all, row => ({
      name: shownText(row['name']) ?? '',
      state: String(row['state']),
      reason: shownText(row['reason']),
      bytes: numberOrNull(row['bytes']),
      taken: timeText(row['taken_micros']),
      inThisRun: row['here'] === true,
    })),
  }
}
