import type pg from 'pg'
import type { Client, CustomTypesConfig, FieldDef, QueryArrayResult } from 'pg'
import { withDeadline } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { loadDriver } from '../../../core/implementation.ts'
import { renderSql, sql, type RenderedSql, type Sql } from '../../../core/sql.ts'
import type { Cell } from '../contract.ts'
import { cellOf } from './cells.ts'
import { postgresEngineDialect } from './dialect.ts'
import { openError, statementError } from './errors.ts'
import type { Site } from './site.ts'

const KEEPALIVE_MS = 10_000
const GOODBYE_MS = 2_000
/** How much later than the server's own limit ours comes: it is for servers that have gone silent. */
const LATE_MS = 30_000
/** Longest wait of a reader for a lock. Longer than the server takes to find a circle: then the reader is left out, not the run. */
const READER_WAIT_MS = 3_000
/** A statement that was asked to end may not have begun yet, so the server is asked again. */
const CANCEL_AGAIN_MS = 250
/** A server that does not end a statement within this time is cut off. */
const CANCEL_MS_MAX = 15_000

/** A result as the server sent it. */
export interface TextResult {
  readonly fields: readonly FieldDef[]
  readonly rows: readonly (readonly (string | null)[])[]
  /** Rows that a statement changed; 0 for statements that change none. */
  readonly changed: number
}

/** One connection of the engine. It runs one statement at a time; its state is known or it is closed. */
export interface Session {
  readonly site: Site
  readonly client: Client
  /** The driver's class of a query whose rows are taken one by one. */
  readonly Query: Driver['default']['Query']
  /** Why the connection was lost, when that came between two statements. */
  lost(): Error | null
  close(): Promise<void>
}

/**
 * Connects and prepares a session: UTC, ISO dates, exact floats, names looked up in `public`. Only to `write` are its
 * transactions not read-only; all others wait for a lock only for a moment, so that a run holds nobody up.
 */
export async function openSession(
  site: Site,
  purpose: 'write' | 'read' | 'people' | 'query' | 'check',
): Promise<Session> {
  const { env, connectMs } = site
  const { Client, Query } = await loadPg(site)
  const client = new Client({
    connectionString: site.url,
    connectionTimeoutMillis: connectMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_MS,
    // What another process is told that finds the database held.
    application_name: `naru ${purpose} on ${env.processes.host} PID ${env.processes.pid}`.slice(0, 63),
  })
  let lost: Error | null = null
  // Without a listener a lost connection would end the process.
  client.on('error', error => (lost ??= error))
  const session: Session = {
    site,
    client,
    Query,
    lost: () => lost,
    close: async () => {
      try {
        if (lost === null) await withDeadline(env, { what: 'goodbye', ms: GOODBYE_MS }, () => client.end())
      } catch {
        // it is ending anyway: a server that does not answer must not hold us
      }
      cut(client)
    },
  }
  try {
    const what = `the database at ${site.address}`
    await withDeadline(env, { what, ms: connectMs }, () => client.connect())
    await withDeadline(env, { what, ms: connectMs }, () =>
      client.query(renderSql(settings(site, purpose === 'write'), postgresEngineDialect).text),
    )
    return session
  } catch (error) {
    cut(client)
    throw openError(error, site)
  }
}

function cut(client: Client): void {
  ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
}

/** Settings that a server does not know are left out, so that an old one is refused by its version. */
function settings({ statementMs, memory }: Site, writes: boolean): Sql {
  return sql`
    select set_config(known.name, wanted.value, false) from (values
      ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('extra_float_digits', '1'),
      ('bytea_output', 'hex'), ('client_encoding', 'UTF8'), ('search_path', 'public'), ('client_min_messages', 'warning'),
      ('statement_timeout', ${String(statementMs)}), ('idle_in_transaction_session_timeout', '0'),
      ('idle_session_timeout', '0'), ('transaction_timeout', '0'),
      ('lock_timeout', ${writes ? '0' : String(READER_WAIT_MS)}),
      ('default_transaction_isolation', 'read committed'), ('default_transaction_read_only', ${writes ? 'off' : 'on'}),
      ('synchronous_commit', 'on'), ('transform_null_equals', 'off'), ('jit', 'off'), ('work_mem', ${memory}),
      ('temp_buffers', '64MB')
    ) as wanted(name, value)
    join pg_settings known on lower(known.name) = wanted.name`
}

const AS_TEXT: CustomTypesConfig = { getTypeParser: () => (value: string) => value }

type Driver = { readonly default: Pick<typeof pg, 'Client' | 'Query'> }

async function loadPg({ configDir }: Site): Promise<Driver['default']> {
  const own = (): Promise<Driver> => import('pg')
  const found = await loadDriver('pg', { service: 'engine', kind: 'postgres', from: configDir, own })
  return found.default
}

/** Statements with a name so far: a name is used once. */
let named = 0

/** How a statement is sent. */
interface Sending {
  /** Keeps a second statement in its text from being run. */
  readonly single?: boolean
  /** What is sent before and behind it in the same message. */
  readonly between?: readonly [before: string, behind: string]
}

/** Runs one statement and gives what it returned. */
export async function send(
  session: Session,
  statement: Sql,
  signal: AbortSignal,
  how: Sending = {},
): Promise<TextResult> {
  const rendered = renderSql(statement, postgresEngineDialect)
  // A statement with a name is parsed by itself: the server refuses a text of two.
  const mode = how.single === true ? { name: `naru_${++named}` } : {}
  const [before, behind] = how.between ?? ['', '']
  const asked = { text: before + rendered.text + behind, rowMode: 'array' as const, types: AS_TEXT, ...mode }
  const answer = await guarded(session, rendered, signal, () => session.client.query<(string | null)[]>(asked))
  // A text of several statements gives a result for each: the last is the one that was asked for.
  const last = (Array.isArray(answer) ? answer.at(-1) : answer) as QueryArrayResult<(string | null)[]>
  return { fields: last.fields, rows: last.rows, changed: last.rowCount ?? 0 }
}

/** Reads the rows of one statement, at most `limit` of them. Throws `ENGINE_RESULT_TOO_LARGE`; the rest is never kept. */
export async function sendLimited(
  session: Session,
  statement: Sql,
  signal: AbortSignal,
  limit: number,
): Promise<TextResult> {
  const rendered = renderSql(statement, postgresEngineDialect)
  // The driver's types know no row mode here; the class takes what `query` takes.
  const asked = { text: rendered.text, rowMode: 'array', types: AS_TEXT } as { text: string }
  let count = 0
  const rows: (string | null)[][] = []
  const query = new session.Query<(string | null)[]>(asked)
  const ended = (): Promise<readonly FieldDef[]> =>
    new Promise((resolve, reject) => {
      query.on('row', row => {
        if (++count <= limit) rows.push(row as unknown as (string | null)[])
      })
      query.on('end', result => resolve(result.fields))
      query.on('error', reject)
      session.client.query(query)
    })
  const fields = await guarded(session, rendered, signal, ended)
  if (count > limit) throw fail('ENGINE_RESULT_TOO_LARGE', { rows: count, limit })
  return { fields, rows, changed: 0 }
}

/** The rows of a result as cells. */
export function cellsOf({ fields, rows }: TextResult): readonly (readonly Cell[])[] {
  return rows.map(row => fields.map((field, i) => cellOf(row[i] ?? null, field)))
}

/** Runs a call of the driver: an abort ends the statement on the server, its error is ours, and no wait is without a limit. */
export async function guarded<T>(
  session: Session,
  statement: RenderedSql,
  signal: AbortSignal,
  call: () => Promise<T>,
): Promise<T> {
  refuseAborted(signal)
  const { site } = session
  const lost = session.lost()
  if (lost !== null) throw statementError(lost, site, statement)
  const stop = cancelOnAbort(session, signal)
  try {
    const limit = { what: `the database at ${site.address}`, ms: site.statementMs + LATE_MS }
    return await withDeadline(site.env, limit, call)
  } catch (error) {
    refuseAborted(signal, error)
    throw statementError(error, site, statement)
  } finally {
    stop()
  }
}

/** Throws `CANCELLED` when the signal has been aborted. */
export function refuseAborted(signal: AbortSignal, cause?: unknown): void {
  if (signal.aborted) throw fail('CANCELLED', { what: 'a statement of the engine' }, { cause: cause ?? signal.reason })
}

function cancelOnAbort(session: Session, signal: AbortSignal): () => void {
  const { clock } = session.site.env
  let stopRepeating = (): void => {}
  const onAbort = (): void => {
    const beganMs = clock.monotonicMs()
    const cancel = (): void => {
      if (clock.monotonicMs() - beganMs > CANCEL_MS_MAX) cut(session.client)
      else void askToEnd(session)
    }
    cancel()
    stopRepeating = clock.every(CANCEL_AGAIN_MS, cancel)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  return () => {
    signal.removeEventListener('abort', onAbort)
    stopRepeating()
  }
}

/** Asks the server by a second connection to end the statement; never throws. */
async function askToEnd({ site, client }: Session): Promise<void> {
  const { processID } = client as unknown as { processID: number }
  try {
    const { Client } = await loadPg(site)
    const other = new Client({ connectionString: site.url, connectionTimeoutMillis: CANCEL_MS_MAX })
    other.on('error', () => {})
    try {
      await other.connect()
      await other.query({ text: 'select pg_cancel_backend($1)', values: [processID] })
    } finally {
      await other.end()
    }
  } catch {
    return // the next attempt, or the cut, ends the statement
  }
}
