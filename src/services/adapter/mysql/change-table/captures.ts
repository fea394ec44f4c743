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
import { lockName, takeLock } from '../stream-lock.ts'
import type { Target } from '../target.ts'
import { NumberedFeed, tablesLag, type FeedKind } from './feed.ts'
import { ownerProblem, readHeads, readStream, type Numbered } from './heads.ts'
import { leftOf } from './left.ts'
import { baseScript, streamIdent } from './script.ts'
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
  remove(connection: Connection, signal: AbortSignal, only?: readonly string[]): Promise<void>
  /** Those of the tables that were never captured, or are not any more; absent where tables have nothing of their own. */
  uncaptured?(
    connection: Connection,
    tables: readonly CapturedTable[],
    signal: AbortSignal,
  ): Promise<readonly CapturedTable[]>
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
  const { database } = target
  const inspect: TechniqueParts['inspect'] = async (connection, tables, signal) => {
    const owned = await ownerProblem(connection, { database, technique }, tables, signal)
    return owned === null ? parts.inspect(connection, tables, signal) : [owned]
  }
  /** Nothing here can be taken back: it is ours before anything else is made. */
  const own = async (connection: Connection, tables: readonly CapturedTable[], signal: AbortSignal): Promise<void> => {
    const owner = tables[0]?.owner
    if (owner === undefined) return
    for (const statement of baseScript(technique, database, sql`${env.random.uuid()}`))
      await connection.run(statement, signal)
    await connection.run(
      sql`update ${streamIdent(database)} set owner = ${owner} where technique = ${technique} and owner is null`,
      signal,
    )
    const other = await ownerProblem(connection, { database, technique }, tables, signal)
    if (other !== null) throw notReady(other.text)
  }

  return {
    can,
    inspect: (tables, signal) => during('read', signal, connection => inspect(connection, tables, signal)),
    install: (tables, signal) =>
      during('read', signal, async connection => {
        const problems = (await inspect(connection, tables, signal)).filter(it => it.isFatal)
        if (problems.length > 0) throw notReady(problems.map(it => it.text).join('; '))
        // What the guard took away is not put back for a stream that cannot go on: it would grow again.
        const followed = tables.filter(it => it.isFollowed === true)
        const gone = (await parts.uncaptured?.(connection, followed, signal)) ?? []
        if (gone.length > 0)
          throw lost(`there is no change table any more of ${gone.map(it => `"${it.remote}"`).join(', ')}`)
        await own(connection, tables, signal)
        await parts.install(connection, tables, env.random.uuid(), signal)
        return idPositionText(await headOf(connection, signal))
      }),
    script: tables => {
      const { install, remove } = parts.script(tables)
      return { install: install.map(textOf), remove: remove.map(textOf) }
    },
    remove: (signal, only) => during('read', signal, connection => parts.remove(connection, signal, only)),
    lag: (_from, signal) =>
      during('read', signal, async connection => {
        const isThere = (await readStream(connection, target.database, technique, signal)) !== null
        if (!isThere) return { bytes: null, bytesLeft: null, trouble: null }
        return tablesLag(connection, await parts.numbered(connection, signal), signal)
      }),
    place: target.address,
    leftovers: (left, signal) =>
      during('read', signal, connection => {
        const lock = lockName(technique, target.database)
        return leftOf({ connection, target, technique, lock }, left, signal)
      }),
    head: signal => during('read', signal, async connection => idPositionText(await headOf(connection, signal))),
    compare: (a, b) => compareIdPositions(idPositionOf(a) as IdPosition, idPositionOf(b) as IdPosition),
    open: async (request, signal): Promise<ChangeStream> => {
      let connection: Connection | null = null
      try {
        connection = await Connection.open(env, target, 'read', signal)
        await takeLock(connection, technique, target, signal)
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

function textOf(statement: Sql): string {
  return renderSql(statement, mysqlDialect).text
}
