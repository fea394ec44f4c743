import { fail, isNaruError, type NaruError } from '../../core/errors.ts'
import { compileExpr, type Expr } from '../../core/expr.ts'
import { ident, renderSql, sql, type Dialect, type Sql } from '../../core/sql.ts'
import type { EntityDef, Project } from '../../config/model.ts'
import { stagedExpr } from '../../run/mapping.ts'
import { stagedName } from '../../run/tables.ts'

/** Something of a project that its engine cannot do, and where the configuration asks for it. */
export interface EngineLimit {
  readonly where: string
  readonly error: NaruError
}

/** Bytes that stages put before a column of an entity to name what they compute of it: `_f_castraw_`. */
const PREFIX_BYTES = 11

/**
 * What the engine cannot do of a project, found by writing every expression and every name in its dialect: nothing is
 * opened and nothing is run.
 */
export function engineLimits(project: Project, dialect: Dialect): readonly EngineLimit[] {
  const found: EngineLimit[] = []
  const attempt = (where: string, write: () => Sql): void => {
    try {
      renderSql(write(), dialect)
    } catch (error) {
      if (!isNaruError(error)) throw error
      found.push({ where, error })
    }
  }
  for (const { where, expr } of expressionsOf(project)) attempt(where, () => compileExpr(expr, scopeOf(dialect)))
  for (const { where, re2 } of patternsOf(project)) {
    attempt(where, () => dialect.fn('matches', [sql`${ident('value')}`, sql`${re2}`], { kind: 'bool' }))
  }
  for (const { where, name } of [...tableNames(project), ...plainColumnNames(project)])
    attempt(where, () => sql`${ident(name)}`)
  for (const { where, name } of columnNames(project)) {
    const bytes = Buffer.byteLength(name) + PREFIX_BYTES
    attempt(where, () => sql`${ident(name)}`)
    if (bytes <= dialect.identBytesMax || Buffer.byteLength(name) > dialect.identBytesMax) continue
    const why = `stages need ${PREFIX_BYTES} bytes of the ${dialect.identBytesMax} that a name may have`
    found.push({ where, error: fail('IDENT_INVALID', { name, why }) })
  }
  for (const { where, columns } of widths(project)) {
    const { columnsMax = Infinity } = dialect
    if (columns <= columnsMax) continue
    const what = `a table of ${columns} columns`
    const why = `a table has at most ${columnsMax} there, those that stages add among them`
    found.push({ where, error: fail('ENGINE_CANNOT', { engine: project.engine.kind, what, why }) })
  }
  return found
}

/** Columns that stages add to a table at most: the load of a row, its line, and what became of it. */
const CONTROL_COLUMNS = 8

/** The widest tables that a run makes. */
function widths(project: Project): readonly { readonly where: string; readonly columns: number }[] {
  const staged = project.sources.flatMap(({ tables }) =>
    tables.map(({ source, name, columns }) => ({ where: `${source}.${name}`, columns: columns.length })),
  )
  // Integration puts what the contributors give side by side.
  const merged = project.entities.map(({ name, columns, contributions }) => ({
    where: `entity ${name}`,
    columns: columns.length * Math.max(1, contributions.length),
  }))
  return [...staged, ...merged].map(({ where, columns }) => ({ where, columns: columns + CONTROL_COLUMNS }))
}

/** Throws the first of `engineLimits`: a run that would fail in the middle does not begin. */
export function refuseUnable(project: Project, dialect: Dialect): void {
  const [first] = engineLimits(project, dialect)
  if (first !== undefined) throw first.error
}

interface Placed {
  readonly where: string
  readonly expr: Expr
}

function scopeOf(dialect: Dialect): Parameters<typeof compileExpr>[1] {
  return {
    dialect,
    column: name => sql`${ident(name)}`,
    resolve: (_, by) => sql`coalesce(${by[0] ?? sql`null`}, '')`,
  }
}

function expressionsOf(project: Project): readonly Placed[] {
  const placed: Placed[] = []
  for (const entity of project.entities) placed.push(...ofEntity(project, entity))
  for (const { name, where } of project.exports) {
    if (where !== null) placed.push({ where: `export ${name}, its filter`, expr: where })
  }
  for (const { name, by, get } of project.summaries) {
    for (const { column, expr } of by) placed.push({ where: `summary ${name}, ${column}`, expr: expr.expr })
    for (const { column, of } of get) {
      if (of !== null) placed.push({ where: `summary ${name}, ${column}`, expr: of.expr })
    }
  }
  return placed
}

function ofEntity(project: Project, entity: EntityDef): readonly Placed[] {
  const placed: Placed[] = entity.cleanse.map(({ column, expr }) => ({
    where: `entity ${entity.name}, the repair of ${column}`,
    expr,
  }))
  for (const rule of entity.rules) {
    if (rule.check.kind === 'expression') {
      placed.push({ where: `entity ${entity.name}, rule ${rule.id}`, expr: rule.check.expr })
    }
  }
  for (const { as, source, table: name, map, where } of entity.contributions) {
    const table = project.sources.find(it => it.name === source)?.tables.find(it => it.name === name)
    const read = (expr: Expr): Expr => (table === undefined ? expr : stagedExpr(table, expr))
    const from = `entity ${entity.name} from ${as}`
    for (const { column, expr } of map) placed.push({ where: `${from}, ${column}`, expr: read(expr) })
    if (where !== null) placed.push({ where: `${from}, its condition`, expr: read(where) })
  }
  return placed
}

function patternsOf(project: Project): readonly { readonly where: string; readonly re2: string }[] {
  return project.entities.flatMap(entity =>
    entity.rules.flatMap(({ id, check }) =>
      check.kind === 'pattern' ? [{ where: `entity ${entity.name}, rule ${id}`, re2: check.re2 }] : [],
    ),
  )
}

interface Named {
  readonly where: string
  readonly name: string
}

/** The tables that a run makes, by their longest names. */
function tableNames(project: Project): readonly Named[] {
  const staged = project.sources.flatMap(({ tables }) =>
    tables.map(table => ({ where: `${table.source}.${table.name}`, name: `${stagedName(table)}__landing` })),
  )
  const cleansed = project.entities.flatMap(({ name, contributions }) =>
    contributions.map(({ as }) => ({ where: `entity ${name}`, name: `${name}_${as}` })),
  )
  return [
    ...staged,
    ...cleansed,
    ...project.exports.map(({ name }) => ({ where: `export ${name}`, name })),
    ...project.dimensions.map(({ name }) => ({ where: `dimension ${name}`, name: `dim_${name}` })),
    ...project.facts.map(({ name }) => ({ where: `fact ${name}`, name: `fact_${name}__restated` })),
    ...project.summaries.map(({ name }) => ({ where: `summary ${name}`, name })),
  ]
}

function columnNames(project: Project): readonly Named[] {
  return project.entities.flatMap(entity =>
    entity.columns.map(({ name }) => ({ where: `entity ${entity.name}, ${name}`, name })),
  )
}

/** Columns to which stages add nothing. */
function plainColumnNames(project: Project): readonly Named[] {
  const staged = project.sources.flatMap(({ tables }) =>
    tables.flatMap(({ source, name: table, columns }) =>
      columns.map(({ name }) => ({ where: `${source}.${table}, ${name}`, name })),
    ),
  )
  const sums = project.summaries.flatMap(({ name: summary, by, get }) =>
    [...by, ...get].map(({ column }) => ({ where: `summary ${summary}, ${column}`, name: column })),
  )
  const roles = project.facts.flatMap(({ name: fact, dims }) =>
    dims.map(({ role }) => ({ where: `fact ${fact}, ${role}`, name: `${role}_key` })),
  )
  return [...staged, ...sums, ...roles]
}
