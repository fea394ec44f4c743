import type mysql from 'mysql2'
import type { Connection as DriverConnection } from 'mysql2'
import type { Env } from '../../../core/env.ts'
import { loadDriver } from '../../../core/implementation.ts'
import type { Target } from './target.ts'

/** A TCP or TLS socket. */
export type Socket = ReturnType<Env['network']['connect']>

/** A session that the driver logged in and no longer looks at. */
export interface LoggedIn {
  readonly socket: Socket
  /** The session's number, for KILL. */
  readonly thread: number
}

const KEEPALIVE_MS = 10_000
/** A server that sends more before the login is over is broken, or hostile. */
const LOGIN_BYTES_MAX = 1024 * 1024
const LOOK_MS = 20

/**
 * Capabilities that change what follows the login: files of this machine, compressed packets, attributes before each
 * statement, notes of session state in answers, and several answers to one statement, which a procedure may give. None of
 * them is ours.
 */
const FLAGS = [
  '-LOCAL_FILES',
  '-COMPRESS',
  '-CLIENT_QUERY_ATTRIBUTES',
  '-SESSION_TRACK',
  '-IGNORE_SPACE',
  '-MULTI_RESULTS',
]

/** What we use of the driver beyond its types: the socket, which it replaces when it encrypts. */
interface Inside {
  readonly stream: Socket
  readonly threadId: number
}

/**
 * Connects and logs in with mysql2, then takes the socket away from it: docs/decisions/0013. This is the only file that
 * knows the driver. `signal` ends the attempt. Throws what the driver throws; a server's error has its number as `code`.
 */
export async function login(env: Env, target: Target, signal: AbortSignal): Promise<LoggedIn> {
  const driver = await loadMysql2(target)
  signal.throwIfAborted()
  const connection = driver.createConnection({
    host: target.host,
    port: target.port,
    user: target.user,
    password: target.password,
    database: target.database,
    charset: 'utf8mb4',
    connectTimeout: target.connectMs,
    enableKeepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_MS,
    flags: FLAGS,
    ...(target.tls === null ? {} : { ssl: sslOf(target.tls) }),
  })
  const raw = inside(connection).stream
  const unwatch = env.clock.every(LOOK_MS, () => {
    if (raw.bytesRead > LOGIN_BYTES_MAX)
      raw.destroy(new Error(`the server sent over ${LOGIN_BYTES_MAX} bytes before the login`))
  })
  let onAbort = (): void => {}
  const aborted = new Promise<never>((_, reject) => (onAbort = () => reject(signal.reason as Error)))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([connected(connection), aborted])
    // Whoever gave up waiting takes no session any more.
    signal.throwIfAborted()
    return takeOver(connection)
  } catch (error) {
    connection.destroy()
    // The driver says goodbye only, which a server that is silent never answers.
    for (const socket of [raw, inside(connection).stream]) socket.destroy()
    throw error
  } finally {
    unwatch()
    signal.removeEventListener('abort', onAbort)
  }
}

function connected(connection: DriverConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.once('connect', () => resolve())
    // It stays: without a listener a lost connection would end the process.
    connection.on('error', (error: Error & { errno?: number; sqlState?: string }) => {
      if (error.sqlState !== undefined) reject(Object.assign(new Error(error.message), { code: String(error.errno) }))
      // The driver reads past the end of a packet that is none.
      else if (error instanceof RangeError)
        reject(new Error('the server sent a greeting that is none', { cause: error }))
      else reject(error)
    })
  })
}

function takeOver(connection: DriverConnection): LoggedIn {
  const { stream, threadId } = inside(connection)
  stream.removeAllListeners('data')
  stream.pause()
  return { socket: stream, thread: threadId }
}

function inside(connection: DriverConnection): Inside {
  return connection as unknown as Inside
}

function sslOf({ verify, ca }: NonNullable<Target['tls']>): mysql.SslOptions {
  const trust = ca === undefined ? {} : { ca }
  return { rejectUnauthorized: verify, verifyIdentity: verify, minVersion: 'TLSv1.2', ...trust }
}

type Driver = { readonly default: Pick<typeof mysql, 'createConnection'> }

async function loadMysql2({ configDir }: Target): Promise<Driver['default']> {
  const own = (): Promise<Driver> => import('mysql2')
  const found = await loadDriver('mysql2', { service: 'adapter', kind: 'mysql', from: configDir, own })
  return found.default
}
