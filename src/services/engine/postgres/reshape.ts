import { fail, isNaruError } from '../../../core/errors.ts'
import { renderSql, sql, type Sql } from '../../../core/sql.ts'
import { postgresEngineDialect } from './dialect.ts'
import { send, type Session, type TextResult } from './session.ts'

/**
 * Longest wait for a lock at a time: while one waits, everybody who comes later waits behind it. Shorter than the server
 * takes to look for a circle of waits, so that it is never the run that is cut.
 */
const ATTEMPT_MS = 400
const PAUSE_MS = 100

/** True for a statement that nobody may read the table beside. */
export function isReshaping(statement: Sql): boolean {
  const [first] = statement.parts
  return typeof first === 'string' && /^\s*(drop|alter|truncate|create\s+or\s+replace\s+view)\b/i.test(first)
}

/**
 * Runs a statement that needs a table for itself, between the queries of others: it asks for a moment, lets go, and asks
 * again. Throws `ENGINE_BUSY` with who reads when that went on for as long as the option `lockTimeout` says.
 */
export async function reshape(session: Session, statement: Sql, signal: AbortSignal): Promise<TextResult> {
  const { clock } = session.site.env
  const endMs = clock.monotonicMs() + session.site.lockMs
  for (;;) {
    try {
      return await send(session, statement, signal, { between })
    } catch (error) {
      if (!isNaruError(error, 'ENGINE_BUSY')) throw error
      await send(session, sql`rollback to savepoint naru_reshape`, signal)
      if (clock.monotonicMs() > endMs) throw await busy(session, statement, error)
      await clock.sleep(PAUSE_MS, signal)
    }
  }
}

const between = [
  `savepoint naru_reshape; set local lock_timeout = ${ATTEMPT_MS}; `,
  '\n; set local lock_timeout = 0; release savepoint naru_reshape',
] as const

async function busy(session: Session, statement: Sql, cause: Error): Promise<Error> {
  const { rows } = await send(
    session,
    sql`select coalesce(nullif(a.application_name, ''), 'a session of ' || a.usename) || ', server process ' || a.pid
        || ', since ' || to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS') from pg_stat_activity a
      where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start is not null order by a.xact_start limit 3`,
    new AbortController().signal,
  )
  const start = renderSql(statement, postgresEngineDialect).text.trim().slice(0, 80)
  const what = `these read what the run has to change (${start}): ${rows.map(row => row[0]).join('; ')}`
  return fail('ENGINE_BUSY', { address: session.site.address, what }, { cause })
}
