import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { ident, renderSql, sql, type Ident, type Sql } from '../../../../core/sql.ts'
import { mysqlDialect } from '../../../../systems/mysql/dialect.ts'
import { ClaimFeed } from '../../claim-feed.ts'
import { CLAIM_POLL_MS, claimCan, claimPosition, claimText, compareClaims, type ClaimPosition } from '../../claims.ts'
import type { CaptureProblem, CapturedTable, Captures } from '../../contract-capture.ts'
import { PolledStream } from '../../polled-stream.ts'
import { findTable } from '../catalog.ts'
import { Connection } from '../connection.ts'
import { duringSession } from '../during.ts'
import { sourceError } from '../errors.ts'
import { clockMicros } from '../horizon.ts'
import { privilegeProblems } from '../privileges.ts'
import { takeLock } from '../stream-lock.ts'
import type { Target } from '../target.ts'
import { MysqlClaims } from './source.ts'

/** Which installation it is, and how far its claims were confirmed: one row. */
function claimTable({ database }: Target): Ident {
  return ident(database, 'naru_claim')
}

/** The technique `status`: rows are claimed by their flag, in a transaction that commits when they are confirmed. */
export function statusCaptures(env: Env, target: Target): Captures {
  const during = duringSession(env, target)
  return {
    can: claimCan,
    inspect: (tables, signal) => during('read', signal, connection => inspect(connection, target, tables, signal)),
    install: (tables, signal) =>
      during('read', signal, async connection => {
        const problems = (await inspect(connection, target, tables, signal)).filter(it => it.isFatal)
        if (problems.length > 0) throw notReady(target, problems.map(it => it.text).join('; '))
        for (const statement of script(target, sql`${env.random.uuid()}`)) await connection.run(statement, signal)
        return headOf(connection, target, signal)
      }),
    script: () => ({
      install: script(target, sql`uuid()`).map(textOf),
      remove: [textOf(removal(target))],
    }),
    remove: signal => during('read', signal, async connection => void (await connection.run(removal(target), signal))),
    head: signal => during('read', signal, connection => headOf(connection, target, signal)),
    compare: compareClaims,
    open: async (request, signal) => {
      let connection: Connection | null = null
      try {
        connection = await Connection.open(env, target, 'read', signal)
        await takeLock(connection, 'status', target, signal)
        const from = await startOf(connection, target, request.from, signal)
        const given = { tables: request.tables, confirmed: claimTable(target) }
        const source = await MysqlClaims.open({ target, connection }, given, signal)
        const feed = new ClaimFeed(source, { clock: env.clock, from, bytes: request.sliceBytes })
        return new PolledStream(feed, { clock: env.clock, pollMs: CLAIM_POLL_MS, signal })
      } catch (error) {
        await connection?.close()
        throw sourceError(error, target, null)
      }
    },
  }
}

function script(target: Target, identity: Sql): readonly Sql[] {
  const table = claimTable(target)
  return [
    sql`create table if not exists ${table} (identity varchar(64) not null, position bigint not null) engine = InnoDB`,
    sql`insert into ${table} select ${identity}, ${clockMicros} from dual where not exists (select 1 from ${table})`,
  ]
}

function removal(target: Target): Sql {
  return sql`drop table if exists ${claimTable(target)}`
}

function textOf(statement: Sql): string {
  return renderSql(statement, mysqlDialect).text
}

function notReady({ source }: Target, problems: string): Error {
  return fail('CAPTURE_NOT_READY', { source, technique: 'status', problems })
}

interface Claims extends ClaimPosition {
  readonly clockMicros: bigint
}

/** Which installation it is, and how far it was confirmed; `null` when nothing is installed. */
async function readClaims(connection: Connection, target: Target, signal: AbortSignal): Promise<Claims | null> {
  const [found] = await connection.query(
    sql`select count(*) from information_schema.tables where table_schema = ${target.database} and table_name = 'naru_claim'`,
    signal,
  )
  if (found?.[0] === '0') return null
  const [row] = await connection.query(
    sql`select identity, position, ${clockMicros} from ${claimTable(target)}`,
    signal,
  )
  if (row === undefined) return null
  const [log, number, clock] = row as readonly [string, string, string]
  return { log, number: BigInt(number), clockMicros: BigInt(clock) }
}

async function headOf(connection: Connection, target: Target, signal: AbortSignal): Promise<string> {
  const claims = await readClaims(connection, target, signal)
  if (claims === null) throw notReady(target, 'nothing is installed for it')
  const { log, number, clockMicros: clock } = claims
  return claimText({ log, number: clock > number ? clock : number + 1n })
}

async function startOf(
  connection: Connection,
  target: Target,
  text: string,
  signal: AbortSignal,
): Promise<ClaimPosition> {
  const lost = (problem: string): Error =>
    fail('POSITION_LOST', { source: target.source, technique: 'status', problem })
  const from = claimPosition(text)
  if (from === null) throw lost('it is no position of claims')
  const now = await readClaims(connection, target, signal)
  if (now === null) throw lost('nothing is installed for it any more')
  if (from.log !== now.log) throw lost('it was installed anew, or the server is another one')
  if (from.number < now.number) throw lost('rows behind it were claimed and confirmed by another reader')
  return from
}

/** The first versions that pass over rows which others hold: MariaDB 10.6, MySQL 8.0.1. */
const SKIPS_SINCE = { mariadb: 100_600, mysql: 80_001 }

async function inspect(
  connection: Connection,
  target: Target,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const problems = [...(await privilegeProblems(connection, target, { technique: 'status', tables }, signal))]
  const { isMariaDb, version } = connection.kind
  if (version < (isMariaDb ? SKIPS_SINCE.mariadb : SKIPS_SINCE.mysql)) {
    const text = 'the server cannot pass over rows that others hold (SKIP LOCKED)'
    problems.push({ table: null, text, fix: 'Use MariaDB 10.6, MySQL 8.0.1, or newer.', isFatal: true })
  }
  for (const { name, remote, status, key } of tables) {
    const problem = (text: string, fix: string, isFatal = true): void => {
      problems.push({ table: name, text, fix, isFatal })
    }
    const table = await findTable(connection, remote, target.database, signal)
    const flag = table?.columns.find(column => column.name === status?.column)
    if (table === null) problem(`there is no table "${remote}"`, 'Correct its name, or let the account read it.')
    else if (status === undefined) problem(`no flag is named for "${remote}"`, 'Name its column, pending and done.')
    else if (flag === undefined) problem(`"${remote}" has no column "${status.column}"`, 'Name a column that it has.')
    else if (key.length === 0)
      problem(`"${remote}" has no key by which a row is claimed`, 'Name its key in the config.')
    else if (table.engine !== 'InnoDB') {
      problem(
        `"${remote}" is not kept by InnoDB: a claim could not be taken back`,
        `alter table ${remote} engine = InnoDB`,
      )
    } else {
      const [row] = await connection.query(
        sql`select count(*) from information_schema.statistics where table_schema = ${table.schema}
          and table_name = ${table.relation} and column_name = ${flag.name} and seq_in_index = 1`,
        signal,
      )
      if (row?.[0] !== '0') continue
      const fix = `create index naru_flag on ${textOf(sql`${ident(table.schema, table.relation)}`)} (${textOf(sql`${ident(flag.name)}`)})`
      // Without it also rows that are only looked at are locked while a claim is open.
      problem(`"${remote}" has no index on "${flag.name}": every look passes over the whole table`, fix, false)
    }
  }
  return problems
}
