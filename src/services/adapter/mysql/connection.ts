import { withDeadline, type Env } from '../../../core/env.ts'
import { fail, isNaruError } from '../../../core/errors.ts'
import { renderSql, sql, type Sql } from '../../../core/sql.ts'
import { oneAtATime } from '../../../core/one-at-a-time.ts'
import { mysqlDialect } from '../../../systems/mysql/dialect.ts'
import { COMMAND, commandPackets, type Done } from '../../../systems/mysql/protocol.ts'
import { TextReader, type Answer, type TextRow } from '../../../systems/mysql/text-reader.ts'
import { login, type LoggedIn, type Socket } from './login.ts'
import type { Target } from './target.ts'

export type { Socket } from './login.ts'
export type { TextRow } from '../../../systems/mysql/text-reader.ts'

/** How much later than the server's own limit ours comes: it is for servers that have gone silent. */
const LATE_MS = 5_000
const GOODBYE_MS = 2_000
/** Waiting for a lock on a table ends before the statement does: somebody is changing the table right now. */
const LOCK_SECONDS_MAX = 60

/** Which server it is. */
export interface ServerKind {
  readonly isMariaDb: boolean
  /** Major, minor and patch as one number: 101119 for 10.11.19. */
  readonly version: number
}

/** What a session is for: reading keeps whatever values there are, writing refuses what does not fit. */
export type SessionUse = 'read' | 'write'

/**
 * One session: UTC, text as it lies there, no file of this machine for the server. One statement at a time: the others
 * wait. Every wait has a limit, and a session whose limit passed is cut, because its state is unknown. Throws errors
 * with the server's number as `code`; see `sourceError`.
 */
export class Connection {
  readonly #env: Env
  readonly #target: Target
  readonly #session: LoggedIn
  /** Why the connection was lost, when that came between two statements. */
  #lost: Error | null = null
  readonly #turns = oneAtATime()
  #kind: ServerKind = { isMariaDb: false, version: 0 }
  #packetBytesMax = 0

  private constructor(env: Env, target: Target, session: LoggedIn) {
    this.#env = env
    this.#target = target
    this.#session = session
    session.socket.on('error', error => (this.#lost ??= error))
    session.socket.on('close', () => (this.#lost ??= new Error('the server closed the connection')))
  }

  static async open(env: Env, target: Target, use: SessionUse, signal?: AbortSignal): Promise<Connection> {
    const limit = { what: `the database at ${target.address}`, ms: target.connectMs, signal }
    let session: LoggedIn
    try {
      session = await withDeadline(env, limit, inTime => login(env, target, inTime))
    } catch (error) {
      throw signal?.aborted === true ? cancelled(target, error) : error
    }
    const connection = new Connection(env, target, session)
    try {
      await connection.#prepare(use, signal)
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  get kind(): ServerKind {
    return this.#kind
  }

  /** The session has ended. */
  get isLost(): boolean {
    return this.#lost !== null
  }

  /** The session's number, for KILL. */
  get thread(): number {
    return this.#session.thread
  }

  /** Longest statement that the server takes, in bytes. */
  get packetBytesMax(): number {
    return this.#packetBytesMax
  }

  /** The raw socket, for a caller that reads what it asked for with `send`. */
  get socket(): Socket {
    return this.#session.socket
  }

  /** Runs one statement that gives rows. On an abort the connection is cut. */
  async query(statement: Sql, signal?: AbortSignal): Promise<readonly TextRow[]> {
    const answer = await this.#ask(COMMAND.query, Buffer.from(renderSql(statement, mysqlDialect).text), signal)
    return answer.kind === 'rows' ? answer.rows : []
  }

  /** Runs one statement that gives no rows. */
  async run(statement: Sql | Buffer, signal?: AbortSignal): Promise<Done> {
    const text = Buffer.isBuffer(statement) ? statement : Buffer.from(renderSql(statement, mysqlDialect).text)
    const answer = await this.#ask(COMMAND.query, text, signal)
    return answer.kind === 'done' ? answer.done : { affected: 0n, warnings: 0 }
  }

  /** Sends a command that the server only takes or refuses. */
  async command(command: number, body: Buffer, signal?: AbortSignal): Promise<void> {
    await this.#ask(command, body, signal)
  }

  /** Prepares a query. `statement` is its number as commands want it. */
  async prepare(query: Sql, signal?: AbortSignal): Promise<{ statement: Buffer; definitions: readonly Buffer[] }> {
    const answer = await this.#ask(COMMAND.prepare, Buffer.from(renderSql(query, mysqlDialect).text), signal)
    const statement = Buffer.alloc(4)
    if (answer.kind !== 'rows') return { statement, definitions: [] }
    statement.writeUInt32LE(Number(answer.rows[0]?.[0]))
    return { statement, definitions: answer.definitions }
  }

  /** Definitions of the columns that a query would give. */
  async columnsOf(query: Sql, signal: AbortSignal): Promise<readonly Buffer[]> {
    const { statement, definitions } = await this.prepare(query, signal)
    this.send(COMMAND.closeStatement, statement)
    return definitions
  }

  /** Sends a command and leaves the answer on the socket. */
  send(command: number, body: Buffer): void {
    for (const packet of commandPackets(command, body)) this.socket.write(packet)
  }

  /** Says goodbye and waits shortly for the end; never throws. */
  async close(): Promise<void> {
    try {
      if (this.#lost === null) await this.#goodbye()
    } catch {
      // it is ending anyway: a server that does not answer must not hold us
    }
    this.destroy()
  }

  destroy(): void {
    this.#lost ??= new Error('the connection was ended')
    this.socket.destroy()
  }

  async #goodbye(): Promise<void> {
    const gone = new Promise<void>(resolve => this.socket.once('close', () => resolve()))
    this.send(COMMAND.quit, Buffer.alloc(0))
    this.socket.resume()
    await withDeadline(this.#env, { what: 'a goodbye', ms: GOODBYE_MS }, () => gone)
  }

  async #ask(command: number, body: Buffer, signal?: AbortSignal): Promise<Answer> {
    const answer = await this.#turns.run(() => this.#inTime(signal, () => this.#exchange(command, body)))
    if (answer.kind !== 'error') return answer
    const { number, message } = answer.error
    throw Object.assign(new Error(message), { code: String(number) })
  }

  #exchange(command: number, body: Buffer): Promise<Answer> {
    const { socket } = this
    return new Promise((resolve, reject) => {
      const reader = new TextReader({ prepared: command === COMMAND.prepare })
      const settle = (act: () => void): void => {
        socket.off('data', onData).off('close', onClose).pause()
        act()
      }
      const onClose = (): void => settle(() => reject(this.#lost ?? new Error('the server closed the connection')))
      const onData = (chunk: Buffer): void => {
        try {
          const answer = reader.push(chunk)
          if (answer !== null) settle(() => resolve(answer))
        } catch (error) {
          settle(() => reject(error as Error))
          this.destroy()
        }
      }
      socket.on('data', onData).on('close', onClose).resume()
      this.send(command, body)
    })
  }

  async #inTime<T>(signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    if (this.#lost !== null) throw this.#lost
    const limit = { what: `the database at ${this.#target.address}`, ms: this.#target.answerMs + LATE_MS, signal }
    try {
      return await withDeadline(this.#env, limit, task)
    } catch (error) {
      const aborted = signal?.aborted === true
      if (aborted || isNaruError(error, 'DEADLINE')) this.destroy()
      if (aborted) throw cancelled(this.#target, error)
      throw error
    }
  }

  async #prepare(use: SessionUse, signal: AbortSignal | undefined): Promise<void> {
    const [row] = await this.query(sql`select version(), @@max_allowed_packet`, signal)
    this.#kind = kindOf(row?.[0] ?? '', this.#target)
    this.#packetBytesMax = Number(row?.[1])
    await this.run(sessionSettings(this.#target, use), signal)
    await this.run(sql`set session transaction isolation level repeatable read`, signal)
    const ms = this.#target.answerMs
    // A view is idle while its rows are stored elsewhere; MariaDB can be set to end such transactions.
    const limit = this.#kind.isMariaDb
      ? sql`max_statement_time = ${ms / 1000}, session idle_transaction_timeout = 0,
          session idle_readonly_transaction_timeout = 0`
      : sql`max_execution_time = ${ms}`
    await this.run(sql`set session ${limit}`, signal)
  }
}

function cancelled({ source }: Target, cause: unknown): Error {
  return fail('CANCELLED', { what: `the work in source "${source}"` }, { cause })
}

const MYSQL_MIN = 50_700
const MARIADB_MIN = 100_500

function kindOf(version: string, { source }: Target): ServerKind {
  const isMariaDb = /mariadb/i.test(version)
  // An old trick of MariaDB for old replicas: 5.5.5- stands before the version.
  const [, major, minor, patch] = /^(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []
  const number = Number(major) * 10_000 + Number(minor) * 100 + Number(patch)
  if (number >= (isMariaDb ? MARIADB_MIN : MYSQL_MIN)) return { isMariaDb, version: number }
  const found = Number.isNaN(number) ? 'of an unknown version' : `version ${version}`
  const [system, needed] = isMariaDb ? ['MariaDB', '10.5'] : ['MySQL', '5.7']
  throw fail('SOURCE_VERSION', { source, system, found, needed })
}

/** Modes for reading change no value; those for writing refuse what does not fit, and keep a zero in a counted key. */
const MODES: Readonly<Record<SessionUse, string>> = {
  read: '',
  write:
    'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO',
}
/** Keys are compared whole. */
const SORT_BYTES = 16_384

/** No charset for results: text comes in the bytes that it is kept in. A slow reader is not cut off by the server. */
function sessionSettings({ answerMs }: Target, use: SessionUse): Sql {
  const seconds = Math.max(60, Math.ceil(answerMs / 1000))
  return sql`
    set names utf8mb4, character_set_results = null, session time_zone = '+00:00', session sql_mode = ${MODES[use]},
      session max_sort_length = ${SORT_BYTES},
      session lock_wait_timeout = ${Math.min(seconds, LOCK_SECONDS_MAX)}, session net_write_timeout = ${seconds},
      session wait_timeout = 86400, session autocommit = 1, session sql_select_limit = default,
      session sql_big_selects = 1, session sql_auto_is_null = 0`
}
