import { asText } from '../core/dialect-functions.ts'
import { childrenOf, columnIn, columnsOf, compileExpr, resolvesIn, type Expr, type ExprScope } from '../core/expr.ts'
import { ident, joinSql, sql, type Dialect, type Ident, type Sql } from '../core/sql.ts'
import type { ColumnDef, ColumnType } from '../core/types.ts'
import type { ContributionDef, EntityDef, Project, SourceTableDef } from '../config/model.ts'
import { personalData } from '../plan/personal.ts'
import { keyText } from './keys.ts'
import { isStagedAsText } from './tables.ts'

/** What one source table gives to an entity, with the table itself at hand. */
export interface Feed {
  readonly entity: EntityDef
  readonly contribution: ContributionDef
  readonly table: SourceTableDef
}

/** A place in a mapping where a value can be lost: the row is then set aside, with the text that did not fit. */
export interface Failure {
  readonly kind: 'cast' | 'map'
  /** True where it failed. */
  readonly failed: Sql
  /** The value that did not fit, as text. */
  readonly raw: Sql
}

/** An entity column as SQL over the staged row. */
export interface MappedColumn {
  readonly column: ColumnDef
  /** False: the contribution does not give it, its value is a typed NULL. */
  readonly given: boolean
  readonly value: Sql
  readonly failures: readonly Failure[]
  /** Personal, or computed from something personal: its values must not stand in control tables. */
  readonly personal: boolean
  /** It needs the crosswalk of another entity, which integration fills. */
  readonly resolves: boolean
  /** Staged columns that it is computed from. */
  readonly reads: readonly string[]
  /** The staged column that it is, unchanged. */
  readonly copyOf: string | null
}

/** `cleansed.<entity>_<contributor>`. */
export function cleansedTable(entity: EntityDef, contribution: ContributionDef): Ident {
  return ident('cleansed', `${entity.name}_${contribution.as}`)
}

/** The entity's columns as SQL over the staged row in relation `alias`. */
export function mapColumns(project: Project, dialect: Dialect, feed: Feed, alias: string): readonly MappedColumn[] {
  const scope = stagedScope(project, dialect, alias)
  const personal = personalData(project)
  const inStaged = personal.inStaged(feed.table.source, feed.table.name)
  const inEntity = personal.inEntity(feed.entity.name)
  return feed.entity.columns.map(column => {
    const isPersonal = inEntity.has(column.name)
    const written = feed.contribution.map.find(m => m.column === column.name)?.expr
    if (written === undefined) return notGiven(dialect, column, isPersonal)
    const expr = castTo(stagedExpr(feed.table, written), column.type)
    const read = columnsOf(expr)
    return {
      column,
      given: true,
      value: compileExpr(expr, scope),
      failures: failuresOf(expr, scope),
      // A text that did not fit is kept as it is read, also where the value would not tell it.
      personal: isPersonal || read.some(name => inStaged.has(name)),
      resolves: resolvesIn(expr).length > 0,
      reads: read,
      copyOf: expr.kind === 'column' ? expr.name : null,
    }
  })
}

function notGiven(dialect: Dialect, column: ColumnDef, personal: boolean): MappedColumn {
  const value = dialect.tryCast(sql`${null}`, column.type)
  return { column, given: false, value, failures: [], personal, resolves: false, reads: [], copyOf: null }
}

/** The condition of the contribution for a staged row, or `null` when every row counts. A row whose condition cannot be computed counts as failed. */
export function whereOf(
  project: Project,
  dialect: Dialect,
  feed: Feed,
  alias: string,
): { readonly passes: Sql; readonly failures: readonly Failure[] } | null {
  if (feed.contribution.where === null) return null
  const expr = stagedExpr(feed.table, feed.contribution.where)
  const scope = stagedScope(project, dialect, alias)
  return { passes: compileExpr(expr, scope), failures: failuresOf(expr, scope) }
}

/** The expression over a staged row, with its columns in the types that the config declares. */
export function stagedExpr(table: SourceTableDef, expr: Expr): Expr {
  if (!isStagedAsText(table)) return expr
  return replaceColumns(expr, column => {
    const declared = table.columns.find(c => c.name === column.name)?.type ?? column.type
    return castTo({ ...column, type: { kind: 'text' } }, declared)
  })
}

/** Puts a value into a type; one that the type holds as it is needs no cast, which would cost a check of every value. */
export function castTo(expr: Expr, type: ColumnType): Expr {
  return holds(type, expr.type) ? expr : { kind: 'cast', arg: expr, type }
}

function holds(type: ColumnType, given: ColumnType): boolean {
  if (type.kind === 'int') return given.kind === 'int' && given.bits <= type.bits
  if (type.kind === 'text') return given.kind === 'text' || given.kind === 'enum' || given.kind === 'json'
  if (type.kind === 'decimal' && given.kind === 'decimal') {
    return given.scale === type.scale && given.precision <= type.precision
  }
  return JSON.stringify(type) === JSON.stringify(given)
}

function replaceColumns(expr: Expr, by: (column: Extract<Expr, { kind: 'column' }>) => Expr): Expr {
  const inner = (child: Expr): Expr => replaceColumns(child, by)
  switch (expr.kind) {
    case 'column':
      return by(expr)
    case 'literal':
      return expr
    case 'call':
      return { ...expr, args: expr.args.map(inner) }
    case 'cast':
    case 'map':
      return { ...expr, arg: inner(expr.arg) }
    case 'case':
      return {
        ...expr,
        // oxlint-disable-next-line unicorn/no-thenable -- the word of SQL; nobody awaits a branch
        branches: expr.branches.map(b => ({ when: inner(b.when), then: inner(b.then) })),
        otherwise: inner(expr.otherwise),
      }
    case 'resolve':
      return { ...expr, by: expr.by.map(b => ({ ...b, value: inner(b.value) })) }
  }
}

/** How expressions over a staged row compile: columns of relation `alias`, golden keys from the crosswalk. */
function stagedScope(project: Project, dialect: Dialect, alias: string): ExprScope {
  return {
    dialect,
    column: columnIn(alias),
    resolve: (expr, by) => dialect.tryCast(goldenKey(project, expr, by), expr.type),
  }
}

/** Looks up the golden key by the values that the contributor was matched by, in the order of its own map. */
function goldenKey(project: Project, expr: Extract<Expr, { kind: 'resolve' }>, by: readonly Sql[]): Sql {
  const entity = project.entities.find(e => e.name === expr.entity)
  const order = entity?.contributions.find(c => c.as === expr.contributor)?.map.map(m => m.column) ?? []
  const sourceKey = expr.by
    .map((b, i) => ({ at: order.indexOf(b.column), value: by[i] as Sql }))
    .sort((a, b) => a.at - b.at)
    .map(b => b.value)
  // max(): a source key stands in the crosswalk once; the aggregate keeps that promise out of the planner's hands.
  return sql`(select max(x.golden_key) from naru.crosswalk x where x.entity = ${expr.entity}
    and x.contributor = ${expr.contributor} and x.source_key = ${keyText(sourceKey)})`
}

/**
 * Where a cast or an exhaustive map inside an expression can fail. A branch of a `case` that is not taken cannot: its
 * conditions are part of `failed`.
 */
export function failuresOf(expr: Expr, scope: ExprScope, taken: readonly Sql[] = []): readonly Failure[] {
  if (expr.kind === 'case') return failuresOfCase(expr, scope, taken)
  const inner = childrenOf(expr).flatMap(child => failuresOf(child, scope, taken))
  if (expr.kind !== 'cast' && !(expr.kind === 'map' && expr.otherwise === 'reject')) return inner
  const arg = compileExpr(expr.arg, scope)
  const lost =
    expr.kind === 'cast'
      ? castLost(expr, scope)
      : notAmong(
          arg,
          expr.cases.map(([from]) => from),
        )
  const failed = joinSql([...taken, sql`${arg} is not null`, lost], ' and ')
  return [...inner, { kind: expr.kind, failed: sql`(${failed})`, raw: sql`${asText(arg)}` }]
}

function failuresOfCase(
  expr: Extract<Expr, { kind: 'case' }>,
  scope: ExprScope,
  taken: readonly Sql[],
): readonly Failure[] {
  const failures: Failure[] = []
  let before = taken
  for (const branch of expr.branches) {
    const when = compileExpr(branch.when, scope)
    failures.push(...failuresOf(branch.when, scope, before))
    failures.push(...failuresOf(branch.then, scope, [...before, sql`(${when})`]))
    before = [...before, sql`(${when}) is not true`]
  }
  return [...failures, ...failuresOf(expr.otherwise, scope, before)]
}

function castLost(expr: Extract<Expr, { kind: 'cast' }>, scope: ExprScope): Sql {
  const result = compileExpr(expr, scope)
  const missing = sql`${result} is null`
  if (expr.type.kind !== 'enum') return missing
  return sql`(${missing} or ${notAmong(sql`${asText(result)}`, expr.type.values)})`
}

function notAmong(value: Sql, values: readonly string[]): Sql {
  if (values.length === 0) return sql`true`
  return sql`${value} not in (${joinSql(values.map(v => sql`${v}`))})`
}
