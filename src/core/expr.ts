import { fail } from './errors.ts'
import { ident, joinSql, sql, type Dialect, type Sql } from './sql.ts'
import type { ColumnType } from './types.ts'

/**
 * The portable functions. Row functions of a config are recorded into trees of these and compiled to the SQL of the
 * engine. Each has its cases in the engine conformance suite, which executes them and compares values.
 */
export const fnNames = [
  // text
  'trim',
  'lower',
  'upper',
  'substring',
  'concat',
  'length',
  'replace',
  'matches',
  'replacePattern',
  'normalize',
  // numbers (decimal stays decimal; division of decimals is exact to the result's scale)
  'add',
  'subtract',
  'multiply',
  'divide',
  'negate',
  'abs',
  'round',
  // comparison and logic, SQL's three values
  'eq',
  'ne',
  'lt',
  'le',
  'gt',
  'ge',
  'and',
  'or',
  'not',
  'isNull',
  'coalesce',
  // time
  'year',
  'month',
  'day',
  'dateOf',
  'inZone',
] as const

export type FnName = (typeof fnNames)[number]

/** An expression over the columns of one input row: plain frozen data, the same whenever the config is evaluated. */
export type Expr =
  | { readonly kind: 'column'; readonly name: string; readonly type: ColumnType }
  | { readonly kind: 'literal'; readonly value: string | number | bigint | boolean | null; readonly type: ColumnType }
  | { readonly kind: 'call'; readonly fn: FnName; readonly args: readonly Expr[]; readonly type: ColumnType }
  /** A failed cast is a reject of the row, not a NULL. */
  | { readonly kind: 'cast'; readonly arg: Expr; readonly type: ColumnType }
  /** Value by value: `cases` maps the text of the argument to a value; anything else is a failed mapping, or `otherwise`. */
  | {
      readonly kind: 'map'
      readonly arg: Expr
      readonly cases: readonly (readonly [string, string | number | boolean | null])[]
      readonly otherwise: 'reject' | 'keep' | 'null'
      readonly type: ColumnType
    }
  | {
      readonly kind: 'case'
      readonly branches: readonly { readonly when: Expr; readonly then: Expr }[]
      readonly otherwise: Expr
      readonly type: ColumnType
    }
  /**
   * The golden key that integration gave to a source row of `entity`: looked up in the crosswalk by the source's own
   * values of the columns it was matched by. NULL when the row has no match.
   */
  | {
      readonly kind: 'resolve'
      readonly entity: string
      readonly contributor: string
      readonly by: readonly { readonly column: string; readonly value: Expr }[]
      readonly type: ColumnType
      /** The golden key is personal data. */
      readonly personal: boolean
    }

/** How the leaves of an expression become SQL where it is compiled. */
export interface ExprScope {
  readonly dialect: Dialect
  column(name: string): Sql
  /** Needed only where `resolve` may stand. */
  resolve?(expr: Extract<Expr, { kind: 'resolve' }>, by: readonly Sql[]): Sql
}

/** Compiles an expression to the SQL of the scope's dialect. */
export function compileExpr(expr: Expr, scope: ExprScope): Sql {
  const compile = (inner: Expr): Sql => compileExpr(inner, scope)
  switch (expr.kind) {
    case 'column':
      return scope.column(expr.name)
    case 'literal':
      return expr.value === null
        ? scope.dialect.tryCast(sql`${null}`, expr.type)
        : typeof expr.value === 'string' && expr.type.kind !== 'text'
          ? scope.dialect.tryCast(sql`${expr.value}`, expr.type)
          : sql`${expr.value}`
    case 'call':
      return scope.dialect.fn(expr.fn, expr.args.map(compile), expr.type)
    case 'cast':
      return scope.dialect.tryCast(compile(expr.arg), expr.type)
    case 'map': {
      const arg = compile(expr.arg)
      const otherwise = expr.otherwise === 'keep' ? arg : sql`${null}`
      if (expr.cases.length === 0) return otherwise
      const whens = expr.cases.map(([from, to]) => sql`when ${from} then ${to}`)
      return sql`case ${arg} ${joinSql(whens, ' ')} else ${otherwise} end`
    }
    case 'case': {
      const whens = expr.branches.map(b => sql`when ${compile(b.when)} then ${compile(b.then)}`)
      return sql`case ${joinSql(whens, ' ')} else ${compile(expr.otherwise)} end`
    }
    case 'resolve': {
      if (scope.resolve === undefined) {
        throw fail('INTERNAL', { what: `an expression resolves ${expr.entity} where no crosswalk is at hand` })
      }
      return scope.resolve(
        expr,
        expr.by.map(b => compile(b.value)),
      )
    }
  }
}

/** The children of an expression, for walks over the tree. */
export function childrenOf(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case 'column':
    case 'literal':
      return []
    case 'call':
      return expr.args
    case 'cast':
    case 'map':
      return [expr.arg]
    case 'case':
      return [...expr.branches.flatMap(b => [b.when, b.then]), expr.otherwise]
    case 'resolve':
      return expr.by.map(b => b.value)
  }
}

/** The names of the input columns that an expression reads, each once, in order of first use: the edges of column lineage. */
export function columnsOf(expr: Expr): readonly string[] {
  const names = new Set<string>()
  const visit = (inner: Expr): void => {
    if (inner.kind === 'column') names.add(inner.name)
    childrenOf(inner).forEach(visit)
  }
  visit(expr)
  return [...names]
}

/** The look-ups of golden keys inside an expression, the outer before the inner. */
export function resolvesIn(expr: Expr): readonly Extract<Expr, { kind: 'resolve' }>[] {
  const own = expr.kind === 'resolve' ? [expr] : []
  return [...own, ...childrenOf(expr).flatMap(resolvesIn)]
}

/** A column reference as SQL inside relation `alias`. */
export function columnIn(alias: string): (name: string) => Sql {
  return name => sql`${ident(alias, name)}`
}
