import type { Columns, group, Group, GroupOf, holds, Holds, MayBeNull, ValueIn } from './column.ts'
import type { AnyLink, linked } from './dimension.ts'
import { columnsByRole, type Fact } from './fact.ts'
import { columnsRow } from './fit.ts'
import { about, aboutOf, checkedName, checkedOptions, deepFreeze, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { FactDef, SummaryDef, SummaryExpr } from './model.ts'
import { countRows, measureOf, recordOf, standInRow, type Recorded } from './record.ts'
import type { columnsOf } from './source.ts'
import type { AnyValue, Measure, ValueFor } from './value.ts'

declare const result: unique symbol

/** A table of a fact's groups. `R` is its row: see `RowOf`. */
export interface Summary<N extends string, R> extends Handle {
  readonly [result]: R
  readonly summaryName: N
}

/** The row that a summary holds. */
export type SummaryRow<S> = S extends { readonly [result]: infer R } ? R : never

/**
 * A dimension seen from a fact. A key that is missing or unknown joins the unknown member (so does an infinite date, in a
 * calendar), whose attributes are missing.
 */
type RoleRow<L> = L extends AnyLink ? Attributes<L[typeof linked][typeof columnsOf]> : never
type Attributes<D extends Columns> = { readonly [N in keyof D]: ValueFor<GroupOf<D[N]>, Holds<D[N]> | MayBeNull> }

/** What the functions of a summary see: the fact's columns, its dimensions by role, and `count()`. */
export type FactRow<C extends Columns, D> = {
  readonly [N in Exclude<keyof C, keyof D | 'count'>]: ValueFor<GroupOf<C[N]>, Holds<C[N]>>
} & { readonly [R in keyof D]: RoleRow<D[R]> } & {
  /** The number of rows of the group. */
  count(): Measure<bigint>
}

type ResultRow<B, G> = {
  readonly [N in keyof B | keyof G]: N extends keyof B
    ? B[N] extends { readonly [group]: infer H extends Group; readonly [holds]: infer F extends string }
      ? ValueIn<H, F>
      : never
    : N extends keyof G
      ? G[N] extends Measure<infer V>
        ? V
        : never
      : never
}

/** Groups of a fact with their measures, kept up to date group by group. Both functions run once and are recorded. */
export function summary<
  const N extends string,
  C extends Columns,
  D,
  B extends { readonly [column: string]: AnyValue },
  G extends { readonly [column: string]: Measure<unknown> },
>(
  name: N,
  from: Fact<string, C, D>,
  options: { readonly by: (row: FactRow<C, D>) => B; readonly get: (row: FactRow<C, D>) => G },
): Summary<N, ResultRow<B, G>> {
  checkedName('summary', name)
  const where = `summary ${name}`
  checkedOptions(where, options, ['by', 'get'])
  const found = aboutOf(from)
  if (found?.kind !== 'fact') throw mistake(`${where} is made from a fact`)
  const row = factRow(found.def, found.uses) as FactRow<C, D>
  const by = Object.entries(options.by(row)).map(([column, value]) => ({
    column,
    expr: groupExpr(where, column, value),
  }))
  const get = Object.entries(options.get(row)).map(([column, value]) => ({
    column,
    ...measureExpr(where, column, value),
  }))
  if (by.length === 0 || get.length === 0) throw mistake(`${where} needs at least one column in by and one in get`)
  assertColumns(
    where,
    [...by, ...get].map(({ column }) => column),
  )
  const def: SummaryDef = { name, fact: found.def.name, by, get }
  return Object.freeze({
    [about]: { kind: 'summary', def: deepFreeze(def), uses: [from] },
    summaryName: name,
  }) as unknown as Summary<N, ResultRow<B, G>>
}

function assertColumns(where: string, names: readonly string[]): void {
  names.forEach(name => checkedName(`column of ${where}`, name))
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw mistake(`${where} has two columns called ${twice}`)
}

function factRow(def: FactDef, uses: readonly Handle[]): object {
  const where = `fact ${def.name}`
  const own = columnsRow(where, def.columns) as Readonly<Record<string, unknown>>
  const roles = columnsByRole(uses, def)
  const names = new Set([...roles.keys(), 'count', ...def.columns.map(column => column.name)])
  return standInRow(where, [...names], name => {
    const columns = roles.get(name)
    if (columns !== undefined) return columnsRow(`role ${name} of ${where}`, columns, name)
    return name === 'count' ? countRows : own[name]
  })
}

function groupExpr(where: string, column: string, value: unknown): SummaryExpr {
  const found = recordOf(value)
  if (found === null) throw mistake(`${where}: ${column} in by must be a column of the fact or of a dimension`)
  return summaryExpr(found)
}

function measureExpr(
  where: string,
  column: string,
  value: unknown,
): Pick<SummaryDef['get'][number], 'aggregate' | 'of'> {
  const found = measureOf(value)
  if (found === null) throw mistake(`${where}: ${column} in get must be a measure such as f.amount.sum() or f.count()`)
  return { aggregate: found.aggregate, of: found.of === null ? null : summaryExpr(found.of) }
}

function summaryExpr({ expr, role }: Recorded): SummaryExpr {
  return { role: role ?? null, expr }
}
