import { fail } from '../core/errors.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { Project } from '../config/model.ts'
import { isThere, type StageContext } from '../run/context.ts'
import { stagedName } from '../run/tables.ts'

/** Rows in, rows out and rows set aside between two tables of the journey, for every run: the last control of a run. */
export const stageControlTable: Sql = sql`create table if not exists naru.stage_control (
  run bigint, "from" varchar, "to" varchar, rows_in bigint, rows_out bigint, aside bigint)`

interface Equation {
  readonly from: Ident
  readonly to: Ident
  /** `to` shows the rows of `from` as they are: it cannot differ. */
  readonly isView?: boolean
  /** Condition on the rows of `to` that count. */
  readonly counted?: Sql
  /** Number of rows that were set aside between the two. */
  readonly aside?: Sql
}

/**
 * Compares the rows of each table with those of the one before it, over the whole tables: what came in is there or is
 * set aside (M25). A publish among many small ones leaves out pairs of which no table is among the `changed` ones. Throws `STAGES_DISAGREE`, so that nothing is published when a stage lost a row.
 */
export async function reconcileStages(ctx: StageContext, changed?: ReadonlySet<string>): Promise<void> {
  const equations: Equation[] = []
  const later = ctx.warehouse === 'later'
  for (const equation of equationsOf(ctx.project)) {
    if (later && equation.to.path[0] === 'dw') continue
    if (ctx.controls === 'changes' && (equation.isView === true || isStill(equation, changed))) continue
    if ((await isThere(ctx, equation.from)) && (await isThere(ctx, equation.to))) equations.push(equation)
  }
  if (equations.length === 0) return
  const [row] = await ctx.tx.rows(sql`select ${joinSql(equations.flatMap(countsOf))}`)
  const compared = equations.map(({ from, to }, i) => ({
    from: from.path.join('.'),
    to: to.path.join('.'),
    rowsIn: Number(row?.[`in${i}`]),
    rowsOut: Number(row?.[`out${i}`]),
    aside: Number(row?.[`aside${i}`]),
  }))
  for (const figures of compared) {
    if (figures.rowsIn !== figures.rowsOut + figures.aside) throw fail('STAGES_DISAGREE', figures)
  }
  if (ctx.controls === 'changes') return
  const rows = compared.map(it => sql`(${ctx.run.id}, ${it.from}, ${it.to}, ${it.rowsIn}, ${it.rowsOut}, ${it.aside})`)
  await ctx.tx.execute(sql`insert into naru.stage_control values ${joinSql(rows)}`)
}

/** What the warehouse takes now may have changed in an earlier publish. */
function isStill({ from, to }: Equation, changed: ReadonlySet<string> | undefined): boolean {
  if (changed === undefined || to.path[0] === 'dw') return false
  return ![from, to].some(it => changed.has(it.path.join('.')))
}

/** The counts of an equation, numbered: all of them stand in one statement. */
function countsOf({ from, to, counted = sql`true`, aside = sql`0` }: Equation, i: number): readonly Sql[] {
  return [
    sql`(select count(*) from ${from}) as ${ident(`in${i}`)}`,
    sql`(select count(*) from ${to} where ${counted}) as ${ident(`out${i}`)}`,
    sql`${aside} as ${ident(`aside${i}`)}`,
  ]
}

/** The pairs of tables where every row must be accounted for. Filters and matches let rows go, and stand in none. */
function equationsOf(project: Project): readonly Equation[] {
  const cleansed = project.entities.flatMap(entity =>
    entity.contributions
      .filter(it => it.match === null && it.where === null)
      .map(it => ({
        from: ident('staging', stagedName({ source: it.source, name: it.table })),
        to: ident('cleansed', `${entity.name}_${it.as}`),
        // A held row is in quarantine and, in its older version, in the table as well.
        aside: sql`(select count(*) from naru.quarantine
          where entity = ${entity.name} and contributor = ${it.as} and state <> 'resolved' and not held)`,
      })),
  )
  const exported = project.exports
    .filter(it => it.where === null)
    .map(it => ({ from: ident('ods', it.entity), to: ident('export', it.name), isView: it.masks.length === 0 }))
  const members = project.dimensions.flatMap(it =>
    it.kind === 'calendar' || it.onDelete === 'keep'
      ? []
      : [
          {
            from: ident('export', it.export),
            to: ident('dw', `dim_${it.name}`),
            counted: sql`is_current and not is_deleted and ${ident(`${it.name}_key`)} <> 0`,
          },
        ],
  )
  return [...cleansed, ...exported, ...members]
}
