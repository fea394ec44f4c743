import type { ColumnDef } from '../core/types.ts'
import { keyList, type Columns, type Key, type NameOf, type NamesOfGroup, type OneOrMore } from './column.ts'
import { columnsOfDimension, dimensionOfLink, exportOf, type AnyLink, type LinkCheck } from './dimension.ts'
import type { Exported } from './export.ts'
import { about, aboutOf, checkedColumns, checkedName, checkedOptions, deepFreeze, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { DimensionDef, ExportDef, FactDef } from './model.ts'
import type { columnsOf } from './source.ts'

declare const links: unique symbol

/** A fact table of the warehouse: `D` are its dimensions by role. */
export interface Fact<N extends string, C extends Columns, D> extends Handle {
  readonly [columnsOf]: C
  readonly [links]: D
  readonly factName: N
}

type TimeNames<C extends Columns> = NamesOfGroup<
  C,
  'date' | 'timestamp' | 'timestamptz',
  'a date or time column: this export has none'
>

interface Links {
  readonly [role: string]: AnyLink
}

/** A fact, one row for each row of an export. The same dimension may stand under several roles. */
export function fact<const N extends string, C extends Columns, K extends Key, const D extends Links>(
  name: N,
  from: Exported<string, C, K>,
  options: {
    /** The columns that tell its rows apart. */
    readonly grain: OneOrMore<NameOf<C>>
    /** When it happened: decides which version of a dimension a row joins. */
    readonly at: TimeNames<C>
    /** The dimensions by role. */
    readonly dims: { readonly [R in keyof D]: LinkCheck<C, D[R]> } & D
  },
): Fact<N, C, D> {
  checkedName('fact', name)
  const where = `fact ${name}`
  checkedOptions(where, options, ['grain', 'at', 'dims'])
  const source = exportOf(where, from)
  const names = source.columns.map(column => column.name)
  const grain = keyList(options.grain)
  checkedColumns(`export ${source.name}`, [...grain, options.at], names)
  const open = source.key.find(column => !grain.includes(column))
  if (open !== undefined)
    throw mistake(`${where}: without ${open} in its grain two rows of ${source.name} would be one`)
  const dims = Object.entries(options.dims as Links).map(([role, link]) => roleOf(where, source, role, link))
  const def: FactDef = {
    name,
    export: source.name,
    grain,
    at: options.at,
    dims: dims.map(({ role, dimension, by }) => ({ role, dimension: dimension.name, by })),
    columns: ownColumns(
      source,
      [...grain, options.at],
      dims.flatMap(({ by }) => by),
    ),
  }
  const uses = [from, ...dims.map(dim => dim.handle)]
  return Object.freeze({ [about]: { kind: 'fact', def: deepFreeze(def), uses }, factName: name }) as unknown as Fact<
    N,
    C,
    D
  >
}

interface Role {
  readonly role: string
  readonly handle: Handle
  readonly dimension: DimensionDef
  readonly by: readonly string[]
}

function roleOf(where: string, source: ExportDef, role: string, value: unknown): Role {
  checkedName('role', role)
  const link = dimensionOfLink(value)
  const found = aboutOf(link)
  if (link === null || found?.kind !== 'dimension')
    throw mistake(`${where}: the role ${role} is made by dimension.by(column)`)
  const { def } = found
  checkedColumns(
    `export ${source.name}`,
    link.columns,
    source.columns.map(column => column.name),
  )
  const keys = def.kind === 'calendar' ? 1 : def.key.length
  if (link.columns.length !== keys) {
    throw mistake(
      `${where}: the key of dimension ${def.name} has ${keys} columns; the role ${role} gives ${link.columns.length}`,
    )
  }
  return { role, handle: link, dimension: def, by: link.columns }
}

/** Measures and degenerate dimensions: what is no foreign key. Grain and event time always stay. */
function ownColumns(source: ExportDef, kept: readonly string[], foreign: readonly string[]): readonly ColumnDef[] {
  return source.columns.filter(({ name }) => kept.includes(name) || !foreign.includes(name))
}

/** The columns that each role of a fact offers to a summary. */
export function columnsByRole(uses: readonly Handle[], def: FactDef): ReadonlyMap<string, readonly ColumnDef[]> {
  const dimensions = uses.map(aboutOf).flatMap(found => (found?.kind === 'dimension' ? [found.def] : []))
  return new Map(
    def.dims.map(({ role, dimension }) => {
      const found = dimensions.find(other => other.name === dimension) as DimensionDef
      return [role, columnsOfDimension(found)]
    }),
  )
}
