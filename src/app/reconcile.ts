import { fail } from '../core/errors.ts'
import { ident, sql, type Ident, type Sql } from '../core/sql.ts'
import type { Project } from '../config/model.ts'
import type { StageContext } from '../run/context.ts'
import { stagedName } from '../run/tables.ts'

/** Rows in, rows out and rows set aside between two tables of the journey, for every run: the last control of a run. */
export const stageControlTable: Sql = sql`create table if not exists naru.stage_control (
  run bigint, "from" varchar, "to" varchar, rows_in bigint, rows_out bigint, aside bigint)`

interface Equation {
  readonly from: Ident
  readonly to: Ident
  /** Condition on the rows of `to` that count. */
  readonly counted?: Sql
  /** Number of rows that were set aside between the two. */
  readonly aside?: Sql
}

/**
 * Compares the rows of each table with those of the one before it, over the whole tables: what came in is there or is
 * set aside (M25). Throws `STAGES_DISAGREE`, so that nothing is published when a stage lost a row.
 */
export async function reconcileStages(ctx: StageContext): Promise<void> {
  for (const equation of equationsOf(ctx.project)) {
    const { from, to, counted = sql`true`, aside = sql`0` } = equation
    if (!(await ctx.tx.exists(from)) || !(await ctx.tx.exists(to))) continue
    const [row] = await ctx.tx.rows(sql`
      select (select count(*) from ${from}) as rows_in,
        (select count(*) from ${to} where ${counted}) as rows_out, ${aside} as aside`)
    const figures = {
      from: from.path.join('.'),
      to: to.path.join('.'),
      rowsIn: Number(row?.['rows_in']),
      rowsOut: Number(row?.['rows_out']),
      aside: Number(row?.['aside']),
    }
    if (figures.rowsIn !== figures.rowsOut + figures.aside) throw fail('STAGES_DISAGREE', figures)
    await ctx.tx.execute(sql`
      insert into naru.stage_control values (${ctx.run.id}, ${figures.from}, ${figures.to}, ${figures.rowsIn},
        ${figures.rowsOut}, ${figures.aside})`)
  }
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
    .map(it => ({ from: ident('ods', it.entity), to: ident('export', it.name) }))
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
