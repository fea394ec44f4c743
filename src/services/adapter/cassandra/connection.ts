import type * as cassandraDriver from 'cassandra-driver'
import { withDeadline, type Env } from '../../../core/env.ts'
import { fail, isNaruError, isTlsFault, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { durationMs, loadDriver, readOptions } from '../../../core/implementation.ts'
import { redact, type Secret } from '../../../core/secret.ts'
import { renderSql, type Sql } from '../../../core/sql.ts'
import type { AdapterOpening } from '../contract.ts'
import { cassandraDialect } from './dialect.ts'
import { guardDriver } from './guard.ts'
import { cassandra } from './index.ts'

/** Which cluster is read and how. */
export interface Target {
  readonly source: string
  readonly configDir: string
  readonly url: Secret
  readonly address: string
  readonly user: string
  /** Keyspace of tables that are named without one. */
  readonly keyspace: string | null
  readonly localDataCenter: string | undefined
  readonly consistency: string
  readonly connectMs: number
  readonly answerMs: number
  readonly rowBytesMax: number
}

/** One page of a result: its rows, and where the next begins. */
export interface RowPage {
  readonly rows: readonly (readonly unknown[])[]
  readonly next: string | null
}

const defaultPort = 9042

/** Reads the options of a source. Throws `OPTION_INVALID`, `ENV_MISSING`. */
export function targetOf(given: AdapterOpening): Target {
  const { source } = given
  const where = `source "${source}"`
  const options = readOptions(cassandra.options, given.options, where)
  const url = given.secret(options.url, `${where}, option "url"`)
  const text = url.reveal()
  const isUsable = URL.canParse(text) && /^cassandras?:$/.test(new URL(text).protocol) && new URL(text).hostname !== ''
  if (!isUsable) {
    const problem = 'must be an address such as cassandra://user:password@host1,host2:9042/keyspace'
    throw fail('OPTION_INVALID', { where, option: 'url', problem })
  }
  const { host, username, pathname } = new URL(text)
  return {
    source,
    configDir: given.configDir,
    url,
    address: host,
    user: username === '' ? 'anonymous' : decodeURIComponent(username),
    keyspace: pathname.length > 1 ? decodeURIComponent(pathname.slice(1)) : null,
    localDataCenter: options.localDataCenter,
    consistency: options.consistency,
    connectMs: durationMs(options.connectTimeout) as number,
    answerMs: durationMs(options.answerTimeout) as number,
    rowBytesMax: options.maxValueBytes,
  }
}

type Driver = typeof cassandraDriver

/** A session with the cluster, shared by the snapshots of one adapter. Every statement has a limit in time. */
export class Connection {
  readonly #env: Env
  readonly #target: Target
  readonly #driver: Driver
  readonly #client: cassandraDriver.Client

  private constructor(env: Env, target: Target, driver: Driver) {
    this.#env = env
    this.#target = target
    this.#driver = driver
    this.#client = new driver.Client(clientOptions(target, driver))
  }

  static async open(env: Env, target: Target, signal: AbortSignal): Promise<Connection> {
    const own = (): Promise<{ readonly default: Driver }> =>
      import('cassandra-driver') as unknown as Promise<{ readonly default: Driver }>
    const from = target.configDir
    const found = await loadDriver('cassandra-driver', { service: 'adapter', kind: 'cassandra', from, own })
    guardDriver(from)
    const connection = new Connection(env, target, found.default)
    try {
      await connection.#inTime(target.connectMs, signal, () => connection.#client.connect())
      return connection
    } catch (error) {
      await connection.close()
      throw connection.problem(error, null)
    }
  }

  /** All rows of a small result, by the names of its columns. */
  async rows(statement: Sql, signal: AbortSignal): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { answerMs } = this.#target
    const { text } = renderSql(statement, cassandraDialect)
    const rows: Readonly<Record<string, unknown>>[] = []
    let pageState: string | undefined
    do {
      const options = { fetchSize: 1000, ...(pageState === undefined ? {} : { pageState }) }
      const result = await this.#inTime(answerMs, signal, () => this.#client.execute(text, [], options))
      rows.push(...(result.rows as readonly Readonly<Record<string, unknown>>[]))
      pageState = result.pageState ?? undefined
    } while (pageState !== undefined)
    return rows
  }

  /** One page of at most `size` rows, as arrays. */
  async page(statement: Sql, from: string | null, size: number, signal: AbortSignal): Promise<RowPage> {
    const { answerMs, consistency } = this.#target
    const options = {
      fetchSize: size,
      consistency: consistencyOf(this.#driver, consistency),
      ...(from === null ? {} : { pageState: from }),
    }
    const { text } = renderSql(statement, cassandraDialect)
    const result = await this.#inTime(answerMs, signal, () => this.#client.execute(text, [], options))
    return { rows: result.rows.map(row => row.values()), next: result.pageState ?? null }
  }

  /** Ends every connection; never throws. */
  async close(): Promise<void> {
    try {
      await withDeadline(this.#env, { what: 'the goodbye', ms: 2000 }, () => this.#client.shutdown())
    } catch {
      // it is ending anyway: a server that does not answer must not hold us
    }
  }

  /** Turns what the driver threw into an error of the table, without secrets. */
  problem(error: unknown, table: string | null): Error {
    if (isNaruError(error) && error.code !== 'DEADLINE') return error
    const { source, address, user } = this.#target
    const cause = innerOf(error)
    const problem = redact(messageOf(cause) || (systemCodeOf(cause) ?? ''), [
      this.#target.url,
      passwordOf(this.#target),
    ])
    const options = { cause: new Error(problem) }
    const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
    const codes = this.#driver.types.responseErrorCodes
    if (isTlsFault(cause)) return fail('SOURCE_TLS', { source, address, problem }, options)
    if (code === codes.badCredentials || nameOf(cause) === 'AuthenticationError') {
      return fail('SOURCE_LOGIN', { source, user, problem }, options)
    }
    if (code === codes.unauthorized) {
      return fail(
        'SOURCE_DENIED',
        { source, object: table === null ? 'the catalog' : `table "${table}"`, problem },
        options,
      )
    }
    if (nameOf(cause) === 'ResponseError') {
      return fail('SOURCE_READ', { source, table: table ?? 'the catalog', problem }, options)
    }
    return fail('SOURCE_UNREACHABLE', { source, address, problem }, options)
  }

  async #inTime<T>(ms: number, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    const { source, address } = this.#target
    if (signal.aborted) throw fail('CANCELLED', { what: `reading source "${source}"` }, { cause: signal.reason })
    try {
      // Later than the driver's own limit, which lets it use the connection again.
      return await withDeadline(this.#env, { what: `the cluster at ${address}`, ms: ms + 1000, signal }, task)
    } catch (error) {
      if (signal.aborted) throw fail('CANCELLED', { what: `reading source "${source}"` }, { cause: error })
      throw error
    }
  }
}

function clientOptions(target: Target, driver: Driver): cassandraDriver.ClientOptions {
  const url = new URL(target.url.reveal())
  const { auth, policies } = driver
  const password = decodeURIComponent(url.password)
  return {
    contactPoints: url.hostname.split(','),
    protocolOptions: { port: url.port === '' ? defaultPort : Number(url.port) },
    ...(url.username === '' ? {} : { authProvider: new auth.PlainTextAuthProvider(target.user, password) }),
    ...(url.protocol === 'cassandras:' ? { sslOptions: { rejectUnauthorized: true } } : {}),
    ...(target.localDataCenter === undefined ? {} : { localDataCenter: target.localDataCenter }),
    policies: {
      ...(target.localDataCenter === undefined ? { loadBalancing: new policies.loadBalancing.RoundRobinPolicy() } : {}),
      retry: new policies.retry.RetryPolicy(),
    },
    socketOptions: { connectTimeout: target.connectMs, readTimeout: target.answerMs },
    queryOptions: { isIdempotent: true, prepare: false },
    // The catalog is read when it is wanted, not followed.
    isMetadataSyncEnabled: false,
  }
}

function passwordOf({ url }: Target): Secret {
  const { password } = new URL(url.reveal())
  return { reveal: () => decodeURIComponent(password) } as Secret
}

function consistencyOf(driver: Driver, name: string): cassandraDriver.types.consistencies {
  const { consistencies } = driver.types
  const known: Readonly<Record<string, cassandraDriver.types.consistencies>> = {
    one: consistencies.one,
    local_one: consistencies.localOne,
    quorum: consistencies.quorum,
    local_quorum: consistencies.localQuorum,
    all: consistencies.all,
  }
  return known[name] as cassandraDriver.types.consistencies
}

/** What one of the nodes said, when all of them failed, and why its socket was closed, when it was. */
function innerOf(error: unknown): unknown {
  if (typeof error !== 'object' || error === null) return error
  if ('innerErrors' in error)
    return innerOf(Object.values(error.innerErrors as object)[0] ?? new Error(messageOf(error)))
  return 'innerError' in error && error.innerError instanceof Error ? error.innerError : error
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}
