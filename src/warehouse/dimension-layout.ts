import { ident, type Ident } from '../core/sql.ts'
import type { ExportDef } from '../config/model.ts'
import type { StageContext } from '../run/context.ts'
import { dimensionTable, exportedType, surrogateOf, type HistoryDimensionDef, type TableColumn } from './tables.ts'

/** The columns of a dimension by their part in its history. */
export interface DimensionLayout {
  readonly definition: HistoryDimensionDef
  readonly exportDef: ExportDef
  readonly table: Ident
  /** The export that it is made from. */
  readonly source: Ident
  readonly surrogate: string
  readonly key: readonly string[]
  /** A change opens a version. */
  readonly type2: readonly string[]
  /** A change overwrites every version. */
  readonly type1: readonly string[]
  /** The `validFrom` column, when it is an attribute too: each version keeps the value that it came with. */
  readonly carried: readonly string[]
  readonly columns: readonly TableColumn[]
  /** The time of the run, microseconds since 1970-01-01 UTC. */
  readonly asOfMicros: bigint
  readonly temp: (what: string) => Ident
}

/**
 * When a version became true (the first one is valid from ever), and when its row said so: a key that came back after a
 * delete states a time at which it was missing.
 */
export const timeColumns = ['_effective', '_stated'] as const

/** Columns that every dimension has. */
const rangeColumns: readonly TableColumn[] = [
  { name: 'valid_from', type: 'timestamp' },
  { name: 'valid_to', type: 'timestamp' },
  { name: 'is_current', type: 'boolean' },
  { name: 'is_deleted', type: 'boolean' },
  ...timeColumns.map(name => ({ name, type: 'timestamp' })),
  { name: '_run', type: 'bigint' },
]

/** Sorts the columns of a dimension into key, type 1 and type 2. */
export function layOutDimension(
  ctx: StageContext,
  definition: HistoryDimensionDef,
  exportDef: ExportDef,
): DimensionLayout {
  const attributes = definition.columns.map(column => column.name).filter(name => !definition.key.includes(name))
  const carried = attributes.filter(name => name === definition.validFrom && !definition.type2.includes(name))
  const type2 = attributes.filter(name => definition.type2.includes(name))
  const type1 = attributes.filter(name => !type2.includes(name) && !carried.includes(name))
  const surrogate = surrogateOf(definition)
  const data = [...definition.key, ...attributes].map(name => ({
    name,
    type: ctx.tx.dialect.type(exportedType(exportDef, name)),
  }))
  return {
    definition,
    exportDef,
    table: dimensionTable(definition.name),
    source: ident('export', exportDef.name),
    surrogate,
    key: definition.key,
    type2,
    type1,
    carried,
    columns: [{ name: surrogate, type: 'bigint' }, ...data, ...rangeColumns],
    asOfMicros: ctx.run.asOfMicros,
    temp: what => ident('temp', `dim_${definition.name}_${what}`),
  }
}

/** Attributes, without the key. */
export function attributesOf(layout: DimensionLayout): readonly string[] {
  return [...layout.type2, ...layout.type1, ...layout.carried]
}

/** What a reader of the dimension sees, without the surrogate key. */
export function visibleColumns(layout: DimensionLayout): readonly string[] {
  return [...layout.key, ...attributesOf(layout), 'valid_from', 'valid_to', 'is_current', 'is_deleted']
}
