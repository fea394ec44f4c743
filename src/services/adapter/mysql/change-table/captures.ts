import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { renderSql, sql, type Sql } from '../../../../core/sql.ts'
import { mysqlDialect } from '../../../../systems/mysql/dialect.ts'
import type { CapturedTable, CaptureProblem, CaptureRequest, Captures, ChangeStream } from '../../contract-capture.ts'
import {
  compareIdPositions,
  covers,
  idPositionOf,
  idPositionText,
  nothingGiven,
  type IdPosition,
} from '../../id-gaps.ts'
import { PolledStream } from '../../polled-stream.ts'
import { Connection } from '../connection.ts'
import { duringSession } from '../during.ts'
import { sourceError } from '../errors.ts'
import type { Target } from '../target.ts'
import { NumberedFeed, tablesLag, type FeedKind } from './feed.ts'
import { readHeads, readStream, type Numbered } from './heads.ts'
import type { TableTechnique } from './names.ts'

/** What a technique adds to what both have. */
export interface TechniqueParts {
  readonly technique: TableTechnique
  readonly can: Captures['can']
  inspect(
    connection: Connection,
    tables: readonly CapturedTable[],
    signal: AbortSignal,
  ): Promise<readonly CaptureProblem[]>
  install(
    connection: Connection,
    tables: readonly CapturedTable[],
    identity: string,
    signal: AbortSignal,
  ): Promise<void>
  script(tables: readonly CapturedTable[]): { readonly install: readonly Sql[]; readonly remove: readonly Sql[] }
  remove(connection: Connection, signal: AbortSignal): Promise<void>
  /** Every change table that is installed. */
  numbered(connection: Connection, signal: AbortSignal): Promise<readonly Numbered[]>
  open(connection: Connection, request: CaptureRequest, signal: AbortSignal): Promise<FeedKind>
}

const POLL_MS = 50

/** The techniques that read a table of changes, for one source. */
export function tableCaptures(env: Env, target: Target, parts: TechniqueParts): Captures {
  const { technique, can } = parts
  const { source } = target
  const during = duringSession(env, target)
  const notReady = (problems: string): Error => fail('CAPTURE_NOT_READY', { source, technique, problems })
  const lost = (problem: string): Error => fail('POSITION_LOST', { source, technique, problem })

  const headOf = async (connection: Connection, signal: AbortSignal): Promise<IdPosition> => {
    const stream = await readStream(connection, target.database, technique, signal)
    if (stream === null) throw notReady('nothing is installed for it')
    return readHeads(connection, stream, await parts.numbered(connection, signal), signal)
  }
  const checkPosition = async (connection: Connection, text: string, signal: AbortSignal): Promise<IdPosition> => {
    const from = idPositionOf(text)
    if (from === null) throw lost('it is no position of a change table')
    const stream = await readStream(connection, target.database, technique, signal)
    if (stream === null) throw lost('there is no change table any more')
    if (stream.identity !== from.log) throw lost('the change table was made anew')
    const head = await headOf(connection, signal)
    for (const [name, given] of from.tables) {
      const pruned = stream.confirmed?.tables.get(name) ?? nothingGiven
      if (!covers(given, pruned)) throw lost('changes behind it were confirmed by another reader, and are deleted')
      const now = head.tables.get(name)
      if (now !== undefined && now.max < given.max) throw lost('the server has not come so far: it was set back')
    }
    return from
  }

  return {
    can,
    inspect: (tables, signal) => during('read', signal, connection => parts.inspect(connection, tables, signal)),
    install: (tables, signal) =>
      during('read', signal, async connection => {
        const problems = (await parts.inspect(connection, tables, signal)).filter(it => it.isFatal)
        if (problems.length > 0) throw notReady(problems.map(it => it.text).join('; '))
        // What the guard took away is not put back for a stream that cannot go on: it would grow again.
        const isLost = technique === 'trigger' && tables.some(it => it.isFollowed === true)
        if (isLost && (await readStream(connection, target.database, technique, signal)) === null)
          throw lost('there is no change table any more')
        await parts.install(connection, tables, env.random.uuid(), signal)
        return idPositionText(await headOf(connection, signal))
      }),
    script: tables => {
      const { install, remove } = parts.script(tables)
      return { install: install.map(textOf), remove: remove.map(textOf) }
    },
    remove: signal => during('read', signal, connection => parts.remove(connection, signal)),
    lag: (_from, signal) =>
      during('read', signal, async connection => {
        const isThere = (await readStream(connection, target.database, technique, signal)) !== null
        if (!isThere) return { bytes: null, bytesLeft: null, trouble: null }
        return tablesLag(connection, await parts.numbered(connection, signal), signal)
      }),
    head: signal => during('read', signal, async connection => idPositionText(await headOf(connection, signal))),
    compare: (a, b) => compareIdPositions(idPositionOf(a) as IdPosition, idPositionOf(b) as IdPosition),
    open: async (request, signal): Promise<ChangeStream> => {
      let connection: Connection | null = null
      try {
        connection = await Connection.open(env, target, 'read', signal)
        await takeLock(connection, target, technique, signal)
        const from = await checkPosition(connection, request.from, signal)
        const kind = await parts.open(connection, request, signal)
        const feed = new NumberedFeed({ env, target, connection }, kind, { from, request })
        return new PolledStream(feed, { clock: env.clock, pollMs: POLL_MS, signal })
      } catch (error) {
        await connection?.close()
        throw sourceError(error, target, null)
      }
    },
  }
}

/** A lock of the session, by name; it is let go when the session ends. */
async function takeLock(
  connection: Connection,
  { source, database }: Target,
  technique: TableTechnique,
  signal: AbortSignal,
): Promise<void> {
  const name = sql`left(concat('naru ', ${technique}, ' ', ${database}), 64)`
  const [row] = await connection.query(sql`select get_lock(${name}, 0)`, signal)
  if (row?.[0] === '1') return
  const [holder] = await connection.query(
    sql`select concat('session ', id, ' of ', user, ' from ', host) from information_schema.processlist where id = is_used_lock(${name})`,
    signal,
  )
  throw fail('CAPTURE_HELD', { source, technique, holder: holder?.[0] ?? 'a session that has ended meanwhile' })
}

function textOf(statement: Sql): string {
  return renderSql(statement, mysqlDialect).text
}
