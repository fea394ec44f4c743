import { ident, joinSql, sql, type Ident } from '../core/sql.ts'
import { rowsChanged, type ChangeCounts, type StageContext } from '../run/context.ts'
import { findDifferences, writeDifferences, type Comparison } from '../run/differences.ts'
import { countRows } from '../run/tables.ts'
import type { FactChanges } from './fact.ts'
import { groupsOf, summaryRows, usedRoles, type SummaryParts } from './summary-sql.ts'
import { factTables } from './tables.ts'

export interface SummaryInput extends SummaryParts {
  readonly changes: FactChanges
  /** The definition is not the one of the last refresh: the table is made anew. */
  readonly rebuild?: boolean
}

/** How many groups of a summary came, changed and went. */
export interface SummaryChanges extends ChangeCounts {
  readonly table: Ident
}

/**
 * Brings `mart.<name>` up to its fact (M79). Only the groups of facts that came, left or changed are computed again, over
 * all of their rows; when a dimension of the summary changed attributes in place, any group may have other rows, and all
 * are computed. Either way only groups that differ are written.
 */
export async function refreshSummary(ctx: StageContext, input: SummaryInput): Promise<SummaryChanges> {
  const table = ident('mart', input.definition.name)
  const made = (await ctx.tx.exists(table)) && input.rebuild !== true
  const counts = made ? await refreshGroups(ctx, input, table) : await makeTable(ctx, input, table)
  ctx.env.crash('warehouse.apply.after')
  return { table, ...counts }
}

async function makeTable(ctx: StageContext, input: SummaryInput, table: Ident): Promise<ChangeCounts> {
  const { fact } = factTables(input.fact.name)
  await ctx.tx.execute(sql`drop table if exists ${table}`)
  await ctx.tx.execute(sql`
    create table ${table} as
    select *, cast(${ctx.run.id} as bigint) as "_run" from (${summaryRows(ctx, input, fact, null)})`)
  return { inserted: await countRows(ctx.tx, table), updated: 0, deleted: 0 }
}

async function refreshGroups(ctx: StageContext, input: SummaryInput, table: Ident): Promise<ChangeCounts> {
  const { changes, definition } = input
  const whole = changes.scope === 'all' || usedRoles(definition).some(role => changes.relabelled.includes(role))
  if (!whole && changes.keys === null) return { inserted: 0, updated: 0, deleted: 0 }
  const temp = (what: string): Ident => ident('temp', `mart_${definition.name}_${what}`)
  // Without groups there is one row over everything.
  const within = whole || definition.by.length === 0 ? null : temp('touched')
  if (within !== null) {
    const sides = [changes.before, changes.after].flatMap(side => (side === null ? [] : [groupsOf(ctx, input, side)]))
    await ctx.tx.replaceTemp(within, joinSql(sides, ' union '))
  }
  const { fact } = factTables(input.fact.name)
  const comparison: Comparison = {
    target: table,
    next: temp('next'),
    within,
    key: definition.by.map(item => item.column),
    columns: [...definition.by, ...definition.get].map(item => item.column),
    into: temp('changed'),
    was: temp('was'),
  }
  await ctx.tx.replaceTemp(comparison.next, summaryRows(ctx, input, fact, within))
  const counts = await findDifferences(ctx.tx, comparison)
  if (rowsChanged(counts) > 0) await writeDifferences(ctx.tx, comparison, ctx.run.id)
  return counts
}
