import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { renderSql, sql, type Ident, type Sql } from '../../../../core/sql.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'
import type { CapturedTable, CaptureProblem, CaptureRequest, Captures, ChangeStream } from '../../contract-capture.ts'
import { PolledStream } from '../../polled-stream.ts'
import { Connection } from '../connection.ts'
import { duringSession } from '../during.ts'
import { sourceError } from '../errors.ts'
import type { Target } from '../target.ts'
import { TableFeed, logOf, tablesLag, type FeedKind } from './feed.ts'
import { leftOf } from './left.ts'
import { comparePositions, positionOf, positionText, seenOf, type Position, type Seen } from './position.ts'
import type { TableTechnique } from './script.ts'
import { ownerProblem, readStream, takeOver, withoutTriggers } from './state.ts'
import type { ChangeRows } from './window.ts'

/** What a technique adds to what both have. */
export interface TechniqueParts {
  readonly technique: TableTechnique
  readonly can: Captures['can']
  inspect(
    connection: Connection,
    tables: readonly CapturedTable[],
    signal: AbortSignal,
  ): Promise<readonly CaptureProblem[]>
  /** Makes what is missing, in a transaction that is open. */
  install(
    connection: Connection,
    tables: readonly CapturedTable[],
    identity: string,
    signal: AbortSignal,
  ): Promise<void>
  script(tables: readonly CapturedTable[]): { readonly install: readonly Sql[]; readonly remove: readonly Sql[] }
  remove(connection: Connection, signal: AbortSignal, only?: readonly string[]): Promise<void>
  /** The tables that grow while nobody reads; none when nothing is installed. */
  grown(connection: Connection, signal: AbortSignal): Promise<readonly Ident[]>
  open(
    connection: Connection,
    request: CaptureRequest,
    signal: AbortSignal,
  ): Promise<{ readonly kind: FeedKind; readonly sources: readonly ChangeRows[] }>
}

/** How often the source is asked while it has nothing. */
const POLL_MS = 50

/** The techniques that read a table of changes, for one source. */
export function tableCaptures(env: Env, target: Target, parts: TechniqueParts): Captures {
  const { technique, can } = parts
  const during = duringSession(env, target)
  const notReady = (problems: readonly CaptureProblem[]): Error =>
    fail('CAPTURE_NOT_READY', { source: target.source, technique, problems: problems.map(it => it.text).join('; ') })
  const inspect: TechniqueParts['inspect'] = async (connection, tables, signal) => {
    const owned = await ownerProblem(connection, technique, tables, signal)
    return owned === null ? parts.inspect(connection, tables, signal) : [owned]
  }

  return {
    can,
    inspect: (tables, signal) => during('read', signal, connection => inspect(connection, tables, signal)),
    install: (tables, signal) =>
      during('write', signal, async connection => {
        const problems = (await inspect(connection, tables, signal)).filter(it => it.isFatal)
        if (problems.length > 0) throw notReady(problems)
        // What the guard took away is not put back for a stream that cannot go on: it would grow again.
        const followed = technique === 'trigger' ? tables.filter(it => it.isFollowed === true) : []
        const isThere = followed.length === 0 || (await readStream(connection, technique, signal)) !== null
        const gone = isThere ? await withoutTriggers(connection, followed, signal) : followed
        if (gone.length > 0) {
          const problem = `there is no change table any more of ${gone.map(it => `"${it.remote}"`).join(', ')}`
          throw fail('POSITION_LOST', { source: target.source, technique, problem })
        }
        await connection.query(sql`begin`, signal)
        await parts.install(connection, tables, env.random.uuid(), signal)
        await takeOver(connection, technique, tables, signal)
        // Another project may have come between.
        const other = await ownerProblem(connection, technique, tables, signal)
        if (other !== null) throw notReady([other])
        await connection.query(sql`commit`, signal)
        return headOf(connection, target, technique, signal)
      }),
    script: tables => {
      const { install, remove } = parts.script(tables)
      return { install: install.map(textOf), remove: remove.map(textOf) }
    },
    remove: (signal, only) => during('write', signal, connection => parts.remove(connection, signal, only)),
    lag: (_from, signal) =>
      during('read', signal, async connection => {
        const isThere = (await readStream(connection, technique, signal)) !== null
        return tablesLag(connection, isThere ? await parts.grown(connection, signal) : [], signal)
      }),
    place: target.address,
    ...(technique === 'status'
      ? {}
      : {
          leftovers: (left, signal) =>
            during('read', signal, connection => leftOf(connection, { ...left, technique }, signal)),
        }),
    head: signal => during('read', signal, connection => headOf(connection, target, technique, signal)),
    compare: (a, b) => comparePositions(positionOf(a) as Position, positionOf(b) as Position),
    open: async (request, signal): Promise<ChangeStream> => {
      let connection: Connection | null = null
      try {
        connection = await Connection.open(env, target, 'write', signal)
        const { kind, sources } = await parts.open(connection, request, signal)
        const feed = await TableFeed.open({ env, target, connection }, kind, { sources, request }, signal)
        return new PolledStream(feed, { clock: env.clock, pollMs: POLL_MS, signal })
      } catch (error) {
        await connection?.close()
        throw sourceError(error, target, null)
      }
    },
  }
}

function textOf(statement: Sql): string {
  return renderSql(statement, postgresDialect).text
}

async function headOf(
  connection: Connection,
  target: Target,
  technique: TableTechnique,
  signal: AbortSignal,
): Promise<string> {
  const stream = await readStream(connection, technique, signal)
  if (stream === null)
    throw fail('CAPTURE_NOT_READY', { source: target.source, technique, problems: 'nothing is installed for it' })
  const [row] = await connection.query(sql`select pg_current_snapshot()::text`, signal)
  return positionText({ log: logOf(stream), seen: seenOf(row?.[0] as string) as Seen, upTo: null, after: 0n })
}
