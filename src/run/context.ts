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
}

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
export function changedBy(table: Ident, keys: Ident, counts: ChangeCounts): ChangeSet {
  return { table, scope: 'delta', keys: rowsChanged(counts) > 0 ? keys : null, ...counts }
}

export function rowsChanged(changes: ChangeCounts): number {
  return changes.inserted + changes.updated + changes.deleted
}
