import type { Redis } from 'ioredis'
import { withDeadline, type Env } from '../../../core/env.ts'
import { fail, isNaruError, isTlsFault, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { durationMs, loadDriver, readOptions } from '../../../core/implementation.ts'
import { redact, type Secret } from '../../../core/secret.ts'
import type { AdapterOpening } from '../contract.ts'
import { redis, type RedisTableDef } from './index.ts'

/** Which server is read and how. */
export interface Target {
  readonly source: string
  readonly configDir: string
  readonly url: Secret
  readonly address: string
  readonly user: string
  readonly tables: Readonly<Record<string, RedisTableDef>>
  readonly connectMs: number
  readonly answerMs: number
  readonly scanCount: number
  readonly keysMax: number
  readonly rowBytesMax: number
}

/** What a server answers, as bytes. */
export type Reply = Buffer | number | null | readonly Reply[]
export type Argument = string | Buffer | number

/** Bytes that the answers of one round may have beside its values: keys, lengths, protocol. */
const roundBytes = 8 << 20
const versionMin = 6

/** Reads the options of a source. Throws `OPTION_INVALID`, `ENV_MISSING`. */
export function targetOf(given: AdapterOpening): Target {
  const { source } = given
  const where = `source "${source}"`
  const options = readOptions(redis.options, given.options, where)
  const url = given.secret(options.url, `${where}, option "url"`)
  const text = url.reveal()
  const isUsable = URL.canParse(text) && /^rediss?:$/.test(new URL(text).protocol) && new URL(text).hostname !== ''
  if (!isUsable) {
    const problem = 'must be an address such as rediss://user:password@host:6379/0'
    throw fail('OPTION_INVALID', { where, option: 'url', problem })
  }
  const { host, username } = new URL(text)
  return {
    source,
    configDir: given.configDir,
    url,
    address: host,
    user: username === '' ? 'default' : username,
    tables: options.tables as Readonly<Record<string, RedisTableDef>>,
    connectMs: durationMs(options.connectTimeout) as number,
    answerMs: durationMs(options.answerTimeout) as number,
    scanCount: options.scanCount,
    keysMax: options.maxKeys,
    rowBytesMax: options.maxValueBytes,
  }
}

type Driver = { readonly default: typeof Redis }

async function loadRedis({ configDir }: Target): Promise<Driver['default']> {
  const own = (): Promise<Driver> => import('ioredis') as unknown as Promise<Driver>
  const found = await loadDriver('ioredis', { service: 'adapter', kind: 'redis', from: configDir, own })
  // The package is CommonJS: imported by a path, its class stands below `default` once more.
  const { default: driver } = found as { readonly default: Driver['default'] | Driver }
  return 'default' in driver ? driver.default : driver
}

/** One connection. Every answer has a limit in time and in bytes; a connection whose limit passed is cut. */
export class Connection {
  readonly #env: Env
  readonly #target: Target
  readonly #redis: Redis
  #bytes = 0
  /** Why the connection is gone. The driver's own words for it say less. */
  #lost: Error | null = null

  private constructor(env: Env, target: Target, client: Redis) {
    this.#env = env
    this.#target = target
    this.#redis = client
    client.on('error', (error: Error) => (this.#lost ??= error))
    // Before the login: what it is answered with is counted as well.
    client.once('connect', () => this.#watch())
  }

  static async open(env: Env, target: Target, signal: AbortSignal): Promise<Connection> {
    const Client = await loadRedis(target)
    const client = new Client(target.url.reveal(), {
      lazyConnect: true,
      connectTimeout: target.connectMs,
      // A command that is sent again could be answered by another state: the next run begins anew.
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      enableReadyCheck: false,
      connectionName: 'naru',
    })
    const connection = new Connection(env, target, client)
    try {
      await connection.#inTime(target.connectMs, signal, () => client.connect())
      await connection.#check(signal)
      return connection
    } catch (error) {
      connection.close()
      throw connection.problem(error, null)
    }
  }

  /** Runs commands together; the answers in their order, an error where one failed. `bytes` is what their values may have. */
  async round(
    commands: readonly (readonly [string, ...Argument[]])[],
    bytes: number,
    signal: AbortSignal,
  ): Promise<readonly (Reply | Error)[]> {
    this.#bytes = -bytes
    const { answerMs } = this.#target
    return this.#inTime(answerMs, signal, () =>
      Promise.all(
        commands.map(async ([name, ...args]) => {
          try {
            return (await this.#redis.callBuffer(name, ...args)) as Reply
          } catch (error) {
            if (this.#lost !== null || !isReplyError(error)) throw error
            return error
          }
        }),
      ),
    )
  }

  /** One command whose failure ends the read. */
  async ask(command: readonly [string, ...Argument[]], signal: AbortSignal): Promise<Reply> {
    const [reply] = await this.round([command], 0, signal)
    if (reply instanceof Error) throw reply
    return reply ?? null
  }

  /** True when it was cut or closed. */
  get isLost(): boolean {
    return this.#lost !== null || this.#redis.status === 'end'
  }

  close(): void {
    this.#lost ??= new Error('the connection is closed')
    this.#redis.disconnect()
  }

  /** Turns what the driver threw into an error of the table, without secrets. */
  problem(error: unknown, table: string | null): Error {
    const { source, address, user, url } = this.#target
    if (isNaruError(error) && error.code !== 'DEADLINE') return error
    // The connection's own fault comes before what the commands on it say.
    const told = isReplyError(error) ? error : (this.#lost ?? error)
    if (isNaruError(told) && told.code !== 'DEADLINE') return told
    const problem = redact(messageOf(told) || (systemCodeOf(told) ?? ''), [url])
    const cause = { cause: new Error(problem) }
    if (isTlsFault(told)) return fail('SOURCE_TLS', { source, address, problem }, cause)
    if (/^(WRONGPASS|NOAUTH|ERR AUTH|ERR invalid password)/.test(problem)) {
      return fail('SOURCE_LOGIN', { source, user, problem }, cause)
    }
    if (problem.startsWith('NOPERM')) {
      return fail('SOURCE_DENIED', { source, object: table ?? 'the server', problem }, cause)
    }
    if (isReplyError(told)) return fail('SOURCE_READ', { source, table: table ?? 'the server', problem }, cause)
    return fail('SOURCE_UNREACHABLE', { source, address, problem }, cause)
  }

  /** Counts what comes: an answer that was announced with terabytes ends here and not in memory. */
  #watch(): void {
    const { stream } = this.#redis
    stream.on('data', (piece: Buffer) => {
      this.#bytes += piece.length
      if (this.#bytes <= roundBytes) return
      const { source } = this.#target
      const problem = `the server sent ${roundBytes} bytes more than it announced`
      this.#lost ??= fail('SOURCE_READ', { source, table: 'the server', problem })
      stream.destroy()
    })
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { source, address } = this.#target
    const info = String(await this.ask(['INFO', 'server'], signal))
    const version = /redis_version:(\d+)\S*/.exec(info)
    if (version !== null && Number(version[1]) < versionMin) {
      const found = version[0].slice('redis_version:'.length)
      throw fail('SOURCE_VERSION', { source, system: 'Redis', found, needed: String(versionMin) })
    }
    const cluster = String(await this.ask(['INFO', 'cluster'], signal))
    if (cluster.includes('cluster_enabled:1')) throw fail('REDIS_CLUSTER', { source, address })
  }

  async #inTime<T>(ms: number, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    const { source, address } = this.#target
    if (signal.aborted) throw fail('CANCELLED', { what: `reading source "${source}"` }, { cause: signal.reason })
    try {
      return await withDeadline(this.#env, { what: `the server at ${address}`, ms, signal }, task)
    } catch (error) {
      if (signal.aborted || isNaruError(error, 'DEADLINE')) this.close()
      if (signal.aborted) throw fail('CANCELLED', { what: `reading source "${source}"` }, { cause: error })
      throw error
    }
  }
}

function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}
