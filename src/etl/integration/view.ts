import { ident, sql, type Ident } from '../../core/sql.ts'
import type { EntityDef } from '../../config/model.ts'
import { filled, holdsStill, type ChangeSet, type StageContext } from '../../run/context.ts'
import { cleansedTable } from '../../run/mapping.ts'
import { columnList, countRows, declaredColumns, dropRelation, dropViewsOf, kindOfRelation } from '../../run/tables.ts'
import { columnsOf, type Contributed } from './golden.ts'

/** An entity of one contributor has nothing to resolve: its golden records are its cleansed rows, seen through a view. */
export async function exposeCleansed(
  ctx: StageContext,
  entity: EntityDef,
  from: Contributed,
  rebuild: boolean,
): Promise<ChangeSet> {
  const view = ident('ods', entity.name)
  if (!rebuild && (await isCurrent(ctx, view, entity))) return { ...from.changes, table: view }
  const had = await kindOfRelation(ctx.tx, view)
  await dropViewsOf(ctx.tx, ctx.project, entity)
  await dropRelation(ctx.tx, view)
  const columns = columnList([...entity.columns.map(column => column.name), '_held'])
  await ctx.tx.execute(sql`create view ${view} as select ${columns} from ${cleansedTable(entity, from.contribution)}`)
  await forget(ctx, entity)
  return had === 'view' ? { ...from.changes, table: view } : filled(view, await countRows(ctx.tx, view))
}

function isCurrent(ctx: StageContext, view: Ident, entity: EntityDef): Promise<boolean> {
  return isForm(ctx, view, 'view', entity)
}

/** True when there is a relation of this kind with exactly the entity's columns. */
export function isForm(
  ctx: StageContext,
  relation: Ident,
  kind: 'view' | 'table',
  entity: EntityDef,
): Promise<boolean> {
  return holdsStill(
    ctx,
    `${kind} ${relation.path.join('.')} ${JSON.stringify(entity.columns)}`,
    async () => (await kindOfRelation(ctx.tx, relation)) === kind && hasColumns(ctx, relation, entity),
  )
}

/** True when the relation begins with exactly the entity's columns, in order and type. */
async function hasColumns(ctx: StageContext, relation: Ident, entity: EntityDef): Promise<boolean> {
  const found = (await columnsOf(ctx, relation)).filter(column => !column.name.startsWith('_'))
  const asked = await declaredColumns(ctx.tx, entity.columns)
  return JSON.stringify(found) === JSON.stringify(asked)
}

/** What was remembered while the entity had several contributors. */
async function forget(ctx: StageContext, entity: EntityDef): Promise<void> {
  for (const table of ['crosswalk', 'conflict', 'match_basis']) {
    await ctx.tx.execute(sql`delete from ${ident('naru', table)} where entity = ${entity.name}`)
  }
}
