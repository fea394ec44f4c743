import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { ident, renderSql, sql, type Sql } from '../../../../core/sql.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'
import { ClaimFeed } from '../../claim-feed.ts'
import { CLAIM_POLL_MS, claimCan, claimPosition, claimText, compareClaims } from '../../claims.ts'
import type { CaptureProblem, CapturedTable, Captures } from '../../contract-capture.ts'
import { PolledStream } from '../../polled-stream.ts'
import { readCatalog } from '../catalog.ts'
import { sourceIdent, sourceName } from '../source-name.ts'
import { schemaName, streamTable } from '../change-table/names.ts'
import { takeLock } from '../change-table/feed.ts'
import { baseScript } from '../change-table/script.ts'
import { readStream } from '../change-table/state.ts'
import { Connection } from '../connection.ts'
import { duringSession } from '../during.ts'
import { sourceError } from '../errors.ts'
import { clockMicros } from '../horizon.ts'
import { readProblems, schemaProblems } from '../privileges.ts'
import type { Target } from '../target.ts'
import { PostgresClaims } from './source.ts'

/** How far claims were confirmed: one row. */
const claimTable = ident('naru_capture', 'naru_claim')

/** The technique `status`: rows are claimed by their flag, in a transaction that commits when they are confirmed. */
export function statusCaptures(env: Env, target: Target): Captures {
  const during = duringSession(env, target)
  return {
    can: claimCan,
    inspect: (tables, signal) => during('read', signal, connection => inspect(connection, target, tables, signal)),
    install: (tables, signal) =>
      during('write', signal, async connection => {
        const problems = (await inspect(connection, target, tables, signal)).filter(it => it.isFatal)
        if (problems.length > 0) throw notReady(target, problems.map(it => it.text).join('; '))
        await connection.query(sql`begin`, signal)
        for (const statement of script(sql`${env.random.uuid()}`)) await connection.query(statement, signal)
        await connection.query(sql`commit`, signal)
        return headOf(connection, target, signal)
      }),
    script: () => ({ install: script(sql`gen_random_uuid()::text`).map(textOf), remove: removal.map(textOf) }),
    remove: signal =>
      during('write', signal, async connection => {
        if ((await readStream(connection, 'status', signal)) === null) return
        await connection.query(sql`begin`, signal)
        for (const statement of removal) await connection.query(statement, signal)
        const [left] = await connection.query(sql`select count(*) from ${streamTable}`, signal)
        if (left?.[0] === '0') await connection.query(sql`drop schema ${schemaName} cascade`, signal)
        await connection.query(sql`commit`, signal)
      }),
    head: signal => during('read', signal, connection => headOf(connection, target, signal)),
    compare: compareClaims,
    open: async (request, signal) => {
      let connection: Connection | null = null
      try {
        connection = await Connection.open(env, target, 'write', signal)
        await takeLock(connection, 'status', target, signal)
        const from = await claimStart(connection, { target, from: request.from }, signal)
        const given = { tables: request.tables, confirmed: claimTable }
        const source = await PostgresClaims.open({ target, connection }, given, signal)
        const feed = new ClaimFeed(source, { clock: env.clock, from, bytes: request.sliceBytes })
        return new PolledStream(feed, { clock: env.clock, pollMs: CLAIM_POLL_MS, signal })
      } catch (error) {
        await connection?.close()
        throw sourceError(error, target, null)
      }
    },
  }
}

function script(identity: Sql): readonly Sql[] {
  return [
    ...baseScript('status', identity),
    sql`create table if not exists ${claimTable} (position bigint not null)`,
    sql`insert into ${claimTable} select ${clockMicros} where not exists (select 1 from ${claimTable})`,
  ]
}

const removal: readonly Sql[] = [
  sql`drop table if exists ${claimTable}`,
  sql`delete from ${streamTable} where technique = ${'status'}`,
]

function textOf(statement: Sql): string {
  return renderSql(statement, postgresDialect).text
}

function notReady({ source }: Target, problems: string): Error {
  return fail('CAPTURE_NOT_READY', { source, technique: 'status', problems })
}

/** Which installation it is, and how far it was confirmed. Throws `CAPTURE_NOT_READY`. */
async function readClaims(
  connection: Connection,
  target: Target,
  signal: AbortSignal,
): Promise<{ readonly log: string; readonly confirmed: bigint; readonly clockMicros: bigint }> {
  const stream = await readStream(connection, 'status', signal)
  if (stream === null) throw notReady(target, 'nothing is installed for it')
  const [row] = await connection.query(sql`select position, ${clockMicros} from ${claimTable}`, signal)
  if (row === undefined) throw notReady(target, 'its table of claims is empty')
  const [confirmed, clock] = row.map(value => BigInt(value as string)) as [bigint, bigint]
  return { log: `${stream.identity}.${stream.server}`, confirmed, clockMicros: clock }
}

async function headOf(connection: Connection, target: Target, signal: AbortSignal): Promise<string> {
  const { log, confirmed, clockMicros: clock } = await readClaims(connection, target, signal)
  return claimText({ log, number: clock > confirmed ? clock : confirmed + 1n })
}

/** Where the stream begins. Throws `POSITION_LOST` where rows behind it were claimed by another reader. */
async function claimStart(
  connection: Connection,
  { target, from }: { readonly target: Target; readonly from: string },
  signal: AbortSignal,
): Promise<{ readonly log: string; readonly number: bigint }> {
  const lost = (problem: string): Error =>
    fail('POSITION_LOST', { source: target.source, technique: 'status', problem })
  const position = claimPosition(from)
  if (position === null) throw lost('it is no position of claims')
  if ((await readStream(connection, 'status', signal)) === null) throw lost('nothing is installed for it any more')
  const { log, confirmed } = await readClaims(connection, target, signal)
  if (position.log !== log) throw lost('it was installed anew, or the server is another one or was set back')
  if (position.number < confirmed) throw lost('rows behind it were claimed and confirmed by another reader')
  return { log, number: position.number }
}

async function inspect(
  connection: Connection,
  target: Target,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const problems: CaptureProblem[] = [...(await schemaProblems(connection, target, signal))]
  const unseen = await readProblems(connection, target, tables, signal)
  problems.push(...unseen)
  for (const { name, remote, status } of tables) {
    if (unseen.some(it => it.table === name && it.fix.includes(' schema '))) continue
    const problem = (text: string, fix: string, isFatal = true): void => {
      problems.push({ table: name, text, fix, isFatal })
    }
    const [table] = await readCatalog(connection, { name: remote }, signal)
    const flag = table?.columns.find(column => column.name === status?.column)
    if (table === undefined) problem(`there is no table "${remote}"`, 'Correct its name, or let the account read it.')
    else if (status === undefined) problem(`no flag is named for "${remote}"`, 'Name its column, pending and done.')
    else if (flag === undefined) problem(`"${remote}" has no column "${status.column}"`, 'Name a column that it has.')
    else {
      const { schema, relation } = sourceName(remote)
      const full = textOf(sql`${sourceIdent(remote)}`)
      const [row] = await connection.query(
        sql`select r.relkind in ('r', 'p'), has_column_privilege(r.oid, ${status.column}, 'update') and has_table_privilege(r.oid, 'select'),
          exists (select 1 from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = r.oid and a.attname = ${status.column})
          from pg_class r join pg_namespace n on n.oid = r.relnamespace where n.nspname = ${schema} and r.relname = ${relation}`,
        signal,
      )
      const [isTable, mayUpdate, isIndexed] = row ?? []
      const column = textOf(sql`${ident(status.column)}`)
      if (isTable !== 't') problem(`"${remote}" is no table: its rows cannot be claimed`, 'Name the table behind it.')
      else if (mayUpdate !== 't') {
        problem(
          `the account "${target.user}" may not claim rows of "${remote}"`,
          `grant select, update (${column}) on ${full} to ${textOf(sql`${ident(target.user)}`)};`,
        )
      } else if (isIndexed !== 't') {
        const fix = `create index on ${full} (${column}) where ${column} = ${postgresDialect.literal(status.pending)}`
        problem(`"${remote}" has no index on "${status.column}": every look passes over the whole table`, fix, false)
      }
    }
  }
  return problems
}
