import type { Env } from '../../../../core/env.ts'
import { changeOp } from '../../../../core/change-slice.ts'
import { fail } from '../../../../core/errors.ts'
import { rawSql, sql, type Sql } from '../../../../core/sql.ts'
import { keptColumns, type CapturedTable, type CaptureRequest, type Captures } from '../../contract-capture.ts'
import { readCatalog, type CatalogColumn } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import { hiddenRowsProblems, readProblems, schemaProblems } from '../privileges.ts'
import type { Target } from '../target.ts'
import { sliceOf } from './assemble.ts'
import { tableCaptures, type TechniqueParts } from './captures.ts'
import type { FeedKind, FoundShape } from './feed.ts'
import { isOutgrown, keptAnew, keptAtFirst, keptOn, keptText, otherColumn } from './kept.ts'
import {
  capturedTable,
  CAPTURE_SCHEMA,
  changeIdent,
  changeName,
  own,
  schemaName,
  sequenceName,
  streamTable,
} from './names.ts'
import { baseScript, dropOwn, dropScript, holdScript, noteForms, noteKept, tableScript, widenScript } from './script.ts'
import { readObstacles, readStream, readTables, type TableState } from './state.ts'
import { readColumn, unlessOp, type ChangeRows } from './window.ts'

/** Changes that triggers write into change tables beside the tables. */
export function triggerCaptures(env: Env, target: Target): Captures {
  return tableCaptures(env, target, triggerParts(target))
}

function triggerParts(target: Target): TechniqueParts {
  return {
    technique: 'trigger',
    can: { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true },
    inspect: async (connection, tables, signal) => {
      const found = [...(await schemaProblems(connection, target, signal))]
      const unseen = (await readProblems(connection, target, tables, signal)).filter(it => it.fix.includes(' schema '))
      if (unseen.length > 0) return [...found, ...unseen]
      found.push(...(await hiddenRowsProblems(connection, target, tables, signal)))
      for (const table of tables) found.push(...(await readObstacles(connection, table, signal)))
      return found
    },
    install: async (connection, tables, identity, signal) => {
      for (const statement of baseScript('trigger', sql`${identity}`)) await connection.query(statement, signal)
      const states = await readTables(connection, tables, signal)
      const broken = states.filter(it => it.fault !== null)
      // What triggers missed while they were broken is nowhere: the log is another one from here on.
      if (broken.some(it => it.fault?.includes('has no triggers') !== true)) {
        await connection.query(
          sql`update ${streamTable} set identity = ${identity}, pruned = null where technique = ${'trigger'}`,
          signal,
        )
      }
      for (const state of states) await installTable(connection, target, state, signal)
    },
    script: tables => ({
      install: [...baseScript('trigger', sql`gen_random_uuid()::text`), ...tables.flatMap(tableScript)],
      remove: [
        ...tables.flatMap(table => dropScript(table.remote)),
        sql`delete from ${streamTable} where technique = ${'trigger'}`,
      ],
    }),
    remove,
    grown: async (connection, signal) => {
      const rows = await connection.query(sql`select remote from ${capturedTable}`, signal)
      return rows.map(([remote]) => changeIdent(remote as string))
    },
    open: (connection, request, signal) => openTables(connection, target, request, signal),
  }
}

/** Makes the triggers of a table that has none, and has those of another one keep what is asked for. */
async function installTable(
  connection: Connection,
  target: Target,
  state: TableState,
  signal: AbortSignal,
): Promise<void> {
  const { table, fault, kept, source } = state
  const run = async (statements: readonly Sql[]): Promise<void> => {
    for (const statement of statements) await connection.query(statement, signal)
  }
  if (fault !== null) {
    await run([...dropOwn(table.remote), ...tableScript(table)])
    return run([noteKept(table.remote, keptAtFirst(table, source))])
  }
  if (isOutgrown(table, kept, source)) return widenTable(connection, target, table, signal)
  const now = keptOn(kept, source)
  if (keptText(now) !== keptText(kept)) await run([noteForms(table.remote, now)])
}

/**
 * Writers of a table that is to be held wait behind us while we wait for a long transaction: we give way, and the reader tries
 * again. Below the server's `deadlock_timeout`, one second: with several tables it is we who end, and not a writer.
 */
const GIVE_WAY_MS = 900

/** No change is between: who wrote before has ended, and who writes next finds the triggers as they are then. */
async function widenTable(
  connection: Connection,
  target: Target,
  table: CapturedTable,
  signal: AbortSignal,
): Promise<void> {
  await connection.query(sql`set local lock_timeout = ${rawSql(String(GIVE_WAY_MS))}`, signal)
  await connection.query(holdScript(table.remote), signal)
  // Who stood in the line before us may have disabled the triggers for a while, or dropped them.
  const [state] = await checkedTables(connection, target, [table], signal)
  const { kept, source } = state as TableState
  const [row] = await connection.query(sql`select nextval(${sequenceName})`, signal)
  const now = keptAnew(table, { kept, source, border: BigInt(row?.[0] as string) })
  // Triggers that name it would refuse every write.
  const lacking = table.key.find(name => !now.some(it => it.name === name))
  if (lacking !== undefined)
    throw fail('SOURCE_COLUMN_GONE', { source: target.source, table: table.remote, column: lacking })
  for (const statement of widenScript(table, { kept: now, before: kept, source }))
    await connection.query(statement, signal)
}

/** A table that has gone takes its triggers along; its function stays, and is removed here. */
async function remove(connection: Connection, signal: AbortSignal, only?: readonly string[]): Promise<void> {
  if ((await readStream(connection, 'trigger', signal)) === null) return
  const rows = await connection.query(sql`select remote from ${capturedTable}`, signal)
  const remotes = rows.map(([remote]) => remote as string).filter(remote => only?.includes(remote) !== false)
  await connection.query(sql`begin`, signal)
  for (const remote of remotes) {
    for (const statement of dropOwn(remote)) await connection.query(statement, signal)
    await connection.query(sql`drop table if exists ${changeIdent(remote)}`, signal)
    await connection.query(sql`delete from ${capturedTable} where remote = ${remote}`, signal)
  }
  // Tables of others, whose stream goes on.
  if (remotes.length === rows.length) {
    await connection.query(sql`delete from ${streamTable} where technique = ${'trigger'}`, signal)
    const [left] = await connection.query(sql`select count(*) from ${streamTable}`, signal)
    if (left?.[0] === '0') await connection.query(sql`drop schema ${schemaName} cascade`, signal)
  }
  await connection.query(sql`commit`, signal)
}

async function openTables(
  connection: Connection,
  target: Target,
  { tables }: CaptureRequest,
  signal: AbortSignal,
): Promise<{ readonly kind: FeedKind; readonly sources: readonly ChangeRows[] }> {
  const states = await checkedTables(connection, target, tables, signal)
  // No shape is one that is told at once.
  const shapes = new Map(states.map(it => [it.table.name, changedSince(it) === null ? shapeOf(it) : null]))
  const sources: ChangeRows[] = []
  const readAs = async (
    { table, kept }: TableState,
    isThere: (column: string) => boolean,
    on: Connection,
  ): Promise<void> => {
    const columns = (await columnsOf(on, target, table, signal)).filter(column => isThere(column.name))
    sources[tables.indexOf(table)] = rowsOf(table, columns, new Map(kept.map(it => [it.name, it.since])))
  }
  for (const state of states) await readAs(state, () => true, connection)
  const check = async (on: Connection, during: AbortSignal): Promise<FoundShape | null> => {
    for (const state of await checkedTables(on, target, tables, during, shapes)) {
      const { table, isThere } = state
      const [shape, changed] = [shapeOf(state), changedSince(state)]
      if (shapes.get(table.name) === shape) continue
      shapes.set(table.name, shape)
      const [now] = isThere ? await readCatalog(on, { name: table.remote }, during) : []
      const [columns, key] = [now?.columns ?? [], now?.key ?? []]
      if (isThere) await readAs(state, name => columns.some(column => column.name === name), on)
      const change = { kind: 'schema', table: table.name, position: null, columns, key } as const
      const unseen = changed?.unseen
      return { change: unseen === undefined ? change : { ...change, unseen }, isLoss: isThere && changed !== null }
    }
    return null
  }
  return { kind: { technique: 'trigger', check, assemble: group => sliceOf(group, tables) }, sources }
}

/** Every column with its type and number, in order, and what was written anew: another text is another shape. */
function shapeOf(state: TableState): string {
  const columns = state.source.columns.map(({ name, number, type }) => [name, number, type])
  return state.isThere ? JSON.stringify([columns, changedSince(state)?.unseen]) : ''
}

/** What became of the columns that are asked for since they were taken up: some are gone, or are others (`unseen`). */
function changedSince({ table, kept, source }: TableState): { readonly unseen?: string } | null {
  const asked = keptColumns(table)
  const others = kept.filter(it => asked.includes(it.name)).flatMap(it => otherColumn(it, source) ?? [])
  if (others.length > 0) return { unseen: others.join('; ') }
  return asked.every(name => source.columns.some(it => it.name === name)) ? null : {}
}

/** The state of each table. One that was dropped while the stream was open is told as a change of shape; every other fault is an error. */
async function checkedTables(
  connection: Connection,
  { source }: Target,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
  shapes?: ReadonlyMap<string, string | null>,
): Promise<readonly TableState[]> {
  const states = await readTables(connection, tables, signal)
  const wasThere = (name: string): boolean => shapes?.has(name) === true
  const faults = states.filter(
    it => it.fault !== null && !(it.fault.endsWith('is gone') && !it.isThere && wasThere(it.table.name)),
  )
  if (faults.length > 0) {
    const problems = faults.map(it => it.fault).join('; ')
    throw fail('CAPTURE_NOT_READY', { source, technique: 'trigger', problems })
  }
  return states
}

/** The columns in the types of the change table, which has them as the table had them when it was made. */
async function columnsOf(
  connection: Connection,
  { source }: Target,
  table: CapturedTable,
  signal: AbortSignal,
): Promise<readonly (CatalogColumn & { readonly personal: boolean })[]> {
  const [changes] = await readCatalog(connection, { name: `${CAPTURE_SCHEMA}.${changeName(table.remote)}` }, signal)
  return table.columns.map(wanted => {
    const found = changes?.columns.find(column => column.name === wanted.name)
    if (found === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: table.remote, column: wanted.name })
    return { ...found, nullable: wanted.nullable, personal: wanted.personal }
  })
}

function rowsOf(
  table: CapturedTable,
  columns: readonly CatalogColumn[],
  since: ReadonlyMap<string, bigint>,
): ChangeRows {
  const op = { name: own.op, type: { kind: 'int', bits: 16 }, nullable: false, personal: false } as const
  const asked = columns.map(({ name, type, nullable, personal, asText }) => {
    const value = readColumn(name, asText)
    const as = table.key.includes(name) ? value : unlessOp(value, own.op, [changeOp.delete])
    return { name, type, nullable, personal, as, since: since.get(name) ?? 0n }
  })
  return {
    table: changeIdent(table.remote),
    xid: own.xid,
    seq: own.seq,
    columns: [{ ...op, as: readColumn(own.op, false) }, ...asked],
    key: table.key,
  }
}
