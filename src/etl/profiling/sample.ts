import { asText, hashOf } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { StageContext } from '../../run/context.ts'
import { countRows, stagedName } from '../../run/tables.ts'
import type { Row } from '../../services/engine/contract.ts'
import { SHOWN_CHARACTERS, type ColumnProfile, type ColumnStatistics, type ProfiledColumn } from './statistics.ts'

/** Up to this many rows top values and histograms are exact; above it they come from about half as many. */
export const SAMPLE_ROWS = 100_000
const TOP_VALUES = 5
const BUCKETS = 20

/** What is profiled: a query of staged rows, its columns, and what the scan found about them. */
export interface Profiled {
  readonly rows: Sql
  readonly columns: readonly ProfiledColumn[]
  readonly statistics: readonly ColumnStatistics[]
}

/** Adds top values and histograms. A large change set is sampled by a hash of the key: the same rows on every rerun. */
export async function describeSample(
  ctx: StageContext,
  table: SourceTableDef,
  profiled: Profiled,
): Promise<readonly ColumnProfile[]> {
  const sample = ident('temp', `profiling_${stagedName(table)}`)
  const sampled = await takeSample(ctx, table, profiled, sample)
  const tops = await readTops(ctx, profiled, sample)
  const counts = await readBuckets(ctx, profiled, sample)
  await ctx.tx.execute(sql`drop table ${sample}`)
  return profiled.statistics.map(({ bounds, ...statistics }, i) => ({
    ...statistics,
    top: topOf(tops.filter(row => row['i'] === i)),
    histogram: bounds === null ? null : histogramOf(profiled.columns[i] as ProfiledColumn, bounds, counts, i),
    sampleRows: sampled,
  }))
}

async function takeSample(
  ctx: StageContext,
  table: SourceTableDef,
  { rows, columns, statistics }: Profiled,
  sample: Ident,
): Promise<bigint | null> {
  const all = statistics[0]?.rows ?? 0n
  const every = all <= SAMPLE_ROWS ? 1n : (2n * all) / BigInt(SAMPLE_ROWS)
  const key = table.key.map(name => ident('s', name))
  const chosen = every === 1n ? sql`` : sql`where ${hashOf(key)} % ${every} = 0`
  const kept = columns.flatMap(({ column, raw, number }, i) => [
    ...(column.personal ? [] : [sql`substr(${asText(raw)}, 1, ${SHOWN_CHARACTERS}) as ${ident(`v${i}`)}`]),
    ...(number === null ? [] : [sql`${number} as ${ident(`n${i}`)}`]),
  ])
  await ctx.tx.replaceTemp(sample, sql`select ${joinSql([sql`1 as one`, ...kept])} from (${rows}) s ${chosen}`)
  if (every === 1n) return null
  return BigInt(await countRows(ctx.tx, sample))
}

async function readTops(ctx: StageContext, { columns }: Profiled, sample: Ident): Promise<readonly Row[]> {
  const branches = columns.flatMap(({ column }, i) => {
    if (column.personal) return []
    const value = ident(`v${i}`)
    return [
      sql`(select ${i} as i, ${value} as v, count(*) as n from ${sample} where ${value} is not null
        group by ${value} order by n desc, v limit ${TOP_VALUES})`,
    ]
  })
  if (branches.length === 0) return []
  return ctx.tx.rows(sql`select * from (${joinSql(branches, ' union all ')}) t order by i, n desc, v`)
}

/** A column whose values are all different has no top values. */
function topOf(rows: readonly Row[]): string | null {
  const values = rows.map(row => ({ value: row['v'] as string, count: Number(row['n']) }))
  return values.length === 0 || (values[0]?.count === 1 && values.length > 1) ? null : JSON.stringify(values)
}

/** Equal buckets between the bounds; whole numbers get buckets of a whole width. */
function bucketsOf(
  { column }: ProfiledColumn,
  [from, to]: readonly [number, number],
): { width: number; count: number } {
  if (from === to) return { width: 1, count: 1 }
  if (column.type.kind !== 'int') return { width: (to - from) / BUCKETS, count: BUCKETS }
  const width = Math.ceil((to - from + 1) / BUCKETS)
  return { width, count: Math.floor((to - from) / width) + 1 }
}

async function readBuckets(
  ctx: StageContext,
  { columns, statistics }: Profiled,
  sample: Ident,
): Promise<readonly Row[]> {
  const branches = columns.flatMap((profiled, i) => {
    const bounds = statistics[i]?.bounds ?? null
    if (bounds === null) return []
    const { width, count } = bucketsOf(profiled, bounds)
    const value = ident(`n${i}`)
    return [
      sql`select ${i} as i, cast(least(${count - 1}, floor((${value} - ${asDouble(bounds[0])}) / ${asDouble(width)})) as integer) as b,
        count(*) as n from ${sample} where ${value} is not null group by 2`,
    ]
  })
  return branches.length === 0 ? [] : ctx.tx.rows(joinSql(branches, ' union all '))
}

/** As a double: as a decimal literal a large bound would be rounded to the scale of the result. */
function asDouble(value: number): Sql {
  return sql`cast(${String(value)} as double precision)`
}

function histogramOf(
  profiled: ProfiledColumn,
  bounds: readonly [number, number],
  rows: readonly Row[],
  i: number,
): string {
  const { width, count } = bucketsOf(profiled, bounds)
  const counts = Array.from({ length: count }, () => 0)
  for (const row of rows) if (row['i'] === i) counts[Number(row['b'])] = Number(row['n'])
  const isTime = profiled.column.type.kind === 'date' || profiled.column.type.kind === 'timestamp'
  // Times are microseconds since 1970-01-01 UTC.
  return JSON.stringify({ unit: isTime ? 'micros' : 'value', from: bounds[0], width, counts })
}
