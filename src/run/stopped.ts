import { ident, joinSql, sql } from '../core/sql.ts'
import type { Project, SourceTableDef } from '../config/model.ts'
import type { NaruError } from '../core/errors.ts'
import type { Transaction } from '../services/engine/contract.ts'
import type { RunInfo } from './context.ts'
import { ofTable } from './tables.ts'

/** A table that does not follow its source any more, and why. */
export interface StoppedNow {
  readonly table: string
  /** The last run that tried to read it. */
  readonly run: bigint
  readonly code: string
  readonly text: string
}

/** Notes which tables were left as they are staged, and forgets those that were read again or left the config. */
export async function noteStopped(
  tx: Transaction,
  { project, run }: { readonly project: Project; readonly run: RunInfo },
  given: {
    readonly loads: readonly { readonly table: SourceTableDef }[]
    readonly stopped: readonly { readonly table: SourceTableDef; readonly error: NaruError }[]
  },
): Promise<void> {
  const names = project.sources.flatMap(source => source.tables).map(it => sql`${`${it.source}.${it.name}`}`)
  const isGone = names.length === 0 ? sql`true` : sql`source || '.' || "table" not in (${joinSql(names)})`
  await tx.execute(sql`delete from naru.stopped where ${isGone}`)
  for (const { table } of [...given.loads, ...given.stopped]) await forgetStopped(tx, table)
  for (const { table, error } of given.stopped) {
    await tx.execute(sql`
      insert into naru.stopped values (${table.source}, ${table.name}, ${run.id}, ${error.code}, ${error.message})`)
  }
}

/** Whether a table follows its source is seen anew when it is read. */
export async function forgetStopped(tx: Transaction, table: SourceTableDef): Promise<void> {
  await tx.execute(sql`delete from naru.stopped where ${ofTable(table)}`)
}

/** Every table that does not follow its source, as of run `upTo`. A database of an earlier version knows of none. */
export async function readStopped(tx: Transaction, upTo?: bigint): Promise<readonly StoppedNow[]> {
  if (!(await tx.exists(ident('naru', 'stopped')))) return []
  const rows = await tx.rows(sql`
    select source || '.' || "table" as name, run, code, text from naru.stopped
    where ${upTo === undefined ? sql`true` : sql`run <= ${upTo}`} order by name`)
  return rows.map(row => ({
    table: String(row['name']),
    run: row['run'] as bigint,
    code: String(row['code']),
    text: String(row['text']),
  }))
}
