import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import {
  changedBy,
  filled,
  rowsChanged,
  type ChangeCounts,
  type ChangeSet,
  type StageContext,
} from '../../run/context.ts'
import { countOps } from '../../run/differences.ts'
import { sameId, sameKey, type Layout } from './layout.ts'
import type { Work } from './prepare.ts'
import type { Relation } from './relation.ts'

/** Writes the rows that passed, holds the previous version of those that did not, and tells which keys changed. */
export async function apply(
  ctx: StageContext,
  layout: Layout,
  rows: { readonly work: Work; readonly relation: Relation; readonly bad: boolean },
): Promise<ChangeSet> {
  if (rows.work.fill) return fill(ctx, layout, rows)

  const good = await ctx.tx.replaceTemp(layout.temp('good'), goodRows(layout, rows))
  const keys = layout.temp('changes')
  await ctx.tx.replaceTemp(keys, differences(layout, rows.work.old, rows.bad))
  const counts = await countOps(ctx.tx, keys)
  if (rows.work.taken) return putBack(ctx, layout, { ...rows, counts, good })
  if (rowsChanged(counts) > 0) await replaceRows(ctx, layout)
  if (layout.keying === 'identities') await recountRows(ctx, layout)
  if (!rows.bad) return changedBy(layout.target, keys, counts)
  await holdRows(ctx, layout)
  return changedBy(layout.target, keys, await countOps(ctx.tx, keys))
}

/** The stored columns of the rows that are not set aside. */
function goodRows(layout: Layout, { relation, bad }: { readonly relation: Relation; readonly bad: boolean }): Sql {
  const columns = columnsIn(layout, 'r')
  const passes = bad
    ? sql`where not exists (select 1 from ${layout.temp('bad')} b where ${sameId(layout, 'b', 'r')})`
    : sql``
  return sql`select ${columns}, false as "_held" from (${relation.query}) r ${passes}`
}

function columnsIn(layout: Layout, alias: string): Sql {
  return joinSql(layout.stored.map(column => ident(alias, column.name)))
}

/** The first filling goes straight from staging to the table: nothing wide is put aside. */
async function fill(
  ctx: StageContext,
  layout: Layout,
  rows: { readonly relation: Relation; readonly bad: boolean },
): Promise<ChangeSet> {
  const inserted = await ctx.tx.execute(sql`insert into ${layout.target} ${goodRows(layout, rows)}`)
  return filled(layout.target, inserted)
}

/** The keys that differ between the good rows and the table, with what happened to each. */
function differences(layout: Layout, old: Ident, bad: boolean): Sql {
  const good = layout.temp('good')
  const key = (alias: string): Sql => joinSql(layout.key.map(name => ident(alias, name)))
  const compared = layout.stored.filter(column => column.name !== '_rows' && !layout.key.includes(column.name))
  const anyDiffers = compared.map(({ name }) => sql` or ${ident('g', name)} is distinct from ${ident('t', name)}`)
  return sql`
    select ${key('g')}, case when t."_held" is null then 'i' else 'u' end as "_op"
    from ${good} g left join ${old} t on ${sameKey(layout, 'g', 't')}
    where t."_held" is null or t."_held"${joinSql(anyDiffers, '')}
    union all
    select ${key('t')}, 'd' from ${old} t
    where not exists (select 1 from ${good} g where ${sameKey(layout, 'g', 't')})
      ${bad ? sql`and not exists (select 1 from ${layout.temp('bad')} b where ${sameId(layout, 'b', 't')})` : sql``}`
}

/** The good rows that differ from the table. */
function changedGood(layout: Layout): Sql {
  return sql`select ${columnsIn(layout, 'g')}, g."_held"
    from ${layout.temp('good')} g join ${layout.temp('changes')} c on ${sameKey(layout, 'g', 'c')}`
}

/** Writes the good rows into the table that the old ones were taken out of, and the versions that are held. */
async function putBack(
  ctx: StageContext,
  layout: Layout,
  it: { readonly work: Work; readonly bad: boolean; readonly counts: ChangeCounts; readonly good: number },
): Promise<ChangeSet> {
  const { tx } = ctx
  const { target } = layout
  const [good, keys, next] = [layout.temp('good'), layout.temp('changes'), layout.temp('rows')]
  await tx.execute(sql`insert into ${target} select * from ${good}`)
  if (it.bad) {
    const held = sql`from ${it.work.old} o join ${layout.temp('bad')} b on ${sameId(layout, 'b', 'o')}`
    const key = joinSql(layout.key.map(name => ident('o', name)))
    await tx.execute(sql`insert into ${target} select ${columnsIn(layout, 'o')}, true ${held}`)
    await tx.execute(sql`insert into ${keys} select ${key}, 'u' ${held} where not o."_held"`)
    return changedBy(target, keys, await countOps(tx, keys))
  }
  // Mostly all of them differ; then they are what is handed on.
  if (it.counts.inserted + it.counts.updated === it.good) return changedBy(target, keys, it.counts, good)
  if (rowsChanged(it.counts) > 0) await tx.replaceTemp(next, changedGood(layout))
  return changedBy(target, keys, it.counts, next)
}

async function replaceRows(ctx: StageContext, layout: Layout): Promise<void> {
  const { tx } = ctx
  const { target } = layout
  const keys = layout.temp('changes')
  await tx.execute(sql`delete from ${target} t using ${keys} c where ${sameKey(layout, 't', 'c')}`)
  await tx.execute(sql`insert into ${target} ${changedGood(layout)}`)
}

/** How many staged rows stand behind an identity is no change of its values. */
async function recountRows(ctx: StageContext, layout: Layout): Promise<void> {
  await ctx.tx.execute(sql`
    update ${layout.target} t set "_rows" = g."_rows" from ${layout.temp('good')} g
    where ${sameId(layout, 't', 'g')} and t."_rows" <> g."_rows"`)
}

/** A version that stays because the newer one is in quarantine is flagged; the flag is a change that others see. */
async function holdRows(ctx: StageContext, layout: Layout): Promise<void> {
  const { target } = layout
  const bad = layout.temp('bad')
  const isHeld = sql`${sameId(layout, 'b', 't')} and not t."_held"`
  const key = joinSql(layout.key.map(name => ident('t', name)))
  await ctx.tx.execute(sql`
    insert into ${layout.temp('changes')} select ${key}, 'u' from ${target} t join ${bad} b on ${isHeld}`)
  await ctx.tx.execute(sql`update ${target} t set "_held" = true from ${bad} b where ${isHeld}`)
}
