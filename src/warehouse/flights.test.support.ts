import type { DimensionDef, ExportDef, FactDef, SummaryDef } from '../config/model.ts'
import type { Expr } from '../core/expr.ts'
import type { ColumnType } from '../core/types.ts'
import type { StageContext } from '../run/context.ts'
import { loadDimension } from './dimension.ts'
import { loadFact, type FactChanges } from './fact.ts'
import { changeExport, column, dayText, int, text, timestamp, type ExportedRow } from './star.test.support.ts'
import { refreshSummary, type SummaryChanges } from './summary.ts'
import type { HistoryDimensionDef } from './tables.ts'

export const airportExport: ExportDef = {
  name: 'airport_x',
  entity: 'airport',
  columns: [column('code'), column('grade'), column('city'), column('since', timestamp)],
  key: ['code'],
  masks: [],
  where: null,
}

export const airport: HistoryDimensionDef = {
  kind: 'history',
  name: 'airport',
  export: 'airport_x',
  key: ['code'],
  columns: airportExport.columns,
  type2: ['grade'],
  validFrom: 'since',
  onDelete: 'close',
}

export const day: DimensionDef = { kind: 'calendar', name: 'date' }

const float: ColumnType = { kind: 'float', bits: 64 }

export const flightExport: ExportDef = {
  name: 'flight_x',
  entity: 'flight',
  columns: [
    column('id', int),
    column('at', timestamp),
    column('origin'),
    column('destination'),
    column('delay', int),
    column('fare', { kind: 'decimal', precision: 9, scale: 2 }),
    column('load', float),
  ],
  key: ['id'],
  masks: [],
  where: null,
}

export const flight: FactDef = {
  name: 'flight',
  export: 'flight_x',
  grain: ['id'],
  at: 'at',
  dims: [
    { role: 'origin', dimension: 'airport', by: ['origin'] },
    { role: 'destination', dimension: 'airport', by: ['destination'] },
    { role: 'date', dimension: 'date', by: ['at'] },
  ],
  columns: flightExport.columns.filter(({ name }) => name !== 'origin' && name !== 'destination'),
}

function of(
  role: string | null,
  name: string,
  type: ColumnType,
): { readonly role: string | null; readonly expr: Expr } {
  return { role, expr: { kind: 'column', name, type } }
}

export const delays: SummaryDef = {
  name: 'delays',
  fact: 'flight',
  by: [
    { column: 'month', expr: of('date', 'month', text) },
    { column: 'city', expr: of('origin', 'city', text) },
    { column: 'grade', expr: of('origin', 'grade', text) },
  ],
  get: [
    { column: 'flights', aggregate: 'count', of: null },
    { column: 'delay_sum', aggregate: 'sum', of: of(null, 'delay', int) },
    { column: 'delay_avg', aggregate: 'avg', of: of(null, 'delay', int) },
    { column: 'delay_max', aggregate: 'max', of: of(null, 'delay', int) },
    { column: 'fare_sum', aggregate: 'sum', of: of(null, 'fare', { kind: 'decimal', precision: 9, scale: 2 }) },
    { column: 'load_sum', aggregate: 'sum', of: of(null, 'load', float) },
    { column: 'destinations', aggregate: 'countDistinct', of: of('destination', 'code', text) },
  ],
}

export function airportRow(code: string, grade: string, city: string, since: number): ExportedRow {
  return { key: [code], values: [grade, city, dayText(since)] }
}

export function flightRow(
  id: number,
  atDay: number | null,
  origin: string | null,
  destination: string | null,
  delay: number | null = 10,
): ExportedRow {
  const at = atDay === null ? null : dayText(atDay)
  return { key: [id], values: [at, origin, destination, delay, `${id}.25`, delay === null ? null : delay / 7] }
}

export const gone = (key: string | number): ExportedRow => ({ key: [key], values: null })

/** What one run does to the star: the dimension first, then the fact, then the summary. */
export async function loadStar(
  ctx: StageContext,
  airports: readonly ExportedRow[],
  flights: readonly ExportedRow[],
): Promise<{ readonly fact: FactChanges; readonly summary: SummaryChanges }> {
  const airportChanges = await changeExport(ctx, airportExport, airports)
  const dimension = await loadDimension(ctx, { definition: airport, exportDef: airportExport, changes: airportChanges })
  const flightChanges = await changeExport(ctx, flightExport, flights)
  const fact = await loadFact(ctx, {
    definition: flight,
    exportDef: flightExport,
    changes: flightChanges,
    dimensions: [dimension],
  })
  const parts = { definition: delays, fact: flight, dimensions: [airport, day] }
  return { fact, summary: await refreshSummary(ctx, { ...parts, changes: fact }) }
}
