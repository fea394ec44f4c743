import {
  columnDefs,
  type Columns,
  type GroupOf,
  type Holds,
  type Key,
  type NameOf,
  type NamesOfGroup,
  type Trait,
} from './column.ts'
import { calendarColumns, type CalendarColumns } from './calendar.ts'
import type { Exported } from './export.ts'
import { about, aboutOf, checkedColumns, checkedName, checkedOptions, deepFreeze, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { DimensionDef } from './model.ts'
import type { columnsOf, keyOf } from './source.ts'
import type { TakenByColumn } from './value.ts'

declare const linked: unique symbol
export type { linked }

/** Columns of a fact that point to a dimension. */
export interface Link<F extends readonly string[], D> {
  readonly columns: F
  readonly [linked]: D
}

/** A dimension of the warehouse. */
export interface Dimension<N extends string, C extends Columns, K extends Key> extends Handle {
  readonly [columnsOf]: C
  readonly [keyOf]: K
  readonly dimensionName: N
  /** The foreign key in the fact, column by column in the order of the dimension's key. */
  by<const F extends readonly [string, ...string[]]>(...columns: F): Link<F, Dimension<N, C, K>>
}

/** The days of the facts. */
export interface Calendar<N extends string> extends Handle {
  readonly [columnsOf]: CalendarColumns
  readonly calendarName: N
  /** The date (or timestamp, of which the date counts) in the fact. */
  by<const F extends string>(column: F): Link<readonly [F], Calendar<N>>
}

type TimeNames<C extends Columns> = NamesOfGroup<
  C,
  'date' | 'timestamp' | 'timestamptz',
  'a date or time column: this export has none'
>

export interface DimensionOptions<C extends Columns> {
  /** A change here opens a new version; a change in any other column overwrites it in every version. */
  readonly type2?: readonly NameOf<C>[]
  /** The column that says from when a version holds; the time of the run unless given. */
  readonly validFrom?: TimeNames<C>
  /** What becomes of a row that is deleted in the source: its last version is closed (default), flagged, or kept. */
  readonly onDelete?: 'close' | 'flag' | 'keep'
}

/** A dimension with history, from an export. */
export function dimension<const N extends string, C extends Columns, K extends Key>(
  name: N,
  from: Exported<string, C, K>,
  options: DimensionOptions<C> = {},
): Dimension<N, C, K> {
  checkedName('dimension', name)
  const where = `dimension ${name}`
  checkedOptions(where, options, ['type2', 'validFrom', 'onDelete'])
  const source = exportOf(where, from)
  const { type2 = [], validFrom = null, onDelete = 'close' } = options
  const known = source.columns.map(column => column.name)
  checkedColumns(`export ${source.name}`, [...type2, ...(validFrom === null ? [] : [validFrom])], known)
  const key = type2.find(column => source.key.includes(column))
  if (key !== undefined) throw mistake(`${where}: the key ${key} tells its members apart and cannot have versions`)
  const def: DimensionDef = {
    kind: 'history',
    name,
    export: source.name,
    key: source.key,
    columns: source.columns,
    type2,
    validFrom,
    onDelete,
  }
  return dimensionOf(def, [from], 'dimensionName')
}

/** A dimension of days, generated for the dates of the facts. */
export function calendar<const N extends string>(name: N): Calendar<N> {
  checkedName('dimension', name)
  return dimensionOf({ kind: 'calendar', name }, [], 'calendarName')
}

const linkedTo = Symbol.for('naru.link')

/** The dimension that a link points to; `null` when `value` is no link. */
export function dimensionOfLink(value: unknown): (Handle & { readonly columns: readonly string[] }) | null {
  if (typeof value !== 'object' || value === null || !(linkedTo in value)) return null
  return { ...(value[linkedTo] as Handle), columns: (value as unknown as { columns: readonly string[] }).columns }
}

function dimensionOf<D>(def: DimensionDef, uses: readonly Handle[], nameProperty: string): D {
  const handle: Handle = { [about]: { kind: 'dimension', def: deepFreeze(def), uses } }
  const by = (...columns: string[]): object => Object.freeze({ columns, [linkedTo]: handle })
  return Object.freeze({ ...handle, [nameProperty]: def.name, by }) as D
}

/** The definition of the export that feeds a part of the warehouse. */
export function exportOf(where: string, handle: Handle) {
  const found = aboutOf(handle)
  if (found?.kind !== 'export') throw mistake(`${where} is made from an export: ods.export(name, entity)`)
  return found.def
}

/** The columns of a dimension, also of a calendar. */
export function columnsOfDimension(def: DimensionDef) {
  return def.kind === 'calendar' ? columnDefs(calendarColumns) : def.columns
}

interface AnyDimension {
  readonly [columnsOf]: Columns
  readonly [keyOf]: Key
  readonly dimensionName: string
}

/** What stands under a role. */
export type AnyLink = Link<readonly string[], { readonly [columnsOf]: Columns }>

/** `unknown` when the link fits the export's columns; otherwise a sentence that says why not. */
export type LinkCheck<C extends Columns, L extends AnyLink> = L[typeof linked] extends AnyDimension
  ? L['columns']['length'] extends L[typeof linked][typeof keyOf]['length']
    ? Fine<KeysCheck<C, L['columns'], L[typeof linked], L[typeof linked][typeof keyOf]>>
    : `the key of dimension '${L[typeof linked]['dimensionName']}' has ${L[typeof linked][typeof keyOf]['length']} columns; ${L['columns']['length'] & number} are given`
  : Fine<DateCheck<C, L['columns'][0]>>

type Fine<Problem> = [Problem] extends [never] ? unknown : Problem
/** The first column of a key that does not fit. */
type KeysCheck<C extends Columns, F, D extends AnyDimension, K> = F extends readonly [infer A, ...infer As]
  ? K extends readonly [infer B, ...infer Bs]
    ? KeyCheck<C, A, D, B> extends infer Problem
      ? [Problem] extends [never]
        ? KeysCheck<C, As, D, Bs>
        : Problem
      : never
    : never
  : never
type KeyCheck<C extends Columns, F, D extends AnyDimension, K> =
  F extends NameOf<C>
    ? K extends NameOf<D[typeof columnsOf]>
      ? Exclude<Holds<C[F]>, Trait> extends TakenByColumn<D[typeof columnsOf][K]>
        ? never
        : `the key '${K}' of dimension '${D['dimensionName']}' is ${GroupOf<D[typeof columnsOf][K]>}; column '${F}' is ${GroupOf<C[F]>}`
      : never
    : `the export has no column '${F & string}'`
type DateCheck<C extends Columns, F> =
  F extends NameOf<C>
    ? GroupOf<C[F]> extends 'date' | 'timestamp'
      ? never
      : `a calendar needs a date or a timestamp; column '${F}' is ${GroupOf<C[F]>}`
    : `the export has no column '${F & string}'`
