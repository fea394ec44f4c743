import { fail } from '../../core/errors.ts'
import { ident, joinSql, renderSql, sql, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { ofTable } from '../../run/tables.ts'
import { rememberedTable } from '../../run/remembered-columns.ts'
import { isAside, readSetAside, type SetAside } from '../../run/set-aside.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'

/** More keys than these make a condition that a source may refuse. */
const keysMax = 1_000

/**
 * The rows of a table that were set aside at the interface and have not come since, as a condition in the SQL of its source; `null`
 * when there are none. Throws `RESYNC_UNABLE` when they cannot be asked for by their keys.
 */
export async function rejectedRows(
  tx: Transaction,
  { dialect }: Pick<Adapter, 'dialect'>,
  config: SourceTableDef,
): Promise<string | null> {
  const table = await rememberedTable(tx, config)
  const name = `${table.source}.${table.name}`
  const refuse = (problem: string): Error =>
    fail('RESYNC_UNABLE', { asked: name, problem, fix: `naru resync ${name} reads all of it.` })
  const keys = await keysOf(tx, table)
  if (keys.length === 0) return null
  if (dialect === undefined) throw refuse('its source has no conditions for its rows')
  if (keys.some(key => key === null || key === '***'))
    throw refuse('of some of its rejects naru.reject does not say which rows they are of')
  if (keys.length > keysMax) throw refuse(`more than ${keysMax} of its rows are set aside`)
  const remote = (column: string): string => config.renamed?.[column] ?? column
  const rows = keys.map(text => {
    const parts = Object.entries(JSON.parse(text as string) as Readonly<Record<string, string | null>>)
    const same = parts.map(([column, value]) =>
      value === null ? sql`${ident(remote(column))} is null` : sql`${ident(remote(column))} = ${value}`,
    )
    return sql`(${joinSql(same, ' and ')})`
  })
  return renderSql(joinSql(rows, ' or '), dialect).text
}

/** Keys of rejects that no later load has a row for. */
async function keysOf(tx: Transaction, table: SourceTableDef): Promise<readonly (string | null)[]> {
  const rows = await tx.rows(
    sql`select distinct r.row_key from naru.reject r where ${isAside(table)} limit ${keysMax + 1}`,
  )
  return rows.map(row => row['row_key'] as string | null)
}

/** A reject of a row that is set aside, before it is read again. */
export interface RejectAside {
  readonly key: string
  readonly reason: string
  readonly load: bigint
  readonly line: bigint | null
}

/** The rejects of the rows that `rejectedRows` asks for. */
export async function rejectsAside(tx: Transaction, config: SourceTableDef): Promise<readonly RejectAside[]> {
  const table = await rememberedTable(tx, config)
  const rows = await tx.rows(
    sql`select r.row_key, r.reason, r.load, r.line from naru.reject r where ${isAside(table)} and r.row_key like '{%'`,
  )
  return rows.map(row => ({
    key: row['row_key'] as string,
    reason: row['reason'] as string,
    load: row['load'] as bigint,
    line: row['line'] as bigint | null,
  }))
}

/** Rows that are named. */
const namedMax = 20

/**
 * Once rows that were set aside were read again: the same reject of the same row is kept once, and rows that were not
 * read, because the source does not have them any more, have none. Gives what is still set aside.
 */
export async function settleRejects(
  tx: Transaction,
  config: SourceTableDef,
  before: readonly RejectAside[],
): Promise<{ readonly rows: number; readonly first: readonly SetAside[]; readonly gone: number }> {
  const newest = before.reduce((max, { load }) => (load > max ? load : max), 0n)
  const found = await tx.rows(sql`
    select load, unit, row_key, reason from naru.reject where ${ofTable(config)} and load > ${newest} and row_key like '{%'`)
  const again = new Set(found.map(row => row['row_key']))
  const known = new Set(before.map(({ key, reason }) => `${reason} ${key}`))
  const repeated = found.filter(row => Number(row['unit']) !== 0 && known.has(`${row['reason']} ${row['row_key']}`))
  const still = await rejectsAside(tx, config)
  const isStill = new Set(still.map(({ load, line, key }) => `${load} ${line} ${key}`))
  const gone = before.filter(({ load, line, key }) => !again.has(key) && isStill.has(`${load} ${line} ${key}`))
  await forget(tx, config, [
    ...repeated.map(
      row =>
        sql`(load = ${row['load'] as bigint} and row_key = ${row['row_key'] as string} and reason = ${row['reason'] as string})`,
    ),
    ...gone.map(
      ({ load, line, key }) => sql`(load = ${load} and row_key = ${key} and line is not distinct from ${line})`,
    ),
  ])
  const left = await readSetAside(tx, config, Number.MAX_SAFE_INTEGER)
  return { rows: left.length, first: left.slice(0, namedMax), gone: new Set(gone.map(({ key }) => key)).size }
}

async function forget(tx: Transaction, config: SourceTableDef, which: readonly Sql[]): Promise<void> {
  if (which.length > 0)
    await tx.execute(sql`delete from naru.reject where ${ofTable(config)} and (${joinSql(which, ' or ')})`)
}
