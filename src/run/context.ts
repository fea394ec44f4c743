import type { Env } from '../core/env.ts'
import type { Emit } from '../core/events.ts'
import type { Ident } from '../core/sql.ts'
import type { Secret, SecretRef } from '../core/secret.ts'
import type { Transaction } from '../services/engine/contract.ts'
import type { Project } from '../config/model.ts'

/** What every stage is given. A stage takes the transaction and never opens one. */
export interface StageContext {
  readonly env: Env
  readonly project: Project
  readonly tx: Transaction
  readonly run: RunInfo
  readonly signal: AbortSignal
  readonly emit: Emit
  readonly secret: (ref: SecretRef, usedBy: string) => Secret
  /**
   * What was looked at and found as it must be, of a process that publishes again and again and lets nobody else write:
   * `holdsStill` looks once. Whoever keeps it begins a new one after a publish that failed, and with another config.
   */
  readonly checked?: Set<string>
  /**
   * `whole`: controls compare whole tables, and every figure is kept. `changes`: a publish among many small ones. What
   * guards the rows of its change sets is done as ever, totals are compared over those rows only, and figures that found
   * nothing are not kept. Somebody publishes with `whole` at intervals (decision 23). `whole` unless given.
   */
  readonly controls?: 'whole' | 'changes'
  /**
   * `later`: the warehouse takes what changed with a publish that comes after, so that a small change set is in the ODS
   * sooner than its facts and summaries are computed. What waits is kept with the data (`run/waiting.ts`). `now` unless given.
   */
  readonly warehouse?: 'now' | 'later'
  /**
   * `sum`: each publish adds what rules found to what they found in those before it of this run. `last`: it gives way to that
   * of the next publish, as in a live run, which has no end. `last` unless given.
   */
  readonly figures?: 'last' | 'sum'
}

/** What the stages of a run share: each of its transactions adds itself. */
export type RunContext = Omit<StageContext, 'tx'>

export interface RunInfo {
  /** Unique, grows with time: a bigint so that it joins and sorts cheaply. */
  readonly id: bigint
  /**
   * The one time of the run, microseconds since 1970-01-01 UTC: `now` in every stage. A resumed run keeps the time of
   * the run that was broken off, so that it makes the same rows.
   */
  readonly asOfMicros: bigint
}

/**
 * What a stage hands on: which keys of a table changed. With scope `all` the table was filled for the first time and
 * every row of it is new. With scope `delta`, `keys` is a temporary table of the dataset's key columns and
 * `_op` ('i' inserted, 'u' updated, 'd' deleted), one row a key, without NULLs; `null` when nothing changed.
 */
export interface ChangeSet {
  readonly table: Ident
  readonly scope: 'all' | 'delta'
  readonly keys: Ident | null
  /**
   * Temporary table of the rows of the inserted and updated keys as they are now, with at least the columns of `table`: of
   * small change sets, so that nobody has to look for them in a large table. Absent when it was not put aside.
   */
  readonly rows?: Ident | undefined
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
}

/** What a change set counts. */
export type ChangeCounts = Pick<ChangeSet, 'inserted' | 'updated' | 'deleted'>

/** Nothing changed in the table. */
export function unchanged(table: Ident): ChangeSet {
  return { table, scope: 'delta', keys: null, inserted: 0, updated: 0, deleted: 0 }
}

/** The table was filled as a whole: every row of it is new. */
export function filled(table: Ident, rows: number): ChangeSet {
  return { table, scope: 'all', keys: null, inserted: rows, updated: 0, deleted: 0 }
}

/** The keys that changed, with their counts; without them when there is none. */
export function changedBy(table: Ident, keys: Ident, counts: ChangeCounts, rows?: Ident): ChangeSet {
  if (rowsChanged(counts) === 0) return unchanged(table)
  return { table, scope: 'delta', keys, rows, ...counts }
}

/** Change sets of up to this many rows hand their rows on. */
export const ROWS_HANDED_ON = 100_000

/** Looks at something that only a publish of this process changes, where that is known: once. */
export async function holdsStill(
  ctx: Pick<StageContext, 'checked'>,
  what: string,
  look: () => Promise<boolean>,
): Promise<boolean> {
  if (ctx.checked?.has(what) === true) return true
  const holds = await look()
  if (holds) ctx.checked?.add(what)
  return holds
}

/** True when a relation is there. */
export function isThere(ctx: Pick<StageContext, 'checked' | 'tx'>, relation: Ident): Promise<boolean> {
  return holdsStill(ctx, `there ${relation.path.join('.')}`, () => ctx.tx.exists(relation))
}

export function rowsChanged(changes: ChangeCounts): number {
  return changes.inserted + changes.updated + changes.deleted
}
