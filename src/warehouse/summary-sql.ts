import { same, sameAll } from '../core/dialect-functions.ts'
import { compileExpr, columnIn } from '../core/expr.ts'
import { fail } from '../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { ColumnType } from '../core/types.ts'
import type { Aggregate, DimensionDef, FactDef, SummaryDef, SummaryExpr } from '../config/model.ts'
import type { StageContext } from '../run/context.ts'
import { dimensionTable, surrogateOf } from './tables.ts'

/** What the SQL of a summary is made from. */
export interface SummaryParts {
  readonly definition: SummaryDef
  readonly fact: FactDef
  readonly dimensions: readonly DimensionDef[]
}

/** The groups of the rows in `from`, each row once: `from` has the columns of the fact. */
export function groupsOf(ctx: StageContext, parts: SummaryParts, from: Ident): Sql {
  return sql`select ${groupColumns(ctx, parts)} ${fromFact(parts, from, rolesOf(parts.definition.by.map(by => by.expr)))}`
}

/** The rows of a summary over the fact as it stands; with `within`, only those groups. */
export function summaryRows(ctx: StageContext, parts: SummaryParts, from: Ident, within: Ident | null): Sql {
  const { by, get } = parts.definition
  const groups = by.length === 0 ? sql`` : sql`${groupColumns(ctx, parts)}, `
  const aggregates = get.map(item => sql`${aggregate(ctx, item.aggregate, item.of)} as ${ident(item.column)}`)
  const chosen =
    within === null ? sql`` : sql`where exists (select 1 from ${within} w where ${inGroup(ctx, parts, 'w')})`
  const grouped = by.length === 0 ? sql`` : sql`group by ${joinSql(by.map((_, i) => rawSql(String(i + 1))))}`
  return sql`select ${groups}${joinSql(aggregates)} ${fromFact(parts, from, usedRoles(parts.definition))} ${chosen} ${grouped}`
}

/** The dimensions that a summary reads, by role. */
export function usedRoles(definition: SummaryDef): readonly string[] {
  const of = definition.get.flatMap(item => (item.of === null ? [] : [item.of]))
  return rolesOf([...definition.by.map(item => item.expr), ...of])
}

function groupColumns(ctx: StageContext, { definition }: SummaryParts): Sql {
  return joinSql(definition.by.map(item => sql`${typed(ctx, item.expr)} as ${ident(item.column)}`))
}

function inGroup(ctx: StageContext, { definition }: SummaryParts, alias: string): Sql {
  const pairs = definition.by.map(item => [ident(alias, item.column), typed(ctx, item.expr)] as const)
  const isPlain = (i: number): boolean => !['float', 'interval'].includes(definition.by[i]?.expr.expr.type.kind ?? '')
  const plain = pairs.filter((_, i) => isPlain(i))
  const others = pairs.filter((_, i) => !isPlain(i)).map(([a, b]) => same(a, b))
  return joinSql([...(plain.length === 0 ? [] : [sameAll(plain)]), ...others], ' and ')
}

/**
 * Every role is joined by the surrogate key, which names one version: a join never multiplies a fact (M76). A left join,
 * so that no row of the fact can drop out of a total.
 */
function fromFact({ fact, dimensions }: SummaryParts, from: Ident, roles: readonly string[]): Sql {
  const joins = roles.map(role => {
    const name = fact.dims.find(dim => dim.role === role)?.dimension
    const dimension = dimensions.find(candidate => candidate.name === name)
    if (dimension === undefined) throw fail('INTERNAL', { what: `fact ${fact.name} has no dimension for ${role}` })
    return sql`left join ${dimensionTable(dimension.name)} ${ident(roleAlias(role))}
      on ${ident(roleAlias(role), surrogateOf(dimension))} = ${ident('f', `${role}_key`)}`
  })
  return sql`from ${from} f ${joinSql(joins, ' ')}`
}

/**
 * Exact and independent of the order of rows: sums of integers are 64-bit and an error when they do not fit, decimals
 * keep their scale; floats are added in the order of their values, because their sum depends on it.
 */
function aggregate(ctx: StageContext, kind: Aggregate, of: SummaryExpr | null): Sql {
  if (of === null) {
    if (kind !== 'count') throw fail('INTERNAL', { what: `${kind} of nothing` })
    return sql`count(*)`
  }
  const value = typed(ctx, of)
  const type = of.expr.type
  const ordered = type.kind === 'float' ? sql` order by ${value}` : sql``
  switch (kind) {
    case 'count':
      return sql`count(${value})`
    case 'countDistinct':
      return sql`count(distinct ${value})`
    case 'sum':
      return sql`cast(sum(${value}${ordered}) as ${rawSql(ctx.tx.dialect.type(sumType(type)))})`
    case 'avg':
      return sql`cast(sum(${value}${ordered}) as double precision) / nullif(count(${value}), 0)`
    case 'min':
      return sql`min(${value})`
    case 'max':
      return sql`max(${value})`
  }
}

function sumType(type: ColumnType): ColumnType {
  if (type.kind === 'int') return { kind: 'int', bits: 64 }
  if (type.kind === 'decimal') return { kind: 'decimal', precision: 38, scale: type.scale }
  return { kind: 'float', bits: 64 }
}

function typed(ctx: StageContext, { role, expr }: SummaryExpr): Sql {
  const column = columnIn(role === null ? 'f' : roleAlias(role))
  return sql`cast(${compileExpr(expr, { dialect: ctx.tx.dialect, column })} as ${rawSql(ctx.tx.dialect.type(expr.type))})`
}

function rolesOf(exprs: readonly SummaryExpr[]): readonly string[] {
  return [...new Set(exprs.flatMap(({ role }) => (role === null ? [] : [role])))]
}

// A role may be called `f` or anything else: the prefix keeps its alias apart from the fact's.
function roleAlias(role: string): string {
  return `role_${role}`
}
