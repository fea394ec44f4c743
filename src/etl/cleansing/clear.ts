import { sql } from '../../core/sql.ts'
import { holdsStill, type StageContext } from '../../run/context.ts'
import { ofFeed, type Layout } from './layout.ts'

function clearMark({ target }: Layout): string {
  return `nothing in quarantine of ${target.path.join('.')}`
}

/**
 * True when no row of the feed waits in quarantine. That stays so until a publish of ours sets a row aside: people mark and mend
 * only rows that wait.
 */
export function isClear(ctx: StageContext, layout: Layout): Promise<boolean> {
  const some = sql`
    select 1 as one from naru.quarantine where ${ofFeed(layout.feed)} and state in ('open', 'recycle') limit 1`
  return holdsStill(ctx, clearMark(layout), async () => (await ctx.tx.rows(some)).length === 0)
}

/** Rows of the feed are set aside now. */
export function noLongerClear(ctx: StageContext, layout: Layout): void {
  ctx.checked?.delete(clearMark(layout))
  ctx.checked?.delete(noFixesMark(layout))
}

function noFixesMark({ target }: Layout): string {
  return `no fixes of ${target.path.join('.')}`
}

/** The columns of which a person mended values. Where nothing waits in quarantine nobody can mend. */
export async function fixedColumns(ctx: StageContext, layout: Layout): Promise<readonly string[]> {
  const find = async (): Promise<readonly string[]> => {
    const rows = await ctx.tx.rows(
      sql`select distinct "column" as c from naru.quarantine_fix where ${ofFeed(layout.feed)} order by c`,
    )
    return rows.map(row => row['c'] as string)
  }
  if (!(await isClear(ctx, layout))) return find()
  let found: readonly string[] = []
  await holdsStill(ctx, noFixesMark(layout), async () => {
    found = await find()
    return found.length === 0
  })
  return found
}
