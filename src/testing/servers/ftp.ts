import type { AddressInfo, Server } from 'node:net'
import type { FtpSrv } from 'ftp-srv'
import { fail } from '../../core/errors.ts'

export interface FtpOptions {
  /** Folder that clients see as `/`. */
  readonly root: string
  readonly user: string
  readonly password: string
  /** Port on 127.0.0.1; a free one by default. */
  readonly port?: number
}

export interface FtpServer {
  /** `ftp://127.0.0.1:port`, without user and password. */
  readonly url: string
  readonly port: number
  /** Cuts every connection and waits until the port is free. Harmless when repeated. */
  stop(): Promise<void>
}

const HOST = '127.0.0.1'
/** Data connections; below the range from which systems take ports for outgoing connections. */
const PASSIVE_PORTS = { from: 32_000, to: 32_700 }
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const

/** The package logs every command to standard output, through an object of this shape. */
const quiet = { child: () => quiet, trace() {}, debug() {}, info() {}, warn() {}, error() {}, fatal() {} }

/** Starts a real FTP server on loopback for one user, passive data connections included. It ends with this process. */
export async function startFtp(options: FtpOptions): Promise<FtpServer> {
  // Here, not above: whoever imports `naru/testing` for its suites need not have the package.
  const { FtpSrv: Ftp } = await import('ftp-srv')
  const server = withoutSignalHandlers(
    () =>
      new Ftp({
        url: `ftp://${HOST}:${options.port ?? 0}`,
        pasv_url: HOST,
        pasv_min: PASSIVE_PORTS.from,
        pasv_max: PASSIVE_PORTS.to,
        log: quiet,
      }),
  )
  server.on('login', ({ username, password }, resolve, reject) => {
    if (username === options.user && password === options.password) resolve({ root: options.root })
    else reject(new Error('wrong user or password'))
  })
  // Broken data connections are a client's business; unheard they would end the process.
  server.on('client-error', () => {})
  const port = await listen(server)
  let stopped: Promise<void> | undefined
  return {
    url: `ftp://${HOST}:${port}`,
    port,
    stop: () => (stopped ??= Promise.resolve(server.close() as PromiseLike<void>)),
  }
}

async function listen(server: FtpSrv): Promise<number> {
  try {
    await (server.listen() as PromiseLike<unknown>)
  } catch (cause) {
    throw fail('LOCAL_SERVER_START', { server: 'the FTP server', why: (cause as Error).message }, { cause })
  }
  // The package does not tell the port that the system chose; its socket does.
  const { server: socket } = server as unknown as { server: Server }
  return (socket.address() as AddressInfo).port
}

/** The package ends the whole process, with status 0, on a signal: its handlers are taken off again. */
function withoutSignalHandlers<T>(make: () => T): T {
  const before = SIGNALS.map(signal => process.listeners(signal))
  const made = make()
  SIGNALS.forEach((signal, i) => {
    for (const listener of process.listeners(signal)) {
      if (!before[i]?.includes(listener)) process.removeListener(signal, listener)
    }
  })
  return made
}
