import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import dns from 'node:dns/promises'
import fsp from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import os from 'node:os'
import { fork, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'
import { fail } from './errors.ts'

/**
 * The one door to the outside: clock, randomness, files, network, processes. Everything else takes an `Env`, so that
 * simulation and crash tests can drive it. A lint rule bans the globals outside this file.
 */
export interface Env {
  readonly clock: Clock
  readonly random: Random
  readonly files: typeof fsp
  readonly network: Network
  readonly processes: Processes
  /** Environment variables as they were at start. */
  readonly variables: Readonly<Record<string, string | undefined>>
  /** Called at each named crash point; does nothing in production. See `crashPoints`. */
  crash(point: CrashPoint): void
}

export interface Clock {
  /** Microseconds since 1970-01-01 UTC. */
  nowMicros(): bigint
  /** Milliseconds of a clock that never goes back, for measuring durations. */
  monotonicMs(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `task` every `ms` until the returned function is called; never keeps the process alive. */
  every(ms: number, task: () => void): () => void
  /** Calls `task` once after `ms` unless the returned function is called first. */
  after(ms: number, task: () => void): () => void
}

export interface Random {
  uuid(): string
  bytes(count: number): Uint8Array
}

export interface Network {
  connect(options: net.TcpNetConnectOpts): net.Socket
  /** Every address of a host's name, in the order of the system. */
  lookup(host: string): Promise<readonly { readonly address: string; readonly family: number }[]>
  /** Connects to a socket of this machine: a path, or the name of a pipe. */
  connectLocal(address: string): net.Socket
  /** A server for such sockets; it does not listen yet. */
  localServer(onConnection: (socket: net.Socket) => void): net.Server
  /** A server of HTTP requests; it does not listen yet. */
  httpServer(options: http.ServerOptions, onRequest: http.RequestListener): http.Server
  /** Connections for HTTP requests, kept open between them. Redirects are the caller's. */
  http(protocol: 'http:' | 'https:'): HttpConnections
}

/** Where the requests of one client go out. */
export interface HttpConnections {
  /** Sends the head of a request; what is listened to and how long is the caller's. */
  request(options: https.RequestOptions): http.ClientRequest
  /** Ends every connection. Harmless when repeated. */
  close(): void
}

export interface Processes {
  /** The name of this machine. */
  readonly host: string
  readonly pid: number
  /** The account that this process runs as; `null` where accounts have no numbers. */
  readonly user: number | null
  /** True while a process with this id exists on this machine. */
  isAlive(pid: number): boolean
  /** Files that this process makes from now on are readable by its owner only, also those that native code makes. */
  keepPrivate(): void
  /** Runs a task with one environment variable set: for drivers that are told something in no other way. */
  withVariable<T>(name: string, value: string, task: () => T): T
  /** Asks a process to end. */
  end(pid: number): void
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess
  /** Starts a worker thread from a module of this package. */
  worker(entry: URL, options?: WorkerOptions): Worker
  /** Starts a process from a module of this package, with a channel for messages that keeps typed arrays. It prints nowhere. */
  fork(entry: URL): ChildProcess
}

/**
 * Every place where state changes, by name. A crash test kills the process at each of them and runs again.
 * Add a name here when you add a place; `test/crash/crash.test.ts` visits all.
 */
export const crashPoints = [
  'run.begin.before',
  'run.begin.after',
  'interface.load.begin.after',
  'interface.chunk.commit.before',
  'interface.chunk.commit.after',
  'interface.resume.commit.before',
  'interface.sweep.commit.before',
  'interface.load.accept.before',
  'interface.load.accept.after',
  'run.publish.begin',
  'staging.apply.after',
  'cleansing.apply.after',
  'integration.apply.after',
  'export.apply.after',
  'warehouse.apply.after',
  'run.publish.commit.before',
  'run.publish.commit.after',
  'run.checkpoint.after',
  'stream.append.after',
  'stream.confirm.after',
  'stream.place.commit.before',
  'stream.place.commit.after',
  'stream.step.commit.before',
  'resync.read.after',
  'resync.drained',
  'resync.forget.after',
  'stream.tick.commit.after',
  'durable.write.before',
  'durable.rename.before',
  'durable.rename.after',
  'bus.append.write',
  'bus.append.sync',
  'bus.append.after',
  'bus.segment.roll.before',
  'bus.segment.roll.after',
  'bus.segment.remove.before',
  'bus.segment.remove.after',
  'bus.topic.remove.before',
  'bus.topic.remove.after',
] as const

export type CrashPoint = (typeof crashPoints)[number]

/** The real world. */
export function realEnv(): Env {
  return {
    clock: realClock(),
    random: { uuid: () => randomUUID(), bytes: count => new Uint8Array(randomBytes(count)) },
    files: fsp,
    network: {
      connect: options => net.connect(options),
      connectLocal: address => net.connect(address),
      localServer: onConnection => net.createServer(onConnection),
      lookup: host => dns.lookup(host, { all: true, verbatim: true }),
      httpServer: (options, onRequest) => http.createServer(options, onRequest),
      http: httpConnections,
    },
    processes: realProcesses(),
    variables: { ...process.env },
    crash: () => {},
  }
}

function httpConnections(protocol: 'http:' | 'https:'): HttpConnections {
  const system = protocol === 'https:' ? https : http
  const agent = new system.Agent({ keepAlive: true })
  return {
    request: options => system.request({ ...options, protocol, agent }),
    close: () => agent.destroy(),
  }
}

function realClock(): Clock {
  // The offset is taken once: `Date` has milliseconds, the performance clock adds the microseconds.
  const originMicros = BigInt(Math.round(performance.timeOrigin * 1000))
  return {
    nowMicros: () => originMicros + BigInt(Math.round(performance.now() * 1000)),
    monotonicMs: () => performance.now(),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(fail('CANCELLED', { what: 'a wait' }, { cause: signal.reason }))
        const onAbort = (): void => {
          clearTimeout(timer)
          reject(fail('CANCELLED', { what: 'a wait' }, { cause: signal?.reason }))
        }
        const timer = setTimeout(() => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        }, ms)
        signal?.addEventListener('abort', onAbort, { once: true })
      }),
    every: (ms, task) => {
      const timer = setInterval(task, ms)
      timer.unref()
      return () => clearInterval(timer)
    },
    after: (ms, task) => {
      const timer = setTimeout(task, ms)
      return () => clearTimeout(timer)
    },
  }
}

function realProcesses(): Processes {
  return {
    host: os.hostname(),
    pid: process.pid,
    user: process.getuid?.() ?? null,
    isAlive: pid => {
      try {
        process.kill(pid, 0)
        return true
      } catch (error) {
        // EPERM: it exists and belongs to somebody else.
        return (error as NodeJS.ErrnoException).code === 'EPERM'
      }
    },
    keepPrivate: () => void process.umask(0o077),
    withVariable: (name, value, task) => {
      const before = process.env[name]
      process.env[name] = value
      try {
        return task()
      } finally {
        if (before === undefined) delete process.env[name]
        else process.env[name] = before
      }
    },
    end: pid => void process.kill(pid, 'SIGTERM'),
    spawn: (command, args, options) => spawn(command, args, { ...options, shell: false }),
    worker: (entry, options) => new Worker(builtModule(entry), options),
    fork: entry =>
      fork(fileURLToPath(builtModule(entry)), [], {
        serialization: 'advanced',
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
        execArgv: [],
      }),
  }
}

/** Tests run the sources, and a worker thread of Node 20 cannot load TypeScript: it loads the built module instead. */
function builtModule(entry: URL): URL {
  if (!entry.pathname.endsWith('.ts')) return entry
  return new URL(entry.href.replace(/\/src\/(?!.*\/src\/)/, '/dist/').replace(/\.ts$/, '.js'))
}

/** Runs `task` with a limit in time; `DEADLINE` names what was waited for. The task's signal aborts at the limit. */
export async function withDeadline<T>(
  env: Env,
  limit: { readonly what: string; readonly ms: number; readonly signal?: AbortSignal | undefined },
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  limit.signal?.throwIfAborted()
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(limit.signal?.reason)
  // All waits of a run hang on its one signal; the platform would take more than ten for a leak.
  if (limit.signal !== undefined) setMaxListeners(0, limit.signal)
  limit.signal?.addEventListener('abort', onAbort, { once: true })
  let cancelTimer = (): void => {}
  const late = new Promise<never>((_, reject) => {
    cancelTimer = env.clock.after(limit.ms, () => {
      const error = fail('DEADLINE', { what: limit.what, ms: limit.ms })
      reject(error)
      controller.abort(error)
    })
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason as Error), { once: true })
  })
  try {
    return await Promise.race([task(controller.signal), late])
  } finally {
    cancelTimer()
    limit.signal?.removeEventListener('abort', onAbort)
  }
}

/** SHA-256 of text, in hexadecimal. */
export function sha256(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex')
}
