import { ident, sql, type Ident } from '../core/sql.ts'
import type { ExportDef, Project } from '../config/model.ts'
import { isThere, type ChangeSet, type StageContext } from './context.ts'
import { columnList, countRows } from './tables.ts'

/** Keys of an export that changed and that the warehouse has not taken: rows of the database, so that a kill forgets none. */
function waitingTable(definition: ExportDef): Ident {
  return ident('naru', `waiting_${definition.name}`)
}

/** Notes the keys of a change set for a publish that comes after; with scope `all` every key. */
export async function keepWaiting(ctx: StageContext, definition: ExportDef, changes: ChangeSet): Promise<void> {
  const from = changes.scope === 'all' ? changes.table : changes.keys
  if (from === null) return
  const table = waitingTable(definition)
  const keys = sql`select ${columnList(definition.key)} from ${from}`
  if (await isThere(ctx, table)) await ctx.tx.execute(sql`insert into ${table} ${keys}`)
  else await ctx.tx.execute(sql`create table ${table} as ${keys}`)
}

/**
 * The change set with the keys that waited, which wait no longer. Each key stands in it once, and what happened to it is not
 * told: `_op` is `u`, and who takes the change set looks at the rows.
 */
export async function takeWaiting(ctx: StageContext, definition: ExportDef, changes: ChangeSet): Promise<ChangeSet> {
  const table = waitingTable(definition)
  if (!(await isThere(ctx, table)) || (await countRows(ctx.tx, table)) === 0) return changes
  if (changes.scope === 'all') {
    await ctx.tx.execute(sql`delete from ${table}`)
    return changes
  }
  const keys = ident('temp', `waited_${definition.name}`)
  const key = columnList(definition.key)
  const now = changes.keys === null ? sql`` : sql`union select ${key} from ${changes.keys}`
  const updated = await ctx.tx.replaceTemp(
    keys,
    sql`select ${key}, 'u' as "_op" from (select ${key} from ${table} ${now}) k`,
  )
  await ctx.tx.execute(sql`delete from ${table}`)
  return { table: changes.table, scope: 'delta', keys, inserted: 0, updated, deleted: 0 }
}

/** True when the warehouse has not taken everything that was published. */
export async function isWaiting(ctx: Pick<StageContext, 'tx' | 'checked'>, project: Project): Promise<boolean> {
  for (const definition of project.exports) {
    const table = waitingTable(definition)
    if ((await isThere(ctx, table)) && (await ctx.tx.rows(sql`select 1 as one from ${table} limit 1`)).length > 0) {
      return true
    }
  }
  return false
}
