import { fail } from '../../../core/errors.ts'
import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { Engine, EngineOpening, EngineSite } from '../contract.ts'
import { serial } from '../serial.ts'
import { postgresEngineDialect } from './dialect.ts'
import { LIBRARY, libraryStatements, libraryVersion } from './library.ts'
import { maskedQuery } from './people.ts'
import { openResult, type OpenResult } from './result.ts'
import { openSession, send, type Session } from './session.ts'
import { siteOf } from './site.ts'
import { beginReading, inTransaction } from './transaction.ts'

const VERSION_MIN = 170_000
/** Number of the lock that the writing process holds for as long as its session lives: "naru" in ASCII. */
const WRITER_LOCK = 0x6e_61_72_75

const always = new AbortController().signal

/**
 * Connects to the database. To write, it takes the lock of the writer, which ends with its session: whoever lost it can
 * commit nothing more. Throws `ENGINE_HELD` when another process writes, `ENGINE_UNSUITABLE` for a server or a database
 * on which values would come out otherwise, `ENGINE_LOGIN` and `ENGINE_UNREACHABLE`.
 */
export async function openEngine(given: EngineOpening): Promise<Engine> {
  const site = siteOf(given)
  const session = await openSession(site, given.access)
  try {
    await refuseUnsuitable(session)
    if (given.access === 'write') {
      await takeLock(session)
      await installLibrary(session)
    }
    return makeEngine(session, given)
  } catch (error) {
    await session.close()
    throw error
  }
}

export { postgresEngineDialect as dialect }

/** What PostgreSQL can do. */
export const can: Engine['can'] = {
  indexes: true,
  losses: [
    'the character NUL in text',
    'dates and timestamps before 4714-11-24 BC',
    'dates after the year 5874897',
    'the interval whose months, days and microseconds are all at their limits',
  ],
}

/** A run has been there: it makes the control tables first of all. */
export async function databaseExists(given: EngineSite): Promise<boolean> {
  const session = await openSession(siteOf(given), 'check')
  try {
    await refuseUnsuitable(session)
    return (await valueOf(session, sql`select to_regclass('naru.run') is not null`)) === 't'
  } finally {
    await session.close()
  }
}

async function valueOf(session: Session, statement: Sql): Promise<string | null> {
  return (await send(session, statement, always)).rows[0]?.[0] ?? null
}

async function refuseUnsuitable(session: Session): Promise<void> {
  const refuse = (why: string): never => {
    throw fail('ENGINE_UNSUITABLE', { address: session.site.address, why })
  }
  // By itself: the columns that the next query asks for are not in every old server.
  const version = Number(await valueOf(session, sql`select current_setting('server_version_num')`))
  if (version < VERSION_MIN) refuse(`its server is PostgreSQL ${Math.floor(version / 10_000)}, and 17 is needed`)
  const { rows } = await send(
    session,
    sql`select current_setting('server_encoding'), datlocprovider, datcollate
      from pg_database where datname = current_database()`,
    always,
  )
  const [encoding, provider, collation] = rows[0] as [string, string, string]
  if (encoding !== 'UTF8') refuse(`its encoding is ${encoding}, and UTF8 is needed`)
  const byBytes = provider === 'b' || (provider === 'c' && ['C', 'POSIX'].includes(collation))
  if (!byBytes) refuse(`it compares text by the rules of a language (${collation}), and bytes are needed`)
}

/** One writer at a time. The lock belongs to the session: a process that dies, or whose connection breaks, has lost it. */
async function takeLock(session: Session): Promise<void> {
  if ((await valueOf(session, sql`select pg_try_advisory_lock(${WRITER_LOCK})`)) === 't') return
  const holder = await valueOf(
    session,
    sql`select a.application_name || coalesce(' from ' || host(a.client_addr), '') || ', server process ' || a.pid
      from pg_locks l join pg_stat_activity a using (pid)
      where l.locktype = 'advisory' and l.granted and l.classid = 0 and l.objid = ${WRITER_LOCK}
        and l.database = (select oid from pg_database where datname = current_database())`,
  )
  throw fail('ENGINE_HELD', { path: session.site.address, holder: holder ?? 'another session' })
}

/** Makes the functions that stage SQL calls, unless they are there in this version. */
async function installLibrary(session: Session): Promise<void> {
  const known = await valueOf(session, sql`select obj_description(to_regnamespace(${LIBRARY}), 'pg_namespace')`)
  if (known === libraryVersion) return
  await send(session, sql`begin`, always)
  for (const statement of libraryStatements) await send(session, rawSql(statement), always)
  await send(session, sql`comment on schema naru_sql is ${libraryVersion}`, always)
  await send(session, sql`commit`, always)
}

function makeEngine(writer: Session, given: EngineOpening): Engine {
  const { site } = writer
  const closing = new AbortController()
  const results = new Set<OpenResult>()
  const refuseClosed = (what: string): void => {
    if (closing.signal.aborted) throw fail('ENGINE_CLOSED', { what })
  }
  const calls = serial(refuseClosed)
  const reading = new Set<Promise<unknown>>()

  /** Opens what `prepare` makes of a query, in a session that ends with it. */
  async function openFor(session: Session, signal: AbortSignal, prepare: () => Promise<Sql>): Promise<OpenResult> {
    try {
      const prepared = await prepare()
      await send(session, beginReading, signal)
      const result = await openResult(session, prepared, signal, () => results.delete(result))
      results.add(result)
      return result
    } catch (error) {
      await session.close()
      throw error
    }
  }

  return {
    kind: 'postgres',
    dialect: postgresEngineDialect,
    can,

    transaction: async (signal, body) => {
      refuseClosed('transaction')
      return calls.run('transaction', () => inTransaction(writer, { writes: given.access === 'write', signal }, body))
    },

    query: async (statement, signal) => {
      refuseClosed('query')
      const session = await openSession(site, 'query')
      const until = AbortSignal.any([signal, closing.signal])
      return openFor(session, until, async () =>
        given.access === 'people' ? maskedQuery(session, statement, given, until) : statement,
      )
    },

    read: async (signal, body) => {
      refuseClosed('read')
      const session = await openSession(site, 'query')
      const until = AbortSignal.any([signal, closing.signal])
      const done = inTransaction(session, { writes: false, signal: until }, body)
      const ended = done.then(
        () => session.close(),
        () => session.close(),
      )
      reading.add(ended)
      try {
        return await done
      } finally {
        await ended
        reading.delete(ended)
      }
    },

    forPeople: viewOf => ({
      query: async (statement, signal) => {
        refuseClosed('query')
        const session = await openSession(site, 'query')
        const until = AbortSignal.any([signal, closing.signal])
        return openFor(session, until, async () => {
          const view = await inTransaction(session, { writes: false, signal: until }, viewOf)
          return maskedQuery(session, statement, view, until)
        })
      },
    }),

    // Every commit was on the disk of the server before it returned, if the server keeps `fsync` on; there is nothing to move.
    checkpoint: async () => {
      refuseClosed('checkpoint')
      await calls.run('checkpoint', () => send(writer, sql`select 1`, always))
      return 'done'
    },

    close: async () => {
      if (closing.signal.aborted) return
      closing.abort(fail('ENGINE_CLOSED', { what: 'close' }))
      await Promise.allSettled(reading)
      for (const result of results) await result.pages[Symbol.asyncIterator]().return?.()
      await calls.idle()
      await writer.close()
    },
  }
}
