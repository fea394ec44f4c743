import { createHash } from 'node:crypto'
import { ident, joinSql, sql, type Sql } from '../core/sql.ts'
import type { Transaction } from '../services/engine/contract.ts'
import type { RunInfo } from './context.ts'

/** What `run` remembers of itself. */
export const runTables: readonly Sql[] = [
  // state: running, live (many transactions, each with a time of its own), done, failed, broken (the process ended in the
  // middle; the run after it found out).
  sql`create table if not exists naru.run (
    run bigint, state varchar, as_of_micros bigint, began_micros bigint, ended_micros bigint,
    host varchar, pid integer, error_code varchar, error_text varchar)`,
  // What a dataset was last built from: another hash means that it has to be rebuilt.
  sql`create table if not exists naru.definition (node varchar, hash varchar, run bigint)`,
]

/** The node under which `naru.definition` remembers the control tables themselves. */
const CONTROL_TABLES = 'control tables'

/**
 * Brings the control tables into the form that these statements give them. Where they have it already nothing is run: to
 * add a column that is there would still wait for everybody who reads the table.
 */
export async function ensureControlTables(tx: Transaction, statements: readonly Sql[]): Promise<void> {
  const text = JSON.stringify(statements.map(statement => statement.parts))
  const hash = createHash('sha256').update(text).digest('hex')
  if ((await tx.exists(ident('naru', 'definition'))) && (await readDefinitions(tx)).get(CONTROL_TABLES) === hash) return
  for (const statement of statements) await tx.execute(statement)
  await tx.execute(sql`delete from naru.definition where node = ${CONTROL_TABLES}`)
  await tx.execute(sql`insert into naru.definition values (${CONTROL_TABLES}, ${hash}, ${null})`)
}

/**
 * Begins a run. When the run before was broken off, the new one keeps its time, so that the rows it makes are the ones
 * that the undisturbed run would have made. A live run has no one time: it neither lends nor borrows.
 */
export async function beginRun(
  tx: Transaction,
  begun: { readonly nowMicros: bigint; readonly host: string; readonly pid: number; readonly isLive?: boolean },
): Promise<RunInfo> {
  const [last] = await tx.rows(sql`select run, state, as_of_micros from naru.run order by run desc limit 1`)
  const broken = last?.['state'] === 'running'
  await tx.execute(sql`update naru.run set state = 'broken' where state in ('running', 'live')`)
  const id = BigInt((last?.['run'] as bigint | undefined) ?? 0n) + 1n
  const asOfMicros = broken && begun.isLive !== true ? (last['as_of_micros'] as bigint) : begun.nowMicros
  await tx.execute(sql`
    insert into naru.run values (${id}, ${begun.isLive === true ? 'live' : 'running'}, ${asOfMicros}, ${begun.nowMicros}, ${null},
      ${begun.host}, ${begun.pid}, ${null}, ${null})`)
  return { id, asOfMicros }
}

/** The newest run, which what is read beside it belongs to. */
export async function lastRun(tx: Transaction, nowMicros: bigint): Promise<RunInfo> {
  const [row] = await tx.rows(sql`select coalesce(max(run), 0) as run from naru.run`)
  return { id: BigInt(row?.['run'] as bigint), asOfMicros: nowMicros }
}

/** Part of the publishing transaction: a run is done exactly when its rows are visible. */
export async function endRun(tx: Transaction, run: RunInfo, nowMicros: bigint): Promise<void> {
  await tx.execute(sql`update naru.run set state = 'done', ended_micros = ${nowMicros} where run = ${run.id}`)
}

export async function failRun(
  tx: Transaction,
  run: RunInfo,
  failure: { readonly nowMicros: bigint; readonly code: string; readonly text: string },
): Promise<void> {
  await tx.execute(sql`
    update naru.run set state = 'failed', ended_micros = ${failure.nowMicros},
      error_code = ${failure.code}, error_text = ${failure.text} where run = ${run.id}`)
}

/** Hashes of the definitions that the datasets were last built from. */
export async function readDefinitions(tx: Transaction): Promise<ReadonlyMap<string, string>> {
  const rows = await tx.rows(sql`select node, hash from naru.definition`)
  return new Map(rows.map(row => [row['node'] as string, row['hash'] as string]))
}

/** Forgets what left the config: if it comes back, its dataset has missed changes and is built anew. */
export async function forgetDefinitions(tx: Transaction, kept: readonly string[]): Promise<void> {
  const nodes = joinSql([CONTROL_TABLES, ...kept].map(node => sql`${node}`))
  await tx.execute(sql`delete from naru.definition where node not in (${nodes})`)
}

export async function writeDefinition(tx: Transaction, node: string, hash: string, run: RunInfo): Promise<void> {
  await tx.execute(sql`delete from naru.definition where node = ${node}`)
  await tx.execute(sql`insert into naru.definition values (${node}, ${hash}, ${run.id})`)
}
