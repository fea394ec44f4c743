import { fail } from '../core/errors.ts'
import { compileExpr } from '../core/expr.ts'
import { ident, joinSql, sql, type Dialect, type Ident, type Sql } from '../core/sql.ts'
import type { ColumnDef, ColumnType } from '../core/types.ts'
import type { EntityDef, Project, RuleBound, RuleDef, SourceTableDef } from '../config/model.ts'
import { isStagedAsText, stagingNames } from './tables.ts'

/** A rule as SQL over a relation that has the entity's columns. */
export type CompiledRule =
  /** `broken` is true where a row breaks the rule; NULL and false pass. `join` goes behind the relation in FROM. */
  | { readonly kind: 'row'; readonly rule: RuleDef; readonly broken: Sql; readonly join: Sql | null }
  /** Needs the rows side by side: see `sameValues`. */
  | { readonly kind: 'unique'; readonly rule: RuleDef }

/** What a rule is compiled against. */
export interface RuleScope {
  readonly project: Project
  readonly dialect: Dialect
  readonly entity: EntityDef
  /** The value of an entity column. */
  column(name: string): Sql
}

/** Compiles one rule. `alias` names its lookup and must be unique in the statement. */
export function compileRule(rule: RuleDef, scope: RuleScope, alias: string): CompiledRule {
  const values = rule.columns.map(name => scope.column(name))
  const types = rule.columns.map(name => typeOf(scope.entity, name))
  const any = (conditions: readonly Sql[]): CompiledRule => rowRule(rule, sql`(${joinSql(conditions, ' or ')})`)
  const { check } = rule
  switch (check.kind) {
    case 'required':
      return any(values.map(value => sql`${value} is null`))
    case 'range':
      return any(values.map((value, i) => outside(scope.dialect, value, types[i] as ColumnType, check.min, check.max)))
    case 'oneOf':
      return any(values.map(value => notOneOf(value, check.values)))
    case 'pattern':
      return any(values.map(value => sql`not ${matches(scope.dialect, value, check.re2)}`))
    case 'unique':
      return { kind: 'unique', rule }
    case 'reference':
      return reference(rule, scope, values, alias)
    case 'expression': {
      const passes = compileExpr(check.expr, { dialect: scope.dialect, column: name => scope.column(name) })
      return rowRule(rule, sql`(not (${passes}))`)
    }
  }
}

function rowRule(rule: RuleDef, broken: Sql, join: Sql | null = null): CompiledRule {
  return { kind: 'row', rule, broken, join }
}

function typeOf(entity: EntityDef, name: string): ColumnType {
  return (entity.columns.find(column => column.name === name) as ColumnDef).type
}

function outside(dialect: Dialect, value: Sql, type: ColumnType, min: RuleBound, max: RuleBound): Sql {
  const below = min === null ? [] : [sql`${value} < ${boundOf(dialect, min, type)}`]
  const above = max === null ? [] : [sql`${value} > ${boundOf(dialect, max, type)}`]
  return below.length + above.length === 0 ? sql`false` : joinSql([...below, ...above], ' or ')
}

/** A bound given as text is exact: a decimal keeps its own digits instead of being rounded to the column's scale. */
function boundOf(dialect: Dialect, bound: string | number, type: ColumnType): Sql {
  if (typeof bound === 'number') return sql`${bound}`
  const numeric = type.kind === 'int' || type.kind === 'decimal' || type.kind === 'float'
  const digits = numeric ? /^-?(\d+)(?:\.(\d+))?$/.exec(bound) : null
  if (digits === null) return dialect.tryCast(sql`${bound}`, type)
  const scale = digits[2]?.length ?? 0
  return dialect.tryCast(sql`${bound}`, { kind: 'decimal', precision: (digits[1] as string).length + scale, scale })
}

function notOneOf(value: Sql, allowed: readonly (string | number)[]): Sql {
  if (allowed.length === 0) return sql`${value} is not null`
  return sql`${value} not in (${joinSql(allowed.map(one => sql`${one}`))})`
}

function matches(dialect: Dialect, value: Sql, re2: string): Sql {
  return dialect.fn('matches', [value, sql`${re2}`], { kind: 'bool' })
}

/** A lookup in the keys it refers to: those are unique, so the join adds no rows. A value with a NULL part passes. */
function reference(rule: RuleDef, scope: RuleScope, values: readonly Sql[], alias: string): CompiledRule {
  const target = referenceTarget(rule, scope.project)
  if (target === null) throw fail('INTERNAL', { what: `the rule ${rule.id} refers to nothing` })
  const keys = target.keys(scope.dialect)
  const columns = joinSql(keys.map((key, i) => sql`${key} as ${ident(`k${i}`)}`))
  const equal = joinSql(
    values.map((value, i) => sql`${ident(alias, `k${i}`)} = ${value}`),
    ' and ',
  )
  const present = joinSql(
    values.map(value => sql`${value} is not null`),
    ' and ',
  )
  return rowRule(
    rule,
    sql`(${ident(alias, 'k0')} is null and ${present})`,
    sql`left join (select ${columns} from ${target.table}) ${ident(alias)} on ${equal}`,
  )
}

/** The table that a reference rule looks into; `null` for other rules. */
export function referenceTarget(
  rule: RuleDef,
  project: Project,
): { readonly table: Ident; readonly name: string; readonly keys: (dialect: Dialect) => readonly Sql[] } | null {
  if (rule.check.kind !== 'reference') return null
  const { to } = rule.check
  if ('entity' in to) {
    const entity = project.entities.find(e => e.name === to.entity) as EntityDef
    return { table: ident('ods', to.entity), name: to.entity, keys: () => entity.key.map(name => sql`${ident(name)}`) }
  }
  const source = project.sources.find(s => s.name === to.source)
  const table = source?.tables.find(t => t.name === to.table) as SourceTableDef
  return {
    table: stagingNames(table).image,
    name: `${to.source}.${to.table}`,
    keys: dialect => table.key.map(name => stagedKey(dialect, table, name)),
  }
}

function stagedKey(dialect: Dialect, table: SourceTableDef, name: string): Sql {
  const column = table.columns.find(c => c.name === name) as ColumnDef
  const value = sql`${ident(name)}`
  return isStagedAsText(table) && column.type.kind !== 'text' ? dialect.tryCast(value, column.type) : value
}

/**
 * The limit of a rule in rows for this many rows, or `null` when it has none. A share is rounded up: one bad row in a
 * small change set is quarantined, it does not stop the run.
 */
export function limitRows(rule: Pick<RuleDef, 'limit'>, rows: number): number | null {
  if (rule.limit === null) return null
  return 'rows' in rule.limit ? rule.limit.rows : Math.ceil(rule.limit.share * rows)
}
