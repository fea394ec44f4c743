import { ident, sql, type Sql } from '../core/sql.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { KeyBound } from '../services/adapter/contract.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { ofTable } from './tables.ts'

/** What comparisons of streams with their sources remember in the engine. */
export const comparisonTable: Sql =
  // A range of keys of one table, in the source's own order: key_after < key <= key_up_to as JSON, NULL is open. equal is NULL
  // where it could not be told, and note says why. differing: keys that differ; keys names the first ones, as JSON.
  // rows_staged is NULL where the rows of the range cannot be told apart in the engine.
  sql`create table if not exists naru.comparison (
    source varchar, "table" varchar, technique varchar, run bigint, at_micros bigint, key_after varchar,
    key_up_to varchar, rows_source bigint, rows_staged bigint, equal boolean, differing bigint, keys varchar, note varchar)`

/** How long results are kept: microseconds. */
const KEPT_MICROS = { equal: 7n * 86_400_000_000n, different: 90n * 86_400_000_000n } as const

/** A key whose row at the source is not the staged one. */
export interface DifferingKey {
  /** The values of the key columns as text, joined by a comma; `***` of a personal one. */
  readonly key: string
  readonly what: 'missing here' | 'not in the source' | 'different'
}

/** What was found of one range of a table. */
export interface ComparisonResult {
  readonly after: KeyBound | null
  readonly upTo: KeyBound | null
  readonly rowsSource: bigint | null
  readonly rowsStaged: bigint | null
  /** `null` when it could not be told. */
  readonly equal: boolean | null
  readonly differing: number
  /** The first of them, by key. */
  readonly keys: readonly DifferingKey[]
  readonly note: string | null
}

/** Keeps a result, and lets go of old ones. */
export async function writeComparison(
  tx: Transaction,
  table: SourceTableDef,
  { run, nowMicros, found }: { readonly run: bigint; readonly nowMicros: bigint; readonly found: ComparisonResult },
): Promise<void> {
  const json = (bound: KeyBound | null): string | null => (bound === null ? null : JSON.stringify(bound))
  const { equal, different } = KEPT_MICROS
  await tx.execute(sql`
    delete from naru.comparison where ${ofTable(table)}
    and at_micros < case when equal = false then ${nowMicros - different} else ${nowMicros - equal} end`)
  await tx.execute(sql`
    insert into naru.comparison values (${table.source}, ${table.name}, ${table.change.technique}, ${run}, ${nowMicros},
      ${json(found.after)}, ${json(found.upTo)}, ${found.rowsSource}, ${found.rowsStaged}, ${found.equal},
      ${found.differing}, ${found.keys.length === 0 ? null : JSON.stringify(found.keys)}, ${found.note})`)
}

/** Where the walk through a table stands: behind which key the next range begins, and when the last one was compared. */
export async function walkOf(
  tx: Transaction,
  table: SourceTableDef,
): Promise<{ readonly after: KeyBound | null; readonly atMicros: bigint | null }> {
  const [row] = await tx.rows(sql`
    select key_up_to, at_micros from naru.comparison where ${ofTable(table)} order by at_micros desc limit 1`)
  const upTo = row?.['key_up_to'] ?? null
  return {
    after: upTo === null ? null : (JSON.parse(upTo as string) as KeyBound),
    atMicros: (row?.['at_micros'] ?? null) as bigint | null,
  }
}

/** A range that differs from its source, as people are told. */
export interface DifferenceNow {
  /** As `source.table`. */
  readonly table: string
  readonly after: string | null
  readonly upTo: string | null
  readonly differing: string
  readonly keys: readonly DifferingKey[]
  readonly atMicros: bigint
}

/**
 * Differences that nothing has shown to be gone: no later look at the range was equal, the table was not read again, and the
 * walk did not pass it twice. A database of an earlier version knows of none.
 */
export async function readDifferences(tx: Transaction): Promise<readonly DifferenceNow[]> {
  if (!(await tx.exists(ident('naru', 'comparison')))) return []
  const rows = await tx.rows(sql`
    select c.source || '.' || c."table" as name, c.key_after, c.key_up_to, c.differing, c.keys, c.at_micros
    from naru.comparison c where c.equal = false and not exists (
      select 1 from naru.comparison n where n.source = c.source and n."table" = c."table" and n.at_micros > c.at_micros
      and n.equal is not null and (n.key_after is not distinct from c.key_after or (n.key_after is null and n.key_up_to is null)))
    and not exists (
      select 1 from naru.load l where l.source = c.source and l."table" = c."table" and l.state = 'published'
      and l.scope = 'all' and l.taken_micros > c.at_micros)
    and (select count(*) from naru.comparison n where n.source = c.source and n."table" = c."table"
      and n.at_micros > c.at_micros and n.key_after is null) < 2
    order by c.at_micros, name, c.key_after`)
  return rows.map(row => ({
    table: String(row['name']),
    after: row['key_after'] as string | null,
    upTo: row['key_up_to'] as string | null,
    differing: String(row['differing']),
    keys: row['keys'] == null ? [] : (JSON.parse(row['keys'] as string) as readonly DifferingKey[]),
    atMicros: row['at_micros'] as bigint,
  }))
}
