import { ident, sql, type Ident } from '../core/sql.ts'
import type { ExportDef, MaskDef, Project } from '../config/model.ts'
import { stagedName, stagingNames } from '../run/tables.ts'
import type { Row, Transaction } from '../services/engine/contract.ts'
import type { ExportFacts, FactReconciliation, QualityReport, TableRows, WarehouseFacts } from './model.ts'
import { groupKey, groupRows, numberOf, SAMPLE_ROWS, sampleOf, shownText, textOf } from './sample.ts'
import type { ReportScope } from './scope.ts'

/** How many rows every table has now. Counts only: no value of a data table is read for the report. */
export async function readJourney({ tx, project }: ReportScope): Promise<QualityReport['journey']> {
  const staged = project.sources.flatMap(source => source.tables)
  return [
    {
      stage: 'staged',
      tables: await counts(
        tx,
        staged.map(it => [stagedName(it), stagingNames(it).image]),
      ),
    },
    {
      stage: 'integrated',
      tables: await counts(
        tx,
        project.entities.map(it => [it.name, ident('ods', it.name)]),
      ),
    },
    {
      stage: 'exported',
      tables: await counts(
        tx,
        project.exports.map(it => [it.name, ident('export', it.name)]),
      ),
    },
    { stage: 'warehouse', tables: await counts(tx, warehouseTables(project)) },
  ]
}

type Named = readonly [string, Ident]

function warehouseTables(project: Project): readonly Named[] {
  return [
    ...project.dimensions.map((it): Named => [`dim_${it.name}`, ident('dw', `dim_${it.name}`)]),
    ...project.facts.map((it): Named => [`fact_${it.name}`, ident('dw', `fact_${it.name}`)]),
    ...project.summaries.map((it): Named => [it.name, ident('mart', it.name)]),
  ]
}

async function counts(tx: Transaction, tables: readonly Named[]): Promise<readonly TableRows[]> {
  const found: TableRows[] = []
  for (const [table, name] of tables) {
    const rows = await countOf(tx, name)
    if (rows !== null) found.push({ table, rows })
  }
  return found
}

async function countOf(tx: Transaction, table: Ident): Promise<number | null> {
  if (!(await tx.exists(table))) return null
  const [row] = await tx.rows(sql`select count(*) as n from ${table}`)
  return numberOf(row?.['n'])
}

/** What leaves, and what of it is masked. */
export async function readExports({ tx, project, personal }: ReportScope): Promise<readonly ExportFacts[]> {
  const found: ExportFacts[] = []
  for (const it of project.exports) {
    found.push({
      name: it.name,
      entity: it.entity,
      rows: await countOf(tx, ident('export', it.name)),
      rowsOfEntity: await countOf(tx, ident('ods', it.entity)),
      filtered: it.where !== null,
      columns: it.columns.length,
      masks: masksOf(it, personal.inEntity(it.entity)),
    })
  }
  return found
}

function masksOf(definition: ExportDef, personal: ReadonlySet<string>): ExportFacts['masks'] {
  return definition.masks.map(({ column, mask }) => ({ column, personal: personal.has(column), mask: maskText(mask) }))
}

function maskText(mask: MaskDef): string {
  switch (mask.kind) {
    case 'drop':
      return 'left out'
    case 'hash':
      return 'replaced by a keyed hash'
    case 'redact':
      return `replaced by "${mask.text}"`
    case 'keepLast':
      return `all but the last ${mask.count} characters hidden`
    case 'bucket':
      return `rounded down to a multiple of ${mask.width}`
  }
}

/** How the facts agree with their exports, and what this run changed after the fact. */
export async function readWarehouse(scope: ReportScope): Promise<WarehouseFacts> {
  const facts: FactReconciliation[] = []
  for (const { name } of scope.project.facts) {
    const fact = await readReconciliation(scope, name)
    if (fact !== null) facts.push(fact)
  }
  return { facts, restatements: await readRestatements(scope) }
}

async function readReconciliation({ tx, run }: ReportScope, fact: string): Promise<FactReconciliation | null> {
  const rows = await tx.rows(sql`
    select * from naru.reconciliation where fact = ${fact}
      and run = (select max(run) from naru.reconciliation where fact = ${fact} and run <= ${run})
    order by measure <> 'rows', split_part(measure, '(', 2), measure`)
  const [first] = rows
  if (first === undefined) return null
  return {
    fact,
    run: numberOf(first['run']),
    inThisRun: first['run'] === run,
    measures: rows.map(row => ({
      measure: String(row['measure']),
      exported: shownText(row['export_value']),
      inFact: shownText(row['fact_value']),
      equal: row['equal'] === true,
    })),
  }
}

async function readRestatements({ tx, run }: ReportScope): Promise<WarehouseFacts['restatements']> {
  const columns = ['table', 'what']
  const counted = await tx.rows(sql`
    select "table", what, count(*) as n from naru.restatement where run = ${run} group by 1, 2 order by "table", what`)
  const samples = await tx.rows(sql`
    select "table", what, key, "before", "after" from (
      select *, row_number() over (partition by "table", what order by key, surrogate) as nth
      from naru.restatement where run = ${run}) r
    where nth <= ${SAMPLE_ROWS} order by "table", what, key, surrogate`)
  const groups = groupRows(samples, columns)
  return counted.map(count => ({
    table: String(count['table']),
    what: String(count['what']),
    rows: sampleOf(groups.get(groupKey(count, columns)) ?? [], numberOf(count['n']), row => ({
      key: shownText(row['key']) ?? '',
      changes: differences(row),
    })),
  }))
}

/** The columns in which the two versions differ; none when the row was taken out. */
function differences(row: Row): readonly { column: string; before: string | null; after: string | null }[] {
  const [before, after] = [objectOf(row['before']), objectOf(row['after'])]
  if (before === null || after === null) return []
  return Object.keys(before)
    .map(column => ({ column, before: shownText(before[column]), after: shownText(after[column]) }))
    .filter(it => textOf(before[it.column]) !== textOf(after[it.column]))
}

function objectOf(cell: Row[string] | undefined): Readonly<Record<string, Row[string]>> | null {
  return typeof cell === 'string' ? (JSON.parse(cell) as Readonly<Record<string, Row[string]>>) : null
}
