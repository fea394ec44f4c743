import { asText } from '../../core/dialect-functions.ts'
import { compileExpr, type Expr } from '../../core/expr.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { StageContext } from '../../run/context.ts'
import { castTo, failuresOf, whereOf, type Failure, type MappedColumn } from '../../run/mapping.ts'
import { fixedColumns } from './clear.ts'
import { idValues, ofFeed, type Layout } from './layout.ts'

/** A value that a cast or an exhaustive map could not carry over. */
export interface Loss {
  /** `delay.cast`, `status.map`, `_where.cast`: the built-in control that the row breaks. */
  readonly id: string
  readonly column: string
  /** Columns of the relation: whether it happened, and the text that did not fit. */
  readonly flag: string
  readonly raw: string
  readonly failed: Sql
  readonly rawText: Sql
  readonly personal: boolean
}

/**
 * The rows of one contribution as a query: ids, `_load`, for each entity column `c` the mapped value `_m_c` and the
 * repaired value `c`, the losses, and `_row`, the row as JSON. The engine computes only what a statement reads.
 */
export interface Relation {
  readonly query: Sql
  /** The same over another table with the staged columns: some of the rows, put aside. */
  over(source: Ident): Sql
  readonly losses: readonly Loss[]
  /** Columns with a repair. */
  readonly repaired: readonly string[]
  /** Columns with a fix; `_o_c` is the value before it. */
  readonly fixed: readonly string[]
}

/** Longest text of one value that quarantine shows. */
const SHOWN_CHARACTERS = 1_000

/** Reads the contribution's rows from `source`, which has the staged columns. */
export async function relationOf(ctx: StageContext, layout: Layout, source: Ident): Promise<Relation> {
  const losses = [...mappingLosses(layout), ...whereLosses(ctx, layout)]
  const fixed = await fixedColumns(ctx, layout)
  const repairs = repairLosses(ctx, layout)
  const over = (from: Ident): Sql => {
    const staged = mapped(ctx, layout, from, losses)
    const rows = layout.keying === 'identities' ? groupIdentities(layout, staged, losses) : staged
    const overridden = fixed.length === 0 ? rows : withFixes(ctx, layout, rows, { losses, fixed })
    return withRepairs(ctx, layout, overridden, { losses, repairs, fixed })
  }
  return {
    query: over(source),
    over,
    losses: [...losses, ...repairs],
    repaired: repairsOf(layout).map(repair => repair.column),
    fixed,
  }
}

function mappingLosses(layout: Layout): readonly Loss[] {
  return layout.columns.flatMap(c => lossesOf('_f', c.column.name, c.failures, c.personal))
}

function whereLosses(ctx: StageContext, layout: Layout): readonly Loss[] {
  const where = whereOf(ctx.project, ctx.tx.dialect, layout.feed, 's')
  const personal = layout.feed.table.columns.some(column => column.personal)
  return where === null ? [] : lossesOf('_f', '_where', where.failures, personal)
}

function repairLosses(ctx: StageContext, layout: Layout): readonly Loss[] {
  return repairsOf(layout).flatMap(({ column, expr }) => {
    const personal = layout.columns.some(c => c.column.name === column && c.personal)
    return lossesOf('_g', column, failuresOf(expr, mappedScope(ctx)), personal)
  })
}

/** One loss for each kind of failure, however many casts the expression has. */
function lossesOf(prefix: string, column: string, failures: readonly Failure[], personal: boolean): readonly Loss[] {
  return (['cast', 'map'] as const).flatMap(kind => {
    const own = failures.filter(failure => failure.kind === kind)
    if (own.length === 0) return []
    const raws = own.map(({ failed, raw }) => sql`case when ${failed} then substr(${raw}, 1, ${SHOWN_CHARACTERS}) end`)
    return [
      {
        id: `${column}.${kind}`,
        column,
        flag: `${prefix}_${kind}_${column}`,
        raw: `${prefix}_${kind}raw_${column}`,
        failed: sql`coalesce(${joinSql(
          own.map(f => f.failed),
          ' or ',
        )}, false)`,
        rawText: sql`coalesce(${joinSql([...raws, sql`${null}`])})`,
        personal,
      },
    ]
  })
}

function mapped(ctx: StageContext, layout: Layout, source: Ident, losses: readonly Loss[]): Sql {
  const where = whereOf(ctx.project, ctx.tx.dialect, layout.feed, 's')
  const unknown = losses.filter(loss => loss.column === '_where').map(loss => sql` or ${loss.failed}`)
  const columns = [
    idValues(layout),
    sql`${ident('s', '_load')} as "_load"`,
    ...layout.columns.map(c => sql`${c.value} as ${ident(`_m_${c.column.name}`)}`),
    ...losses.flatMap(lossColumns),
    sql`${stagedRowJson(layout)} as "_row"`,
  ]
  // A row whose condition cannot be computed is not left out silently: it goes on as a loss.
  const condition = where === null ? sql`` : sql`where (${where.passes})${joinSql(unknown, '')}`
  return sql`select ${joinSql(columns)} from ${source} s ${condition}`
}

function lossColumns(loss: Loss): readonly Sql[] {
  return [sql`${loss.failed} as ${ident(loss.flag)}`, sql`${loss.rawText} as ${ident(loss.raw)}`]
}

/** Rows with the same mapped values count as one; if one of them lost a value, all are set aside together. */
function groupIdentities(layout: Layout, rows: Sql, losses: readonly Loss[]): Sql {
  const ids = layout.ids.map(id => sql`${ident('g', id)}`)
  const columns = [
    ...ids,
    sql`max(g."_load") as "_load"`,
    sql`count(*) as "_rows"`,
    ...layout.columns.map(c => sql`min(${ident('g', `_m_${c.column.name}`)}) as ${ident(`_m_${c.column.name}`)}`),
    ...losses.flatMap(loss => [
      sql`bool_or(${ident('g', loss.flag)}) as ${ident(loss.flag)}`,
      sql`min(${ident('g', loss.raw)}) as ${ident(loss.raw)}`,
    ]),
    sql`min(g."_row") as "_row"`,
  ]
  return sql`select ${joinSql(columns)} from (${rows}) g group by ${joinSql(ids)}`
}

/** Values that a person set for one version of a row, until the source sends another. */
function withFixes(
  ctx: StageContext,
  layout: Layout,
  rows: Sql,
  { losses, fixed }: { readonly losses: readonly Loss[]; readonly fixed: readonly string[] },
): Sql {
  const { dialect } = ctx.tx
  const set = (column: string): Sql => sql`coalesce(${ident('f', `h_${column}`)}, false)`
  const pivot = fixed.flatMap(column => [
    sql`max(case when "column" = ${column} then value end) as ${ident(`v_${column}`)}`,
    sql`bool_or("column" = ${column}) as ${ident(`h_${column}`)}`,
  ])
  const value = ({ column }: MappedColumn): Sql =>
    fixed.includes(column.name)
      ? sql`case when ${set(column.name)} then ${dialect.tryCast(sql`${ident('f', `v_${column.name}`)}`, column.type)}
          else ${ident('p', `_m_${column.name}`)} end`
      : sql`${ident('p', `_m_${column.name}`)}`
  const columns = [
    ...carried(layout, 'p'),
    ...layout.columns.map(c => sql`${value(c)} as ${ident(`_m_${c.column.name}`)}`),
    ...fixed.map(column => sql`${ident('p', `_m_${column}`)} as ${ident(`_o_${column}`)}`),
    ...losses.flatMap(loss => [
      fixed.includes(loss.column)
        ? sql`(${ident('p', loss.flag)} and not ${set(loss.column)}) as ${ident(loss.flag)}`
        : sql`${ident('p', loss.flag)}`,
      sql`${ident('p', loss.raw)}`,
    ]),
  ]
  return sql`
    select ${joinSql(columns)} from (${rows}) p
    left join (
      select key, load, ${joinSql(pivot)} from naru.quarantine_fix where ${ofFeed(layout.feed)} group by key, load) f
    on f.key = ${layout.keyOf('p')} and f.load = p."_load"`
}

/** Columns that every level of the relation hands on. */
function carried(layout: Layout, alias: string): readonly Sql[] {
  const own = layout.keying === 'identities' ? ['_load', '_row', '_rows'] : ['_load', '_row']
  return [...layout.ids, ...own].map(name => sql`${ident(alias, name)}`)
}

function withRepairs(
  ctx: StageContext,
  layout: Layout,
  rows: Sql,
  parts: { readonly losses: readonly Loss[]; readonly repairs: readonly Loss[]; readonly fixed: readonly string[] },
): Sql {
  const scope = mappedScope(ctx)
  const repairs = new Map(repairsOf(layout).map(repair => [repair.column, repair.expr]))
  const value = (name: string): Sql => {
    const repair = repairs.get(name)
    return repair === undefined ? sql`${ident('p', `_m_${name}`)}` : compileExpr(repair, scope)
  }
  // With direct keys the ids are columns of the entity themselves.
  const names = layout.columns.map(c => c.column.name)
  const handedOn = carried(layout, 'p').filter((_, i) => !names.includes(layout.ids[i] ?? ''))
  const columns = [
    ...handedOn,
    ...names.map(name => sql`${ident('p', `_m_${name}`)}`),
    ...names.map(name => sql`${value(name)} as ${ident(name)}`),
    ...parts.fixed.map(column => sql`${ident('p', `_o_${column}`)}`),
    ...parts.losses.flatMap(loss => [sql`${ident('p', loss.flag)}`, sql`${ident('p', loss.raw)}`]),
    ...parts.repairs.flatMap(lossColumns),
  ]
  return sql`select ${joinSql(columns)} from (${rows}) p`
}

function mappedScope(ctx: StageContext): { dialect: StageContext['tx']['dialect']; column: (name: string) => Sql } {
  return { dialect: ctx.tx.dialect, column: name => sql`${ident('p', `_m_${name}`)}` }
}

/** The entity's repairs, in the type of their column. A column that the contributor does not give is not repaired. */
function repairsOf(layout: Layout): readonly { readonly column: string; readonly expr: Expr }[] {
  return layout.feed.entity.cleanse.flatMap(({ column, expr }) => {
    const mapped = layout.columns.find(c => c.column.name === column)
    if (mapped === undefined || !mapped.given) return []
    return [{ column, expr: castTo(expr, mapped.column.type) }]
  })
}

/** The staged row as JSON, every value as text; personal values masked: the row itself stays in staging. */
function stagedRowJson(layout: Layout): Sql {
  const feeding = new Set(layout.columns.filter(c => c.personal).flatMap(c => c.reads))
  return jsonText(
    layout.feed.table.columns.map(column => ({
      name: column.name,
      value: column.personal || feeding.has(column.name) ? null : sql`${ident('s', column.name)}`,
    })),
  )
}

/** A JSON object of texts; a `null` value stands for a masked one. */
export function jsonText(fields: readonly { readonly name: string; readonly value: Sql | null }[]): Sql {
  const members = fields.map(({ name, value }) => {
    const label = `${JSON.stringify(name)}:`
    if (value === null) return sql`${`${label}"***"`}`
    const shown = sql`substr(${asText(value)}, 1, ${SHOWN_CHARACTERS})`
    return sql`${label} || coalesce(cast(to_json(${shown}) as varchar), 'null')`
  })
  return sql`'{' || concat_ws(',', ${joinSql(members)}) || '}'`
}
