import { fail } from '../../core/errors.ts'
import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import type { StageContext } from '../../run/context.ts'
import { SAMPLE_KEYS, type RejectEvidence, type RuleResult } from '../../run/rule-results.ts'
import { limitRows } from '../../run/rules.ts'
import { checkedRows, isBad, type Control } from './controls.ts'
import { sameId, type Layout } from './layout.ts'
import type { Work } from './prepare.ts'
import type { Relation } from './relation.ts'
import { findRepeated } from './unique.ts'

/** What the controls found. */
export interface Findings {
  readonly controls: readonly Control[]
  readonly results: readonly RuleResult[]
  /** There are rows to be set aside. */
  readonly bad: boolean
  /** Rows that repeat another's values, by control: they stand in the temporary table `repeated`. */
  readonly repeated: ReadonlyMap<string, number>
  /** Cells that a repair or a fix changed, by column: those with none are not looked at again. */
  readonly repairs: ReadonlyMap<string, number>
  readonly fixes: ReadonlyMap<string, number>
}

/** Counts what every control finds, in one scan and one grouping for each uniqueness. */
export async function check(
  ctx: StageContext,
  layout: Layout,
  rows: { readonly work: Work; readonly relation: Relation; readonly controls: readonly Control[] },
): Promise<Findings> {
  const { relation, controls } = rows
  const scan = await countAll(ctx, relation, controls)
  const repeated = await findRepeated(ctx, layout, rows)
  const checked = Number(scan['checked'])
  const results: RuleResult[] = []
  for (const [i, control] of controls.entries()) {
    const failed = control.kind === 'unique' ? (repeated.get(control.id) ?? 0) : scan[`broken${i}`]
    const rowsFailed = control.kind === 'skipped' ? null : Number(failed ?? 0)
    results.push({
      run: ctx.run.id,
      entity: layout.feed.entity.name,
      contributor: layout.feed.contribution.as,
      rule: control.id,
      phase: 'after',
      severity: control.severity,
      rowsChecked: checked,
      rowsFailed,
      limitRows: limitRows(control, checked),
      samples: (rowsFailed ?? 0) === 0 ? [] : await sampleKeys(ctx, layout, rows, control),
      note: control.kind === 'skipped' ? control.note : null,
    })
  }
  const unique = controls.some(c => c.kind === 'unique' && c.severity !== 'warn' && (repeated.get(c.id) ?? 0) > 0)
  return {
    controls,
    results,
    bad: Number(scan['bad']) > 0 || unique,
    repeated,
    repairs: new Map(relation.repaired.map((column, i) => [column, Number(scan[`repaired${i}`])])),
    fixes: new Map(relation.fixed.map((column, i) => [column, Number(scan[`fixed${i}`])])),
  }
}

async function countAll(
  ctx: StageContext,
  relation: Relation,
  controls: readonly Control[],
): Promise<Readonly<Record<string, unknown>>> {
  const changed = (from: string, to: string): Sql => sql`${ident('r', from)} is distinct from ${ident('r', to)}`
  const measures = [
    sql`count(*) as checked`,
    sql`count(*) filter (where ${isBad(controls)}) as bad`,
    ...controls.flatMap((control, i) =>
      control.kind === 'row' ? [sql`count(*) filter (where ${control.broken}) as ${ident(`broken${i}`)}`] : [],
    ),
    ...relation.repaired.map(
      (column, i) => sql`count(*) filter (where ${changed(`_m_${column}`, column)}) as ${ident(`repaired${i}`)}`,
    ),
    ...relation.fixed.map(
      (column, i) => sql`count(*) filter (where ${changed(`_o_${column}`, `_m_${column}`)}) as ${ident(`fixed${i}`)}`,
    ),
  ]
  const [row] = await ctx.tx.rows(sql`select ${joinSql(measures)} from ${checkedRows(relation, controls)}`)
  return row ?? {}
}

async function sampleKeys(
  ctx: StageContext,
  layout: Layout,
  { relation, controls }: { readonly relation: Relation; readonly controls: readonly Control[] },
  control: Control,
): Promise<readonly string[]> {
  if (control.kind === 'skipped') return []
  const failing =
    control.kind === 'row'
      ? sql`${checkedRows(relation, controls)} where ${control.broken}`
      : sql`(${relation.query}) r join ${layout.temp('repeated')} d
          on ${sameId(layout, 'r', 'd')} and d."_control" = ${control.id}`
  const ids = joinSql(layout.ids.map(id => ident('r', id)))
  const rows = await ctx.tx.rows(sql`
    select ${layout.keyOf('r')} as k from ${failing} order by ${ids} limit ${SAMPLE_KEYS}`)
  return rows.map(row => row['k'] as string)
}

/**
 * Stops the run where a rule with severity `block` failed or a limit is passed. The results travel with the error:
 * the publish is rolled back and the evidence must not go with it.
 */
export function enforceLimits(layout: Layout, { results }: Findings): void {
  for (const result of results) {
    const failed = result.rowsFailed ?? 0
    const allowed = result.severity === 'block' ? 0 : result.limitRows
    if (allowed === null || failed <= allowed) continue
    const cause: RejectEvidence = { kind: 'reject-evidence', results }
    const { entity, contribution } = layout.feed
    throw fail(
      'REJECT_LIMIT',
      {
        rule: result.rule,
        entity: entity.name,
        contributor: contribution.as,
        failed,
        checked: result.rowsChecked,
        allowed,
      },
      { cause },
    )
  }
}
