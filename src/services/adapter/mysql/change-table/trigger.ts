import type { ColumnData } from '../../../../core/batch.ts'
import { joinBatches } from '../../../../core/batch-join.ts'
import { changeOp, type ChangeSlice, type TableChanges } from '../../../../core/change-slice.ts'
import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { sql } from '../../../../core/sql.ts'
import type { ColumnDef } from '../../../../core/types.ts'
import { messagesOf, noTransactions, nulled, opsOf } from '../../change-order.ts'
import {
  keptColumns,
  type CapturedTable,
  type CaptureProblem,
  type CaptureRequest,
  type Captures,
  type SchemaChange,
} from '../../contract-capture.ts'
import { cascadesFix, cascadesOf } from '../cascades.ts'
import { findTable, type CatalogColumn, type CatalogTable } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import { privilegeProblems } from '../privileges.ts'
import type { Target } from '../target.ts'
import { tableCaptures, type TechniqueParts } from './captures.ts'
import { splitNumbers, type FeedKind, type NumberedRows, type ReadRows } from './feed.ts'
import { hasTable, readStream } from './heads.ts'
import { CAPTURED, changeName, own, sourceName, triggerName } from './names.ts'
import { baseScript, capturedIdent, changeIdent, dropScript, stateOf, streamIdent, tableScript } from './script.ts'

/**
 * Changes that triggers write into change tables beside the tables. What it does not see: TRUNCATE fires no trigger, nor does a
 * foreign key that deletes or changes rows along with others, nor ALTER TABLE of partitions. UPDATE IGNORE fires it for rows that it
 * leaves as they are.
 */
export function triggerCaptures(env: Env, target: Target): Captures {
  return tableCaptures(env, target, triggerParts(target))
}

function triggerParts(target: Target): TechniqueParts {
  const { database, source } = target
  const remotes = async (connection: Connection, signal: AbortSignal): Promise<readonly string[]> => {
    if (!(await hasTable(connection, database, CAPTURED, signal))) return []
    const rows = await connection.query(sql`select remote from ${capturedIdent(database)} order by remote`, signal)
    return rows.map(([remote]) => remote as string)
  }
  return {
    technique: 'trigger',
    can: { deletes: true, everyVersion: true, silentWriters: true, transactions: false, truncates: false },
    inspect: async (connection, tables, signal) => {
      const found = [...(await privilegeProblems(connection, target, { technique: 'trigger', tables }, signal))]
      for (const table of tables) found.push(...(await obstaclesOf(connection, table, database, signal)))
      return found
    },
    install: async (connection, tables, identity, signal) => {
      for (const statement of baseScript('trigger', database, sql`${identity}`)) await connection.run(statement, signal)
      let isBroken = false
      for (const table of tables) {
        const fault = await faultOf(connection, table, database, signal)
        if (fault === null && (await keepsAll(connection, table, database, signal))) continue
        isBroken ||= fault === null || !fault.includes('has no triggers')
        for (const statement of tableScript(table, database)) await connection.run(statement, signal)
      }
      // What triggers missed while they were broken is nowhere: the log is another one from here on.
      if (isBroken)
        await connection.run(
          sql`update ${streamIdent(database)} set identity = ${identity}, confirmed = null where technique = ${'trigger'}`,
          signal,
        )
    },
    script: tables => ({
      install: [...baseScript('trigger', database, sql`uuid()`), ...tables.flatMap(it => tableScript(it, database))],
      remove: [
        ...tables.flatMap(table => dropScript(table.remote, database)),
        sql`delete from ${streamIdent(database)} where technique = ${'trigger'}`,
      ],
    }),
    uncaptured: async (connection, tables, signal) => {
      if (tables.length === 0) return []
      const stream = await readStream(connection, database, 'trigger', signal)
      const captured = stream === null ? [] : await remotes(connection, signal)
      return tables.filter(it => !captured.includes(it.remote))
    },
    remove: async (connection, signal, only) => {
      if ((await readStream(connection, database, 'trigger', signal)) === null) return
      const captured = await remotes(connection, signal)
      const gone = captured.filter(remote => only?.includes(remote) !== false)
      for (const remote of gone) {
        for (const statement of dropScript(remote, database)) await connection.run(statement, signal)
      }
      // Tables of others, whose stream goes on.
      if (gone.length < captured.length) return
      await connection.run(sql`drop table if exists ${capturedIdent(database)}`, signal)
      await dropStream(connection, database, 'trigger', signal)
    },
    numbered: async (connection, signal) =>
      (await remotes(connection, signal)).map(remote => ({
        name: remote,
        table: changeIdent(remote, database),
        id: own.id,
      })),
    open: (connection, request, signal) => openTables(connection, { source, database }, request, signal),
  }
}

/** The table of streams goes with the last of them. */
export async function dropStream(
  connection: Connection,
  database: string,
  technique: 'trigger' | 'event',
  signal: AbortSignal,
): Promise<void> {
  await connection.run(sql`delete from ${streamIdent(database)} where technique = ${technique}`, signal)
  const [left] = await connection.query(sql`select count(*) from ${streamIdent(database)}`, signal)
  if (left?.[0] !== '0') return
  await connection.run(sql`drop table ${streamIdent(database)}`, signal)
  await connection.run(sql`drop table if exists ${capturedIdent(database)}`, signal)
}

async function obstaclesOf(
  connection: Connection,
  table: CapturedTable,
  database: string,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const problem = (text: string, fix: string, isFatal: boolean): CaptureProblem => ({
    table: table.name,
    text,
    fix,
    isFatal,
  })
  const found = await findTable(connection, table.remote, database, signal)
  if (found === null)
    return [problem(`there is no table "${table.remote}"`, 'Correct its name in the schema module.', true)]
  const problems = [
    problem('TRUNCATE fires no trigger: rows that it removes stay here', "Use DELETE, or the technique 'log'.", false),
    problem(
      'UPDATE IGNORE fires the triggers also for rows that it leaves as they are, because of a duplicate key or a foreign key: those are recorded as if they had changed',
      "Look for a duplicate before the UPDATE, or use the technique 'log'.",
      false,
    ),
  ]
  if (found.engine !== 'InnoDB')
    problems.push(
      problem(
        `it is ${found.engine ?? 'a view'}: only InnoDB tables have transactions`,
        'alter table … engine = InnoDB',
        true,
      ),
    )
  if (table.key.length === 0)
    problems.push(
      problem(
        'it has no key, so its changes cannot be told apart',
        'Give it a primary key, or name a key in the config.',
        true,
      ),
    )
  const parts = await connection.query(
    sql`select 1 from information_schema.partitions where table_schema = ${found.schema}
      and table_name = ${found.relation} and partition_name is not null limit 1`,
    signal,
  )
  if (parts.length > 0)
    problems.push(
      problem(
        'it has partitions: ALTER TABLE with DROP, TRUNCATE or EXCHANGE PARTITION fires no trigger',
        'Run `naru resync` of the table after it: the log does not tell it either.',
        false,
      ),
    )
  const cascades = await cascadesOf(connection, found, signal)
  if (cascades.length > 0)
    problems.push(
      problem(
        `what its foreign keys delete or change (${cascades.join(', ')}) fires no trigger`,
        `${cascadesFix} The log does not tell it either.`,
        false,
      ),
    )
  return problems
}

/** What is wrong with what was installed for a table; `null` when it works as it did. */
async function faultOf(
  connection: Connection,
  { remote }: CapturedTable,
  database: string,
  signal: AbortSignal,
): Promise<string | null> {
  const { relation, schema } = sourceName(remote)
  const [row] = await connection.query(
    sql`select (select c.state from ${capturedIdent(database)} c where c.remote = ${remote}), ${stateOf(database, relation, remote)},
      (select count(*) from information_schema.tables where table_schema = ${schema ?? database} and table_name = ${relation}),
      (select count(*) from information_schema.tables where table_schema = ${schema ?? database} and table_name = ${changeName(relation)}),
      (select max(g.event_object_table) from information_schema.triggers g
       where g.trigger_schema = ${schema ?? database} and g.trigger_name = ${triggerName(relation, 'insert')})`,
    signal,
  )
  const [before, now, isThere, hasChanges, triggersAt] = row ?? []
  if (before == null) return `table "${remote}" has no triggers of ours`
  if (triggersAt != null && triggersAt !== relation) return `table "${remote}" is called "${triggersAt}" now`
  if (isThere === '0') return `table "${remote}" is gone`
  if (hasChanges === '0') return `the change table of "${remote}" is gone or was made anew`
  return before === now ? null : `triggers of table "${remote}" were dropped or changed, or the table was made anew`
}

async function keepsAll(
  connection: Connection,
  table: CapturedTable,
  database: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { schema, relation } = sourceName(table.remote)
  const rows = await connection.query(
    sql`select column_name from information_schema.columns
      where table_schema = ${schema ?? database} and table_name = ${changeName(relation)}`,
    signal,
  )
  const kept = new Set(rows.map(([name]) => name))
  return keptColumns(table).every(name => kept.has(name))
}

async function openTables(
  connection: Connection,
  { source, database }: Pick<Target, 'source' | 'database'>,
  { tables }: CaptureRequest,
  signal: AbortSignal,
): Promise<FeedKind> {
  const shapes = new Map<string, string>()
  const defs: (readonly ColumnDef[])[] = []
  const sources: NumberedRows[] = []
  const look = async (on: Connection, table: CapturedTable, during: AbortSignal): Promise<CatalogTable | null> => {
    const fault = await faultOf(on, table, database, during)
    if (fault !== null && !(fault.endsWith('is gone') && shapes.has(table.name)))
      throw fail('CAPTURE_NOT_READY', { source, technique: 'trigger', problems: fault })
    return fault === null ? findTable(on, table.remote, database, during) : null
  }
  const readAs = (table: CapturedTable, found: CatalogTable): void => {
    const place = tables.indexOf(table)
    const columns = table.columns.flatMap(wanted => {
      const known = found.columns.find(column => column.name === wanted.name)
      return known === undefined ? [] : [{ ...known, nullable: true, personal: wanted.personal }]
    })
    defs[place] = columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal }))
    const changes = changeIdent(table.remote, database)
    sources[place] = { name: table.remote, table: changes, id: own.id, columns: [opColumn, ...columns], key: table.key }
  }
  const check = async (on: Connection, during: AbortSignal): Promise<SchemaChange | null> => {
    for (const table of tables) {
      const found = await look(on, table, during)
      const shape = JSON.stringify(found?.columns.map(it => [it.name, it.nativeType]) ?? null)
      const before = shapes.get(table.name)
      if (before === shape) continue
      shapes.set(table.name, shape)
      if (found !== null) readAs(table, found)
      if (before === undefined) continue
      return { kind: 'schema', table: table.name, position: null, columns: found?.columns ?? [], key: found?.key ?? [] }
    }
    return null
  }
  await check(connection, signal)
  return { technique: 'trigger', sources, check, assemble: rows => assemble(rows, tables, defs) }
}

const opColumn: CatalogColumn = {
  name: own.op,
  type: { kind: 'int', bits: 16 },
  as: 'value',
  nativeName: 'smallint',
  nativeType: 'smallint(6)',
  nullable: false,
  personal: false,
  charset: null,
  collation: null,
  readable: true,
  generated: false,
  timeDigits: 0,
}

/** Tables one after the other: their changes have no order between them. */
function assemble(
  read: readonly ReadRows[],
  tables: readonly CapturedTable[],
  defs: readonly (readonly ColumnDef[])[],
): Pick<ChangeSlice, 'tables' | 'messages' | 'transactions'> {
  let place = 0
  const changes = read.map(({ place: t, batches }): TableChanges => {
    const { rows } = splitNumbers(joinBatches(batches.map(it => it.batch)))
    const [op, ...columns] = rows.columns
    const ops = opsOf(op as ColumnData, rows.rows)
    const deleted = [...ops.keys()].filter(row => ops[row] === changeOp.delete)
    const { name, key } = tables[t] as CapturedTable
    const known = defs[t] as readonly ColumnDef[]
    const order = Uint32Array.from({ length: rows.rows }, () => place++)
    return {
      table: name,
      columns: known,
      rows: {
        rows: rows.rows,
        columns: columns.map((column, c) =>
          key.includes((known[c] as ColumnDef).name) ? column : nulled(column, deleted, rows.rows),
        ),
      },
      ops,
      order,
      unchanged: known.map(() => null),
    }
  })
  const messages = read.flatMap(({ place: t, batches }) =>
    messagesOf(
      (tables[t] as CapturedTable).name,
      batches.flatMap(it => it.rejects),
    ),
  )
  return { tables: changes.filter(it => it.rows.rows > 0), messages, transactions: noTransactions }
}
