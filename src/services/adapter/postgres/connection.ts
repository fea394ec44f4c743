import type pg from 'pg'
import type { Client, CustomTypesConfig, QueryArrayResult } from 'pg'
import { withDeadline, type Env } from '../../../core/env.ts'
import { fail, isNaruError } from '../../../core/errors.ts'
import { loadDriver } from '../../../core/implementation.ts'
import { ident, renderSql, sql, type Sql } from '../../../core/sql.ts'
import { copyIn } from '../../../systems/postgres/copy-in.ts'
import { postgresDialect } from '../../../systems/postgres/dialect.ts'
import type { Target } from './target.ts'
import { tlsSettings } from './tls.ts'

/** A TCP or TLS socket. */
export type Socket = ReturnType<Env['network']['connect']>

/** A row as the server prints it: every value is text. */
export type TextRow = readonly (string | null)[]

/** Waiting for a lock ends before the statement does: somebody is changing the table right now. */
export const LOCK_MS_MAX = 60_000
/** How much later than the server's own limit ours comes: it is for servers that have gone silent. */
const LATE_MS = 5_000
/** What a server may say before it lets us in. */
const LOGIN_BYTES_MAX = 1024 * 1024
/** Most bytes of one answer that is no COPY: the catalog of a million columns, and all keys of its tables. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024
const GOODBYE_MS = 2_000
const KEEPALIVE_MS = 10_000
const VERSION_MIN = 130_000

/** What we use of the driver beyond its types. */
interface Wire {
  readonly stream: Socket
  query(text: string): void
  once(event: 'sslconnect', listener: () => void): unknown
}

/** What a session is opened for. One for reading cannot write, whatever is asked of it; one of `log` takes replication commands as well. */
export type SessionUse = 'read' | 'write' | 'log'

/**
 * One session that reads exactly: UTC, ISO dates, full floats. Every wait has a limit, and a session whose
 * limit passed is cut, because its state is unknown. Throws what the driver throws; see `sourceError`.
 */
export class Connection {
  readonly #env: Env
  readonly #target: Target
  readonly #client: Client
  /** Why the connection was lost, when that came between two statements. */
  #lost: Error | null = null
  #encoding = 'UTF8'
  #version = 0
  /** Bytes of the answer that is being read. */
  #bytes = 0
  #bytesMax = LOGIN_BYTES_MAX
  #hasOwnNames = false

  private constructor(env: Env, target: Target, client: Client) {
    this.#env = env
    this.#target = target
    this.#client = client
    // Without a listener a lost connection would end the process.
    client.on('error', error => (this.#lost ??= error))
    this.#countBytes()
    // Encryption puts another socket in the place of the first.
    this.#wire.once('sslconnect', () => this.#countBytes())
  }

  static async open(env: Env, target: Target, use: SessionUse, signal?: AbortSignal): Promise<Connection> {
    const { Client } = await loadPg(target)
    const client = new Client({
      connectionString: target.url,
      connectionTimeoutMillis: target.connectMs,
      ssl: await tlsSettings(env, target.tls, target),
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_MS,
      application_name: 'naru',
      ...(use === 'log' ? { replication: 'database' } : {}),
    })
    const connection = new Connection(env, target, client)
    try {
      await connection.#inTime(target.connectMs, signal, () => client.connect())
      connection.#bytesMax = ANSWER_BYTES_MAX
      await connection.#prepare(use, signal)
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  /** The encoding that the database stores text in, as the server names it. */
  get encoding(): string {
    return this.#encoding
  }

  /** As `server_version_num` has it: 180004. */
  get version(): number {
    return this.#version
  }

  /** The raw socket, for a caller that reads what it asked for with `send`. */
  get socket(): Socket {
    return this.#wire.stream
  }

  /** Runs one statement; see `execute` for `msMax`. On an abort the connection is cut: the server ends it by itself. */
  async query(
    statement: Sql,
    signal?: AbortSignal,
    msMax: number = this.#target.answerMs,
  ): Promise<readonly TextRow[]> {
    return (await this.#run(statement, msMax + LATE_MS, signal)).rows
  }

  /**
   * From here to the end of the transaction names are looked up where the account looks them up: for SQL that a user
   * wrote. Ours names every object in full, and the server looks into pg_catalog first either way.
   */
  async useOwnNames(signal?: AbortSignal): Promise<void> {
    if (this.#hasOwnNames) return
    await this.query(
      sql`select set_config('search_path', reset_val, true) from pg_settings where name = 'search_path'`,
      signal,
    )
    this.#hasOwnNames = true
  }

  /** The columns of a statement's answer. */
  async fields(
    statement: Sql,
    signal?: AbortSignal,
  ): Promise<readonly { readonly name: string; readonly type: number; readonly modifier: number }[]> {
    const { fields } = await this.#run(statement, this.#target.answerMs + LATE_MS, signal)
    return fields.map(it => ({ name: it.name, type: it.dataTypeID, modifier: it.dataTypeModifier }))
  }

  /**
   * Runs one statement that changes rows; gives how many. `msMax` is for those that work through whole tables, in a
   * transaction that set the server's own limit aside.
   */
  async execute(statement: Sql, signal?: AbortSignal, msMax = this.#target.answerMs): Promise<bigint> {
    return BigInt((await this.#run(statement, msMax + LATE_MS, signal)).rowCount ?? 0)
  }

  /** Runs `COPY … FROM STDIN`; see `copyIn`. On an abort the connection is cut. */
  async copyIn(
    statement: Sql,
    pieces: AsyncIterable<Buffer>,
    signal: AbortSignal,
    sent: (piece: Buffer) => void,
  ): Promise<bigint> {
    if (this.#lost !== null) throw this.#lost
    this.#bytes = 0
    const { text } = renderSql(statement, postgresDialect)
    const limits = { env: this.#env, what: this.#what, silenceMs: this.#target.answerMs, signal }
    try {
      return await copyIn(this.#client, text, pieces, limits, sent)
    } catch (error) {
      throw this.#ended(error, signal)
    }
  }

  /**
   * The driver keeps what comes until a message is complete, however long the message says it is. So the bytes of one
   * answer have a limit here: a server that goes on and on is cut. A COPY takes the socket over and has its own limit.
   */
  #countBytes(): void {
    this.socket.on('data', chunk => {
      this.#bytes += chunk.length
      if (this.#bytes <= this.#bytesMax || this.#lost !== null) return
      this.#lost = new Error(`Connection terminated: the server sent more than ${this.#bytesMax} bytes`)
      this.socket.destroy(this.#lost)
    })
  }

  async #run(
    statement: Sql,
    ms: number,
    signal: AbortSignal | undefined,
  ): Promise<QueryArrayResult<(string | null)[]>> {
    const { text } = renderSql(statement, postgresDialect)
    this.#bytes = 0
    return this.#inTime(ms, signal, () =>
      this.#client.query<(string | null)[]>({ text, rowMode: 'array', types: AS_TEXT }),
    )
  }

  /** Sends a statement and leaves the answer on the socket. Throws when the connection was lost before. */
  send(statement: Sql): void {
    // A socket that is gone tells nobody a second time: whoever listened now would wait for ever.
    if (this.#lost !== null) throw this.#lost
    if (this.socket.destroyed) throw new Error('Connection terminated unexpectedly')
    this.#wire.query(renderSql(statement, postgresDialect).text)
  }

  /** Goes back to a savepoint. Where that fails the connection is cut; never throws. */
  async rollbackTo(savepoint: string): Promise<void> {
    try {
      await this.query(sql`rollback to savepoint ${ident(savepoint)}`)
    } catch {
      this.destroy()
    }
  }

  /** Takes back what the transaction did. Where that fails the connection is cut, which does the same; never throws. */
  async rollback(): Promise<void> {
    this.#hasOwnNames = false
    try {
      await this.query(sql`rollback`)
    } catch {
      this.destroy()
    }
  }

  /** Says goodbye and waits shortly for the end; never throws. */
  async close(): Promise<void> {
    try {
      if (this.#lost === null) await this.#inTime(GOODBYE_MS, undefined, () => this.#client.end())
    } catch {
      // it is ending anyway: a server that does not answer must not hold us
    }
    this.destroy()
  }

  destroy(): void {
    this.#lost ??= new Error('Connection terminated')
    this.socket.destroy()
  }

  get #wire(): Wire {
    return (this.#client as unknown as { readonly connection: Wire }).connection
  }

  async #inTime<T>(ms: number, signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    if (this.#lost !== null) throw this.#lost
    try {
      return await withDeadline(this.#env, { what: this.#what, ms, signal }, task)
    } catch (error) {
      throw this.#ended(error, signal)
    }
  }

  get #what(): string {
    return `the database at ${this.#target.address}`
  }

  /** The error to throw; the connection is cut when its state is unknown after it. */
  #ended(error: unknown, signal: AbortSignal | undefined): unknown {
    const aborted = signal?.aborted === true
    if (aborted || isNaruError(error, 'DEADLINE')) this.destroy()
    if (!aborted) return error
    return fail('CANCELLED', { what: `work in "${this.#target.source}"` }, { cause: error })
  }

  async #prepare(use: SessionUse, signal: AbortSignal | undefined): Promise<void> {
    const [row] = await this.query(
      sql`select current_setting('server_version_num'), current_setting('server_encoding')`,
      signal,
    )
    const version = Number(row?.[0])
    if (!(version >= VERSION_MIN)) throw tooOld(this.#target, version)
    this.#version = version
    this.#encoding = row?.[1] ?? 'UTF8'
    await this.query(sessionSettings(this.#target, this.#encoding, use), signal)
  }
}

const AS_TEXT: CustomTypesConfig = { getTypeParser: () => (value: string) => value }

type Driver = { readonly default: Pick<typeof pg, 'Client'> }

async function loadPg({ configDir }: Target): Promise<Driver['default']> {
  const own = (): Promise<Driver> => import('pg')
  const found = await loadDriver('pg', { service: 'adapter', kind: 'postgres', from: configDir, own })
  return found.default
}

function tooOld({ source }: Target, version: number): Error {
  const found = Number.isNaN(version) ? 'of an unknown version' : `version ${Math.floor(version / 10_000)}`
  return fail('SOURCE_VERSION', { source, system: 'PostgreSQL', found, needed: '13' })
}

/** Settings that a server does not know are left out. The empty search path keeps foreign functions out of our statements. */
function sessionSettings({ answerMs }: Target, encoding: string, use: SessionUse): Sql {
  // A database without an encoding would refuse to convert: its bytes come as they are, and we look at them.
  const clientEncoding = encoding === 'SQL_ASCII' ? encoding : 'UTF8'
  return sql`
    select set_config(known.name, wanted.value, false)
    from (values
      ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('extra_float_digits', '1'),
      ('bytea_output', 'hex'), ('xmlbinary', 'base64'), ('client_encoding', ${clientEncoding}), ('search_path', 'pg_catalog'),
      ('default_transaction_read_only', ${use === 'write' ? 'off' : 'on'}), ('statement_timeout', ${String(answerMs)}),
      ('lock_timeout', ${String(Math.min(answerMs, LOCK_MS_MAX))}), ('idle_in_transaction_session_timeout', '0'),
      ('idle_session_timeout', '0'), ('transaction_timeout', '0'),
      ('client_connection_check_interval', case when version() like '%linux%' then '10s' else '0' end)
    ) as wanted(name, value)
    join pg_settings known on lower(known.name) = wanted.name`
}
