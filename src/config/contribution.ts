import type { Expr } from '../core/expr.ts'
import type { Columns } from './column.ts'
import { fitted, tableRow } from './fit.ts'
import { aboutOf, checkedColumns, checkedName, checkedOptions, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { ContributionDef, EntityDef, MatchDef, SourceTableDef } from './model.ts'
import { assertMarked } from './personal.ts'
import { recordOf, standIn } from './record.ts'
import type { Row } from './value.ts'

/** What one entity is, beside its definition: how the rows of its matches are mapped. */
export interface Draft {
  readonly def: EntityDef
  readonly uses: readonly Handle[]
  readonly matchers: ReadonlyMap<string, Matcher>
}

export interface Matcher {
  readonly table: SourceTableDef
  readonly map: ContributionDef['map']
}

export type RowFunction = (row: Row<Columns>) => unknown
export interface FromOptions {
  readonly as?: string
  readonly where?: RowFunction
}
export interface MatchGiven extends FromOptions {
  readonly compare: Readonly<Record<string, readonly string[]>>
  readonly support?: readonly string[]
  readonly threshold?: number
}

const thresholdDefault = 0.65

export function withFrom(draft: Draft, table: Handle, row: RowFunction, options: FromOptions): Draft {
  checkedOptions(`from() of entity ${draft.def.name}`, options, ['as', 'where'])
  const source = tableOf(table)
  const given = givenColumns(draft, source, row)
  const missing = draft.def.columns.find(column => !given.some(({ column: name }) => name === column.name))
  if (missing !== undefined)
    throw mistake(
      `${source.source}.${source.name} gives no ${draft.def.name}.${missing.name}; write none where it has no value`,
    )
  return withContribution(draft, table, { ...contribution(source, given, options), match: null })
}

export function withMatch(draft: Draft, table: Handle, row: RowFunction, options: MatchGiven): Draft {
  const where = `match() of entity ${draft.def.name}`
  checkedOptions(where, options, ['compare', 'support', 'threshold', 'as', 'where'])
  const source = tableOf(table)
  const given = givenColumns(draft, source, row)
  const key = given.find(({ column }) => draft.def.key.includes(column))
  if (key !== undefined) throw mistake(`${where} finds the key ${key.column}; it must not be given`)
  const match = matchDef(where, draft, given, options)
  const made = { ...contribution(source, given, options), match }
  const matchers = new Map(draft.matchers).set(made.as, { table: source, map: given })
  return withContribution({ ...draft, matchers }, table, made)
}

function matchDef(where: string, draft: Draft, given: ContributionDef['map'], options: MatchGiven): MatchDef {
  const known = draft.def.columns.map(column => column.name)
  const names = given.map(({ column }) => column)
  const { compare, support = [], threshold = thresholdDefault } = options
  checkedColumns(`the mapping of ${where}`, [...Object.keys(compare), ...support], names)
  checkedColumns(`entity ${draft.def.name}`, Object.values(compare).flat(), known)
  if (Object.keys(compare).length === 0) throw mistake(`${where} must compare at least one column`)
  if (!(threshold >= 0 && threshold <= 1)) throw mistake(`${where}: the threshold is 0 to 1, not ${threshold}`)
  return { compare: Object.entries(compare).map(([column, against]) => ({ column, against })), support, threshold }
}

function withContribution(draft: Draft, table: Handle, made: ContributionDef): Draft {
  const { def } = draft
  if (def.contributions.some(other => other.as === made.as)) {
    throw mistake(`entity ${def.name} has two contributors called "${made.as}"; give one another name: { as: '...' }`)
  }
  return { ...draft, def: { ...def, contributions: [...def.contributions, made] }, uses: [...draft.uses, table] }
}

function contribution(
  table: SourceTableDef,
  map: ContributionDef['map'],
  { as, where }: FromOptions,
): Omit<ContributionDef, 'match'> {
  checkedName('contributor', as ?? table.source)
  return {
    as: as ?? table.source,
    source: table.source,
    table: table.name,
    map,
    where: where === undefined ? null : conditionOf(`where of ${table.source}.${table.name}`, where(tableRow(table))),
  }
}

function tableOf(handle: Handle): SourceTableDef {
  const found = aboutOf(handle)
  if (found?.kind !== 'table') throw mistake('a contribution comes from a table of a source, such as ops.flight')
  return found.def
}

/** Runs a row function on stand-ins: the expression for each column that it gave, in the order of the entity's columns. */
function givenColumns(draft: Draft, table: SourceTableDef, row: RowFunction): ContributionDef['map'] {
  const { def } = draft
  const given = row(standInsOf(table)) as Readonly<Record<string, unknown>>
  checkedColumns(
    `entity ${def.name}`,
    Object.keys(given),
    def.columns.map(column => column.name),
  )
  return def.columns
    .filter(column => Object.hasOwn(given, column.name))
    .map(column => {
      const expr = fitted(def.name, column, given[column.name])
      assertMarked(def.name, column, expr, { name: `${table.source}.${table.name}`, columns: table.columns })
      return { column: column.name, expr }
    })
}

/** Which table each row of stand-ins belongs to: `resolve` is asked with one. */
const tableOfRow = new WeakMap<object, SourceTableDef>()

function standInsOf(table: SourceTableDef): Row<Columns> {
  const row = tableRow<Columns>(table)
  tableOfRow.set(row, table)
  return row
}

export function conditionOf(where: string, condition: unknown): Expr {
  const found = recordOf(condition)
  if (found?.expr.type.kind !== 'bool') throw mistake(`${where} must be a condition such as r.qty.gt(0)`)
  return found.expr
}

export function resolve({ def, matchers }: Draft, contributor: string, row: unknown): object {
  const matcher = matchers.get(contributor)
  if (matcher === undefined) {
    throw mistake(
      `entity ${def.name} has no match called "${contributor}"; it has ${[...matchers.keys()].join(', ') || 'none'}`,
    )
  }
  const { table } = matcher
  if (typeof row !== 'object' || row === null || tableOfRow.get(row) !== table) {
    throw mistake(
      `resolve("${contributor}", row) takes a row of ${table.source}.${table.name}, which the match was given`,
    )
  }
  const [key, ...more] = def.columns.filter(column => def.key.includes(column.name))
  if (key === undefined || more.length > 0)
    throw mistake(`entity ${def.name} has several key columns; only one can be resolved`)
  const by = matcher.map.map(({ column, expr }) => ({ column, value: expr }))
  const { type, personal } = key
  return standIn({ expr: { kind: 'resolve', entity: def.name, contributor, by, type, personal }, role: null })
}
