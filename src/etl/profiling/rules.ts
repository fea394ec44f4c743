import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import { columnsOf } from '../../core/expr.ts'
import type { RuleDef } from '../../config/model.ts'
import type { StageContext } from '../../run/context.ts'
import { keyShown } from '../../run/keys.ts'
import { mapColumns, whereOf, type Feed, type MappedColumn } from '../../run/mapping.ts'
import { SAMPLE_KEYS, type RuleResult } from '../../run/rule-results.ts'
import { compileRule, limitRows } from '../../run/rules.ts'
import type { Row } from '../../services/engine/contract.ts'

/** A rule to be measured on mapped values before repair, over staged rows in relation `s`. */
export interface BeforeRule {
  readonly feed: Feed
  readonly rule: RuleDef
  /** Rows of the contribution. */
  readonly counts: Sql
  /** Set when this phase cannot or need not evaluate it. */
  readonly note: string | null
  readonly broken: Sql | null
  /** The values that must be different, for a uniqueness rule. */
  readonly unique: readonly Sql[] | null
  readonly join: Sql | null
  /** Aggregates for the scan; named after the rule. */
  readonly measures: readonly Sql[]
  readonly name: string
}

/** Compiles the rules of one contribution. `feedIndex` keeps names in the scan apart. */
export function beforeRules(ctx: StageContext, feed: Feed, feedIndex: number): readonly BeforeRule[] {
  const { dialect } = ctx.tx
  const columns = mapColumns(ctx.project, dialect, feed, 's')
  const where = whereOf(ctx.project, dialect, feed, 's')
  const counts = where === null ? sql`true` : sql`(${where.passes})`
  const column = (name: string): Sql => (columns.find(c => c.column.name === name) as MappedColumn).value
  const scope = { project: ctx.project, dialect, entity: feed.entity, column }
  return feed.entity.rules.map((rule, i) => {
    const name = `rule_${feedIndex}_${i}`
    const note = noteOf(feed, rule, columns)
    const compiled = note === null ? compileRule(rule, scope, name) : null
    const broken = compiled?.kind === 'row' ? compiled.broken : null
    return {
      feed,
      rule,
      counts,
      note,
      broken,
      unique: compiled?.kind === 'unique' ? rule.columns.map(column) : null,
      join: compiled?.kind === 'row' ? compiled.join : null,
      measures: [
        sql`count(*) filter (where ${counts}) as ${ident(`${name}_rows`)}`,
        sql`${broken === null ? sql`${null}` : sql`count(*) filter (where ${counts} and ${broken})`} as ${ident(name)}`,
      ],
      name,
    }
  })
}

/** Why a rule is left to cleansing, where it runs after repair. */
function noteOf(feed: Feed, rule: RuleDef, columns: readonly MappedColumn[]): string | null {
  const read = columns.filter(c => ruleColumns(rule).includes(c.column.name))
  const { check } = rule
  if (read.some(c => c.resolves)) return 'it needs a key that integration resolves: evaluated after repair only'
  if (check.kind === 'reference' && 'entity' in check.to) {
    return 'it refers to an entity, which is integrated later: evaluated after repair only'
  }
  if (check.kind === 'required' && read.some(c => !c.given)) return 'this contributor does not give the column'
  if (check.kind !== 'unique') return null
  if (feed.contribution.match !== null) return 'several rows of this contributor may stand for one record'
  const repaired = read.some(c => feed.entity.cleanse.some(repair => repair.column === c.column.name))
  return repaired ? null : 'no repair touches its columns: the result after repair is the same'
}

function ruleColumns(rule: RuleDef): readonly string[] {
  return rule.check.kind === 'expression' ? [...rule.columns, ...columnsOf(rule.check.expr)] : rule.columns
}

/** Reads what the scan counted, and looks up sample keys where something failed. */
export async function resultsOf(
  ctx: StageContext,
  rules: readonly BeforeRule[],
  rows: Sql,
  scan: Row,
): Promise<readonly RuleResult[]> {
  const results: RuleResult[] = []
  for (const before of rules) {
    const checked = Number(scan[`${before.name}_rows`])
    const failing = before.unique === null ? failingRows(before, rows) : repeatedRows(before, before.unique, rows)
    const failed = before.unique === null ? scan[before.name] : await countOf(ctx, failing)
    results.push({
      run: ctx.run.id,
      entity: before.feed.entity.name,
      contributor: before.feed.contribution.as,
      rule: before.rule.id,
      phase: 'before',
      severity: before.rule.severity,
      rowsChecked: checked,
      rowsFailed: failed === null || failed === undefined ? null : Number(failed),
      limitRows: limitRows(before.rule, checked),
      samples: Number(failed ?? 0) === 0 ? [] : await sampleKeys(ctx, before.feed, failing),
      note: before.note,
    })
  }
  return results
}

function failingRows(before: BeforeRule, rows: Sql): Sql {
  return sql`select s.* from (${rows}) s ${before.join ?? sql``} where ${before.counts} and ${before.broken ?? sql`false`}`
}

/** Rows that repeat the values of a row with a smaller key. */
function repeatedRows(before: BeforeRule, values: readonly Sql[], rows: Sql): Sql {
  const present = joinSql(
    values.map(value => sql`${value} is not null`),
    ' and ',
  )
  const key = joinSql(before.feed.table.key.map(name => ident('s', name)))
  return sql`
    select * from (
      select s.*, row_number() over (partition by ${joinSql(values)} order by ${key}) as "_nth"
      from (${rows}) s where ${before.counts} and ${present}) s
    where "_nth" > 1`
}

async function countOf(ctx: StageContext, query: Sql): Promise<Row[string]> {
  const [row] = await ctx.tx.rows(sql`select count(*) as n from (${query}) s`)
  return row?.['n'] ?? null
}

async function sampleKeys(ctx: StageContext, feed: Feed, failing: Sql): Promise<readonly string[]> {
  const { table } = feed
  const key = table.key.map(name => sql`${ident('s', name)}`)
  const personal = table.columns.some(column => column.personal && table.key.includes(column.name))
  const rows = await ctx.tx.rows(sql`
    select ${keyShown(key, personal)} as k from (${failing}) s order by ${joinSql(key)} limit ${SAMPLE_KEYS}`)
  return rows.map(row => row['k'] as string)
}
