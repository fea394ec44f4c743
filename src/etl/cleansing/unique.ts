import { hashOf } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { StageContext } from '../../run/context.ts'
import { checkedRows, isBad, type Control } from './controls.ts'
import { sameId, type Layout } from './layout.ts'
import type { Work } from './prepare.ts'
import type { Relation } from './relation.ts'

type Unique = Extract<Control, { kind: 'unique' }>

/** The rows that uniqueness is decided among. */
interface Rows {
  readonly work: Work
  readonly relation: Relation
  readonly controls: readonly Control[]
}

/**
 * Finds the rows that repeat the values of another. One row of each group passes: a row of the cleansed table that is
 * not being changed, else a good one before a bad one, else the one that had the values already, else the smallest id.
 * Values with a NULL part pass. The others stand in the temporary table `repeated`; gives their number by control.
 */
export async function findRepeated(
  ctx: StageContext,
  layout: Layout,
  rows: Rows,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  const repeated = layout.temp('repeated')
  const ids = joinSql(layout.ids.map(id => ident('r', id)))
  for (const control of rows.controls) {
    if (control.kind !== 'unique') continue
    if (!(await findCandidates(ctx, layout, rows, control))) continue
    if (counts.size === 0) {
      await ctx.tx.replaceTemp(
        repeated,
        sql`select cast(${control.id} as varchar) as "_control", ${ids} from (${rows.relation.query}) r where false`,
      )
    }
    const found = await ctx.tx.execute(sql`
      insert into ${repeated} ${losers(layout, rows, control)}`)
    counts.set(control.id, found)
  }
  return counts
}

function present(control: Unique): Sql {
  return joinSql(
    control.columns.map(column => sql`${ident('r', column)} is not null`),
    ' and ',
  )
}

function valuesIn(alias: string, control: Unique): readonly Ident[] {
  return control.columns.map(column => ident(alias, column))
}

function sameValues(control: Unique, a: string, b: string): Sql {
  return joinSql(
    control.columns.map(column => sql`${ident(a, column)} = ${ident(b, column)}`),
    ' and ',
  )
}

/**
 * Narrows the rows to look at. Over a whole table: hashes of values that occur twice, which costs half of grouping the
 * values; a collision only adds a candidate. In a delta: the values that rows outside of it hold already.
 */
async function findCandidates(ctx: StageContext, layout: Layout, rows: Rows, control: Unique): Promise<boolean> {
  const { work, relation } = rows
  const candidates = layout.temp('candidates')
  if (work.touched === null) {
    await ctx.tx.replaceTemp(
      candidates,
      sql`select ${hashOf(valuesIn('r', control))} as h from (${relation.query}) r where ${present(control)}
      group by 1 having count(*) > 1`,
    )
    return (await ctx.tx.rows(sql`select 1 as one from ${candidates} limit 1`)).length > 0
  }
  await ctx.tx.replaceTemp(
    candidates,
    sql`select distinct ${joinSql(valuesIn('t', control))} from ${layout.target} t
    where exists (select 1 from (${relation.query}) r where ${sameValues(control, 't', 'r')})
      and not exists (select 1 from ${work.touched} k where ${sameId(layout, 't', 'k')})`,
  )
  return true
}

/** The rows of each group but the one that passes, with the name of the control. */
function losers(layout: Layout, { work, relation, controls }: Rows, control: Unique): Sql {
  const candidates = layout.temp('candidates')
  const ids = joinSql(layout.ids.map(id => ident('r', id)))
  const isDelta = work.touched !== null
  const narrowed = isDelta
    ? sql`left join ${candidates} o on ${sameValues(control, 'o', 'r')}`
    : sql`join ${candidates} o on o.h = ${hashOf(valuesIn('r', control))}`
  const taken = isDelta ? sql`${ident('o', control.columns[0] as string)} is not null` : sql`false`
  const incumbent = work.fill ? sql`false` : sql`t."_held" is not null`
  const before = work.fill
    ? sql``
    : sql`left join ${work.old} t on ${sameId(layout, 't', 'r')} and ${sameValues(control, 't', 'r')}`
  return sql`
    select ${control.id}, ${joinSql(layout.ids.map(id => ident('w', id)))} from (
      select ${ids}, ${taken} as "_taken", row_number() over (
        partition by ${joinSql(valuesIn('r', control))} order by ${isBad(controls)}, ${incumbent} desc, ${ids}) as "_nth"
      from ${checkedRows(relation, controls)} ${narrowed} ${before}
      where ${present(control)}) w
    where "_nth" > 1 or "_taken"`
}
