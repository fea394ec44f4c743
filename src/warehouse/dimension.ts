import { fail } from '../core/errors.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { ExportDef } from '../config/model.ts'
import { holdsStill, type ChangeSet, type StageContext } from '../run/context.ts'
import { countOps } from '../run/differences.ts'
import { columnList, equalKeys } from '../run/tables.ts'
import { layOutDimension, timeColumns, visibleColumns, type DimensionLayout } from './dimension-layout.ts'
import { recordRestatements } from './restatement.ts'
import { assertRanges } from './ranges.ts'
import { ensureTable, type HistoryDimensionDef } from './tables.ts'
import { changedVersions, nextVersions, seenChanges } from './versions.ts'

export interface DimensionInput {
  readonly definition: HistoryDimensionDef
  readonly exportDef: ExportDef
  readonly changes: ChangeSet
  /** The definition is not the one of the last load: every member is compared. */
  readonly rebuild?: boolean
}

/** What a load did to a dimension, and what facts and summaries need of it. */
export interface DimensionChanges {
  readonly name: string
  readonly table: Ident
  /** Versions opened, versions changed in place or closed, versions taken out. */
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
  /** Temporary table of the natural keys whose ranges are not what they were: facts of these may join another version. */
  readonly moved: Ident | null
  /** Attributes of existing versions changed, so a fact may belong to another group without being touched. */
  readonly relabelled: boolean
}

/**
 * Brings a dimension with history up to its export: M63 (change type per column), M65 (late changes go into the middle),
 * M69 (deletes and returns), M70 (an empty export closes nothing). Nothing is forgotten: what is changed after the fact
 * is recorded in `naru.restatement`.
 */
export async function loadDimension(ctx: StageContext, input: DimensionInput): Promise<DimensionChanges> {
  const layout = layOutDimension(ctx, input.definition, input.exportDef)
  const shape = await ensureDimension(ctx, layout)
  if (shape === 'created') await addUnknownMember(ctx, layout)
  const whole = shape === 'widened' || input.rebuild === true || input.changes.scope === 'all'
  if (!whole && input.changes.keys === null) return nothing(layout)

  await collectTouched(ctx, layout, whole ? null : input.changes.keys)
  await ctx.tx.replaceTemp(layout.temp('seen'), seenChanges(layout, whole ? undefined : input.changes.rows))
  await refuseEmptied(ctx, layout)
  await ctx.tx.replaceTemp(layout.temp('next'), nextVersions(layout))
  await ctx.tx.replaceTemp(layout.temp('changed'), changedVersions(layout))
  const changes = await describeChanges(ctx, layout)
  await recordRestatements(ctx, layout)
  await writeVersions(ctx, layout)
  await assertRanges(ctx, layout)
  ctx.env.crash('warehouse.apply.after')
  return changes
}

async function ensureDimension(ctx: StageContext, layout: DimensionLayout): Promise<'created' | 'widened' | 'kept'> {
  let shape: 'created' | 'widened' | 'kept' = 'kept'
  await holdsStill(ctx, `shape ${layout.table.path.join('.')} ${JSON.stringify(layout.columns)}`, async () => {
    shape = await ensureTable(ctx.tx, layout.table, layout.columns)
    return shape === 'kept'
  })
  return shape
}

/** Key 0 stands for "no such member": facts join it where a key is NULL or its member has not come yet (M67). */
async function addUnknownMember(ctx: StageContext, layout: DimensionLayout): Promise<void> {
  await ctx.tx.execute(sql`
    insert into ${layout.table}
      (${ident(layout.surrogate)}, valid_from, valid_to, is_current, is_deleted, "_effective", "_run")
    values (0, '-infinity', 'infinity', true, false, '-infinity', ${ctx.run.id})`)
}

async function collectTouched(ctx: StageContext, layout: DimensionLayout, keys: Ident | null): Promise<void> {
  const key = columnList(layout.key)
  const known = sql`select ${key} from ${layout.table} where ${ident(layout.surrogate)} <> 0`
  const touched =
    keys === null ? sql`select ${key} from ${layout.source} union ${known}` : sql`select distinct ${key} from ${keys}`
  await ctx.tx.replaceTemp(layout.temp('touched'), touched)
}

/** M70: a source that was found empty by mistake must not close the history of everything. */
async function refuseEmptied(ctx: StageContext, layout: DimensionLayout): Promise<void> {
  if (layout.definition.onDelete === 'keep') return
  const [exported] = await ctx.tx.rows(sql`select 1 as one from ${layout.source} limit 1`)
  if (exported !== undefined) return
  const [row] = await ctx.tx.rows(sql`
    select count(*) as n from ${layout.table} where ${ident(layout.surrogate)} <> 0 and is_current and not is_deleted`)
  const members = Number(row?.['n'])
  if (members === 0) return
  throw fail('DIMENSION_EMPTIED', { dimension: layout.definition.name, export: layout.definition.export, members })
}

async function describeChanges(ctx: StageContext, layout: DimensionLayout): Promise<DimensionChanges> {
  const changed = layout.temp('changed')
  const counts = await countOps(ctx.tx, changed)
  const moved = layout.temp('moved')
  await ctx.tx.replaceTemp(moved, sql`select distinct ${columnList(layout.key)} from ${changed} where "_moved"`)
  const [row] = await ctx.tx.rows(sql`
    select (select count(*) from ${moved}) as moved,
      (select count(*) from ${changed} where "_relabelled" or "_op" = 'd') as relabelled`)
  return {
    name: layout.definition.name,
    table: layout.table,
    ...counts,
    moved: Number(row?.['moved']) > 0 ? moved : null,
    relabelled: Number(row?.['relabelled']) > 0,
  }
}

async function writeVersions(ctx: StageContext, layout: DimensionLayout): Promise<void> {
  const { tx } = ctx
  const changed = layout.temp('changed')
  const surrogate = ident(layout.surrogate)
  const columns = [...visibleColumns(layout), ...timeColumns]
  const sets: Sql[] = columns.map(name => sql`${ident(name)} = ${ident('c', name)}`)
  await tx.execute(sql`
    delete from ${layout.table} where ${surrogate} in (select ${surrogate} from ${changed} where "_op" = 'd')`)
  await tx.execute(sql`
    update ${layout.table} v set ${joinSql(sets)}, "_run" = ${ctx.run.id}
    from ${changed} c where c."_op" = 'u' and ${equalKeys('v', 'c', [layout.surrogate])}`)
  await tx.execute(sql`
    insert into ${layout.table} (${surrogate}, ${columnList(columns)}, "_run")
    select ${lastSurrogate(layout)} + row_number() over (order by ${columnList(layout.key)}, "_effective"),
      ${columnList(columns)}, ${ctx.run.id}
    from ${changed} where "_op" = 'i'`)
}

/** A number that was ever given out is not given again: restated facts still name versions that were taken out. */
function lastSurrogate(layout: DimensionLayout): Sql {
  return sql`greatest(
    (select max(${ident(layout.surrogate)}) from ${layout.table}),
    (select coalesce(max(surrogate), 0) from naru.restatement where "table" = ${layout.table.path.join('.')}))`
}

function nothing(layout: DimensionLayout): DimensionChanges {
  const none = { inserted: 0, updated: 0, deleted: 0, moved: null, relabelled: false }
  return { name: layout.definition.name, table: layout.table, ...none }
}
