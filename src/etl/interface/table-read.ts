import type { SourceTableDef } from '../../config/model.ts'
import type { ReadPlan } from '../../run/technique.ts'
import type { Unit } from '../../run/units.ts'
import type { ColumnDef } from '../../core/types.ts'
import type {
  ControlTotals,
  KeyBound,
  PlaceRange,
  ReadsTables,
  RowFilter,
  Snapshot,
  SourceLimits,
  TableNow,
  TableShape,
} from '../../services/adapter/contract.ts'
import type { InterfaceContext } from './context.ts'
import type { TableReading } from './drift.ts'
import type { Gate } from './gate.ts'

/** The source as the tables of a run share it. */
export interface TableSource {
  readonly snapshot: Snapshot
  /** Our clock when the view was taken. */
  readonly oursMicros: bigint
  readonly can: ReadsTables['can']
  readonly limits: Pick<SourceLimits, 'chunkRows' | 'connections'>
  readonly gate: Gate
}

/** One table on its way. */
export interface TableRead extends TableSource {
  readonly ctx: InterfaceContext
  readonly config: SourceTableDef
  readonly reading: TableReading
  readonly now: TableNow
  readonly plan: ReadPlan
}

/** A unit to read: its record, and a physical range for tables that are cut so. */
export interface UnitPlan extends Pick<Unit, 'unit' | 'kind' | 'after' | 'upTo'> {
  readonly place?: PlaceRange
}

/** Name of a staged column in the source. */
function remoteOf(reading: TableReading, column: string): string {
  return reading.shape.columns[reading.staged.findIndex(it => it.name === column)]?.name ?? column
}

/** The rows of a unit, and of the whole load when it is absent. */
export function filterOf(
  { reading, plan }: Pick<TableRead, 'reading' | 'plan'>,
  unit?: {
    readonly kind: Unit['kind']
    readonly after: KeyBound | null
    readonly upTo: KeyBound | null
    readonly place?: PlaceRange
  },
): RowFilter {
  const since = plan.since === null ? undefined : { ...plan.since, column: remoteOf(reading, plan.since.column) }
  const range = plan.range === null ? undefined : { ...plan.range, column: remoteOf(reading, plan.range.column) }
  const changed = plan.changed?.map(mark => ({ ...mark, column: remoteOf(reading, mark.column) }))
  if (unit === undefined || unit.kind === 'delta') return { since, changed, range, where: plan.where }
  if (unit.kind === 'slice') {
    const [from, to] = [unit.after?.[0] ?? '', unit.upTo?.[0] ?? '']
    return { range: { column: range?.column ?? '', from, to } }
  }
  if (unit.kind === 'place') return { place: unit.place }
  return { after: unit.after ?? undefined, upTo: unit.upTo ?? undefined, since, range }
}

/** The columns whose figures both ends can give: those with the same type at both. */
export function comparable(reading: TableReading): {
  readonly shape: TableShape
  readonly staged: readonly ColumnDef[]
} {
  const pairs = reading.staged
    .map((column, i) => ({ column, remote: reading.shape.columns[i] as ColumnDef }))
    .filter(({ column }) => !reading.converted.has(column.name))
  return {
    shape: { ...reading.shape, columns: pairs.map(pair => pair.remote) },
    staged: pairs.map(pair => pair.column),
  }
}

/** Figures under the names that staging knows their columns by. */
export function withStagedNames(totals: ControlTotals, staged: readonly ColumnDef[]): ControlTotals {
  return {
    ...totals,
    columns: totals.columns.map((column, i) => ({ ...column, column: staged[i]?.name ?? column.column })),
  }
}

export function warn(
  ctx: Pick<InterfaceContext, 'emit'>,
  table: SourceTableDef,
  text: string,
  code = 'SOURCE_READ_AGAIN',
): void {
  ctx.emit({ kind: 'note', level: 'warn', text: `${table.source}.${table.name}: ${text}`, code })
}
