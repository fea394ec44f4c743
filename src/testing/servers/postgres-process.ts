import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import type { Socket } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fail } from '../../core/errors.ts'
import { spawnOptions, type Account } from './account.ts'

export interface LaunchOptions {
  readonly program: string
  readonly args: readonly string[]
  readonly account: Account
  /** Data folder; its lock file tells when the server is ready. */
  readonly data: string
  readonly log: string
  readonly detached: boolean
  readonly signal: AbortSignal | undefined
}

/** A server process that this process started. */
export interface Running {
  readonly pid: number
  readonly child: ChildProcess
}

const SERVER = 'PostgreSQL'
const READY_MS = 60_000
const POLL_MS = 20
/** How long to wait after each signal: fast shutdown, immediate shutdown, and the end for a stopped process. */
const STOP_SIGNALS = [
  { signal: 'SIGINT', ms: 15_000 },
  { signal: 'SIGQUIT', ms: 10_000 },
  { signal: 'SIGKILL', ms: 5000 },
] as const

/** Starts a postmaster and waits until it is ready. Throws `LOCAL_SERVER_START` or `CANCELLED` with none left behind. */
export async function launch(options: LaunchOptions): Promise<Running | 'port taken'> {
  const log = await fs.open(options.log, 'a', 0o600)
  try {
    const { size: logStart } = await log.stat()
    const child = spawn(options.program, options.args, {
      ...spawnOptions(options.account),
      detached: true, // its own session: Ctrl-C must reach us, and we end the server in order
      stdio: ['ignore', log.fd, log.fd],
    })
    await once(child, 'spawn')
    const running = { pid: child.pid as number, child }
    if (!options.detached) guard(running, options.account)
    child.unref()
    return (await becomesReady(running, options)) ? running : await explainExit(options.log, logStart)
  } finally {
    await log.close()
  }
}

/** Ends the server in order, or by force when it does not end in time. Harmless when it has ended. */
export async function endServer({ pid, child }: Running): Promise<void> {
  for (const { signal, ms } of STOP_SIGNALS) {
    if (!hasEnded(child)) child.kill(signal)
    if (await endsWithin(child, ms)) return
  }
  throw fail('LOCAL_SERVER_STOP', { server: SERVER, pid })
}

/**
 * Ends the server when this process dies, in whatever way: the guard waits for the end of its input, which comes when
 * the last holder of the pipe is gone. It runs as the server's user and dies with the server, so it hits no other process.
 */
function guard({ pid, child }: Running, account: Account): void {
  const watcher = spawn('/bin/sh', ['-c', 'read -r _; kill -QUIT "$0"', String(pid)], {
    ...spawnOptions(account),
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.once('exit', () => watcher.kill('SIGKILL'))
  watcher.unref()
  ;(watcher.stdin as Socket).unref()
}

/** True when ready, false when it ended by itself. */
async function becomesReady(running: Running, options: LaunchOptions): Promise<boolean> {
  const deadline = performance.now() + READY_MS
  while (!hasEnded(running.child)) {
    if (await isReady(running.pid, options.data)) return true
    const isLate = performance.now() > deadline
    if (isLate || options.signal?.aborted === true) {
      await endServer(running)
      if (!isLate) throw fail('CANCELLED', { what: `the start of ${SERVER}` }, { cause: options.signal?.reason })
      throw fail('LOCAL_SERVER_START', { server: SERVER, why: `not ready after ${READY_MS} ms; see ${options.log}` })
    }
    await sleep(POLL_MS)
  }
  return false
}

/** The lock file holds the process id in its first line and the state in its eighth. */
async function isReady(pid: number, data: string): Promise<boolean> {
  const lock = await fs.readFile(path.join(data, 'postmaster.pid'), 'utf8').catch(() => '')
  const lines = lock.split('\n')
  return lines[0] === String(pid) && lines[7]?.trim() === 'ready'
}

async function explainExit(log: string, from: number): Promise<'port taken'> {
  const said = (await fs.readFile(log)).subarray(from).toString()
  if (/could not bind|Address already in use/.test(said)) return 'port taken'
  const lines = said.split('\n').filter(line => line.trim() !== '')
  throw fail('LOCAL_SERVER_START', { server: SERVER, why: `${lines.slice(-3).join('; ')} (log: ${log})` })
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function endsWithin(child: ChildProcess, ms: number): Promise<boolean> {
  if (hasEnded(child)) return Promise.resolve(true)
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve(false), ms)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
