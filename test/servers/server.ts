import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A real server that this process started on loopback. */
export interface Server {
  readonly pid: number
  /** What it printed so far. */
  log(): string
  /** Ends it and waits until it is gone. Harmless when repeated. */
  stop(): Promise<void>
}

const running = new Set<ChildProcess>()
// Vitest ends its workers without a word: whatever they started goes with them.
process.once('exit', () => running.forEach(child => child.kill('SIGKILL')))

/** Starts a server and waits until it is ready: a port that answers, or a check of its own. */
export async function startServer(
  command: string,
  args: readonly string[],
  options: {
    readonly ready: number | (() => Promise<boolean>)
    readonly readyMsMax?: number
    readonly spawn?: SpawnOptions
    readonly stopSignal?: NodeJS.Signals
  },
): Promise<Server> {
  const folder = makeFolder('log')
  const logFile = path.join(folder, 'server.log')
  const output = openSync(logFile, 'a')
  const child = spawn(command, args, { stdio: ['ignore', output, output], ...options.spawn })
  closeSync(output)
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()).once('error', () => resolve()))
  running.add(child)
  void ended.then(() => running.delete(child))
  const server: Server = {
    pid: child.pid ?? -1,
    log: () => readFileSync(logFile, 'utf8'),
    stop: async () => {
      const kill = setTimeout(() => child.kill('SIGKILL'), 15_000)
      if (running.has(child)) child.kill(options.stopSignal ?? 'SIGTERM')
      await ended
      clearTimeout(kill)
      rmSync(folder, { recursive: true, force: true })
    },
  }
  const { ready } = options
  const isReady = typeof ready === 'number' ? () => answers(ready) : ready
  for (let waited = 0; !(await isReady()); waited += 50) {
    if (!running.has(child)) throw new Error(`${command} ended at its start:\n${server.log().slice(-4000)}`)
    if (waited > (options.readyMsMax ?? 60_000)) {
      const log = server.log()
      await server.stop()
      throw new Error(`${command} was not ready in time:\n${log.slice(-4000)}`)
    }
    await sleep(50)
  }
  return server
}

/** True when something listens on a port of loopback. */
export function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => resolve(socket.destroy() !== undefined))
    socket.once('error', () => resolve(false))
  })
}

/** A port of loopback that nobody uses now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
}

/** A new folder below the system's temporary one that other users may enter: servers run under accounts of their own. */
export function makeFolder(name: string): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), `naru-${name}-`))
  chmodSync(folder, 0o755)
  return folder
}
