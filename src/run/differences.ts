import { ident, joinSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { Transaction } from '../services/engine/contract.ts'
import type { ChangeCounts } from './context.ts'
import { columnList, equalKeysOrNull } from './tables.ts'

/** A derived table, and what it should hold now for some of its keys. */
export interface Comparison {
  readonly target: Ident
  /** The rows that should be there. */
  readonly next: Ident
  /** The keys to compare; `null` compares every row of the target. */
  readonly within: Ident | null
  readonly key: readonly string[]
  /** All columns to compare, key included; both tables have them. */
  readonly columns: readonly string[]
  /** Where the differing keys go, with `_op`. */
  readonly into: Ident
  /** Where the rows of the target are put aside that are compared, when they are some: a large target is read once for them. */
  readonly was: Ident
}

/** Finds the keys whose row in `target` is missing, different or too many, so that only real changes are written and handed on. */
export async function findDifferences(tx: Transaction, it: Comparison): Promise<ChangeCounts> {
  const key = joinSql(it.key.map(name => sql`coalesce(${ident('n', name)}, ${ident('c', name)}) as ${ident(name)}`))
  const columns = columnList(it.columns)
  if (it.within !== null) {
    const within = sql`exists (select 1 from ${it.within} w where ${equalKeysOrNull('w', 't', it.key)})`
    await tx.replaceTemp(it.was, sql`select t.* from ${it.target} t where ${within}`)
  }
  await tx.replaceTemp(
    it.into,
    sql`select ${it.key.length === 0 ? sql`` : sql`${key}, `}
      case when c."_here" is null then 'i' when n."_here" is null then 'd' else 'u' end as "_op"
    from (select ${columns}, true as "_here" from ${it.next}) n
    full join (select ${columns}, true as "_here" from ${replacedBy(it)}) c on ${equalKeysOrNull('n', 'c', it.key)}
    where n."_here" is null or c."_here" is null or ${rowsDiffer('n', 'c', it.columns)}`,
  )
  return countOps(tx, it.into)
}

/** The rows of the target that are compared. */
export function replacedBy(it: Comparison): Ident {
  return it.within === null ? it.target : it.was
}

/** Makes the target equal to `next` for the keys that differ. Never MERGE: DELETE and INSERT was measured 1.5-43x faster. */
export async function writeDifferences(tx: Transaction, it: Comparison, run: bigint): Promise<void> {
  await tx.execute(sql`
    delete from ${it.target} t using ${it.into} d where d."_op" <> 'i' and ${equalKeysOrNull('t', 'd', it.key)}`)
  await tx.execute(sql`
    insert into ${it.target} (${columnList(it.columns)}, "_run")
    select ${columnList(it.columns, 'n')}, ${run}
    from ${it.next} n join ${it.into} d on ${equalKeysOrNull('n', 'd', it.key)} where d."_op" <> 'd'`)
}

/** True when any of the columns has another value in `a` than in `b`. */
export function rowsDiffer(a: string, b: string, columns: readonly string[]): Sql {
  if (columns.length === 0) return sql`false`
  const differing = columns.map(name => sql`${ident(a, name)} is distinct from ${ident(b, name)}`)
  return sql`(${joinSql(differing, ' or ')})`
}

/** How many rows of a table of changes are inserts, updates and deletes. */
export async function countOps(tx: Transaction, table: Ident): Promise<ChangeCounts> {
  const rows = await tx.rows(sql`select "_op" as op, count(*) as n from ${table} group by "_op"`)
  const count = (op: string): number => Number(rows.find(row => row['op'] === op)?.['n'] ?? 0)
  return { inserted: count('i'), updated: count('u'), deleted: count('d') }
}
