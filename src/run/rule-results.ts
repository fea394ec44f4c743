import { joinSql, sql, type Sql } from '../core/sql.ts'
import type { RuleDef } from '../config/model.ts'
import type { Row, Transaction } from '../services/engine/contract.ts'

/** What a rule found in one change set of one contributor. `before` repair it is only reported, `after` it is acted on. */
export interface RuleResult {
  readonly run: bigint
  readonly entity: string
  readonly contributor: string
  /** The rule's id, or one of the built-in controls: `<column>.cast`, `<column>.map`, `<column>.not-null`, `_key.unique`, `_where.cast`. */
  readonly rule: string
  readonly phase: 'before' | 'after'
  readonly severity: RuleDef['severity']
  readonly rowsChecked: number
  /** `null`: not evaluated in this phase; `note` says why. */
  readonly rowsFailed: number | null
  /** Most rows that may fail in this change set. */
  readonly limitRows: number | null
  /** Keys of up to 5 rows that failed, the smallest ones. */
  readonly samples: readonly string[]
  readonly note: string | null
}

/** Rows of a rule that are named in its result. */
export const SAMPLE_KEYS = 5

/** Written by profiling (`before`) and cleansing (`after`). */
export const ruleResultTable: Sql = sql`create table if not exists naru.rule_result (
  run bigint, entity varchar, contributor varchar, rule varchar, phase varchar, severity varchar,
  rows_checked bigint, rows_failed bigint, limit_rows bigint, samples varchar, note varchar)`

/** What `checked` holds while the run that goes on has no results: whoever writes some takes it out. */
export const noRuleResults = 'no rule results'

/** Keeps results; samples become a JSON list. */
export async function insertRuleResults(tx: Transaction, results: readonly RuleResult[]): Promise<void> {
  if (results.length === 0) return
  const rows = results.map(
    r => sql`(${r.run}, ${r.entity}, ${r.contributor}, ${r.rule}, ${r.phase}, ${r.severity}, ${r.rowsChecked},
      ${r.rowsFailed}, ${r.limitRows}, ${JSON.stringify(r.samples)}, ${r.note})`,
  )
  await tx.execute(sql`insert into naru.rule_result values ${joinSql(rows)}`)
}

/**
 * A run of several publishes has one result of each rule and phase: rows are added up, and the first samples stay. Called in
 * each of them, so that it reads two results of a rule at most, however many publishes a run has.
 */
export async function sumRuleResults(tx: Transaction, run: bigint): Promise<void> {
  const found = await tx.rows(sql`select * from naru.rule_result where run = ${run}`)
  const groups = new Map<string, RuleResult[]>()
  for (const row of found) {
    const result = resultOf(run, row)
    const { entity, contributor, rule, phase } = result
    const key = JSON.stringify([entity, contributor, rule, phase])
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [result])
    else group.push(result)
  }
  if (groups.size === found.length) return
  await tx.execute(sql`delete from naru.rule_result where run = ${run}`)
  await insertRuleResults(tx, [...groups.values()].map(summed))
}

function resultOf(run: bigint, row: Row): RuleResult {
  const number = (name: string): number | null => (row[name] === null ? null : Number(row[name]))
  return {
    run,
    entity: String(row['entity']),
    contributor: String(row['contributor']),
    rule: String(row['rule']),
    phase: row['phase'] as RuleResult['phase'],
    severity: row['severity'] as RuleResult['severity'],
    rowsChecked: Number(row['rows_checked']),
    rowsFailed: number('rows_failed'),
    limitRows: number('limit_rows'),
    samples: JSON.parse(String(row['samples'])) as readonly string[],
    note: row['note'] as string | null,
  }
}

function summed(results: readonly RuleResult[]): RuleResult {
  const sum = (numbers: readonly (number | null)[]): number | null =>
    numbers.reduce((a, b) => (a === null ? b : a + (b ?? 0)), null)
  return {
    ...(results[0] as RuleResult),
    rowsChecked: results.reduce((rows, it) => rows + it.rowsChecked, 0),
    rowsFailed: sum(results.map(it => it.rowsFailed)),
    limitRows: sum(results.map(it => it.limitRows)),
    samples: [...new Set(results.flatMap(it => it.samples))].slice(0, SAMPLE_KEYS),
    note: results.find(it => it.note !== null)?.note ?? null,
  }
}

/** The cause of `REJECT_LIMIT`: what the rules found, so that the evidence can be kept when the publish is rolled back. */
export interface RejectEvidence {
  readonly kind: 'reject-evidence'
  readonly results: readonly RuleResult[]
}

/** The rule results that an error carries, itself or in its causes. The run keeps them in a transaction of its own. */
export function ruleResultsOf(error: unknown): readonly RuleResult[] {
  if (isEvidence(error)) return error.results
  return error instanceof Error && error.cause !== undefined ? ruleResultsOf(error.cause) : []
}

function isEvidence(value: unknown): value is RejectEvidence {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'reject-evidence'
}
