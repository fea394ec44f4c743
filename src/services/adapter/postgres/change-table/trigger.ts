import type { Env } from '../../../../core/env.ts'
import { changeOp } from '../../../../core/change-slice.ts'
import { fail } from '../../../../core/errors.ts'
import { sql } from '../../../../core/sql.ts'
import type { CapturedTable, CaptureRequest, Captures, SchemaChange } from '../../contract-capture.ts'
import { readCatalog, type CatalogColumn } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import { readProblems, schemaProblems } from '../privileges.ts'
import type { Target } from '../target.ts'
import { sliceOf, type ReadTable } from './assemble.ts'
import { tableCaptures, type TechniqueParts } from './captures.ts'
import type { FeedKind } from './feed.ts'
import { capturedTable, CAPTURE_SCHEMA, changeIdent, changeName, own, schemaName, streamTable } from './names.ts'
import { baseScript, dropOwn, dropScript, tableScript } from './script.ts'
import { readObstacles, readStream, readTables } from './state.ts'
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
      for (const { table } of broken) {
        for (const statement of [...dropOwn(table.remote), ...tableScript(table)])
          await connection.query(statement, signal)
      }
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

/** A table that has gone takes its triggers along; its function stays, and is removed here. */
async function remove(connection: Connection, signal: AbortSignal): Promise<void> {
  if ((await readStream(connection, 'trigger', signal)) === null) return
  const rows = await connection.query(sql`select remote from ${capturedTable}`, signal)
  await connection.query(sql`begin`, signal)
  for (const [remote] of rows) {
    await connection.query(dropOwn(remote as string)[0] as ReturnType<typeof dropOwn>[0], signal)
    await connection.query(sql`drop table if exists ${changeIdent(remote as string)}`, signal)
  }
  await connection.query(sql`delete from ${capturedTable}`, signal)
  await connection.query(sql`delete from ${streamTable} where technique = ${'trigger'}`, signal)
  const [left] = await connection.query(sql`select count(*) from ${streamTable}`, signal)
  if (left?.[0] === '0') await connection.query(sql`drop schema ${schemaName} cascade`, signal)
  await connection.query(sql`commit`, signal)
}

async function openTables(
  connection: Connection,
  target: Target,
  { tables }: CaptureRequest,
  signal: AbortSignal,
): Promise<{ readonly kind: FeedKind; readonly sources: readonly ChangeRows[] }> {
  const shapes = new Map((await checkedTables(connection, target, tables, signal)).map(it => [it.table.name, it.shape]))
  const read: ReadTable[] = []
  const sources: ChangeRows[] = []
  const readAs = async (table: CapturedTable, isThere: (column: string) => boolean, on: Connection): Promise<void> => {
    const columns = (await columnsOf(on, target, table, signal)).filter(column => isThere(column.name))
    const place = tables.indexOf(table)
    read[place] = {
      table,
      columns: columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal })),
    }
    sources[place] = rowsOf(table, columns)
  }
  for (const table of tables) await readAs(table, () => true, connection)
  const check = async (on: Connection, during: AbortSignal): Promise<SchemaChange | null> => {
    for (const { table, shape } of await checkedTables(on, target, tables, during, shapes)) {
      if (shapes.get(table.name) === shape) continue
      shapes.set(table.name, shape)
      const [now] = shape === '' ? [] : await readCatalog(on, { name: table.remote }, during)
      const columns = now?.columns ?? []
      if (shape !== '') await readAs(table, name => columns.some(column => column.name === name), on)
      return { kind: 'schema', table: table.name, position: null, columns, key: now?.key ?? [] }
    }
    return null
  }
  return { kind: { technique: 'trigger', check, assemble: group => sliceOf(group, read) }, sources }
}

/** The state of each table. One that was dropped while the stream was open is told as a change of shape; every other fault is an error. */
async function checkedTables(
  connection: Connection,
  { source }: Target,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
  shapes?: ReadonlyMap<string, string>,
): Promise<readonly { readonly table: CapturedTable; readonly shape: string }[]> {
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

function rowsOf(table: CapturedTable, columns: readonly CatalogColumn[]): ChangeRows {
  const op = { name: own.op, type: { kind: 'int', bits: 16 }, nullable: false, personal: false } as const
  const asked = columns.map(({ name, type, nullable, personal, asText }) => {
    const value = readColumn(name, asText)
    const as = table.key.includes(name) ? value : unlessOp(value, own.op, [changeOp.delete])
    return { name, type, nullable, personal, as }
  })
  return {
    table: changeIdent(table.remote),
    xid: own.xid,
    seq: own.seq,
    columns: [{ ...op, as: readColumn(own.op, false) }, ...asked],
    key: table.key,
  }
}
