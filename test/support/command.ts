import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'

const main = path.resolve(import.meta.dirname, '../../dist/cli/main.js')

/** Code of a command that lives for a second is rarely worth its compilation: a seventh of the processor's time is saved. */
export const shortLived = '--interrupt-budget=600000'

/** Longest that one command may take before the test ends it: a command that hangs is a failure, not a wait. */
const commandMs = 120_000

/** How a command ended, and what it said. */
export interface Ended {
  /** Exit status; `null` when a signal ended it. */
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that is going on. */
export interface Going {
  readonly child: ChildProcess
  /** Resolves when it has said `text`, on standard error or output; rejects when it ends before. */
  says(text: string): Promise<void>
  readonly ended: Promise<Ended>
}

export interface StartOptions {
  readonly variables?: Readonly<Record<string, string>>
  /** Largest file that the process may write, in KiB. */
  readonly fileKiBMax?: number | undefined
  /** Most files and sockets that it may have open. */
  readonly filesMax?: number | undefined
  /** Largest heap of its JavaScript, in MiB. */
  readonly heapMiBMax?: number | undefined
  /** Folder of a control group that the process joins. */
  readonly cgroup?: string | undefined
  /** Longest that it may take; more for a command that is meant to go on. */
  readonly limitMs?: number | undefined
}

/** Starts `naru ARGS` in a folder, as a user's shell would: a child process with these variables and nothing of ours. */
export function startNaru(
  folder: string,
  args: readonly string[],
  { variables = {}, fileKiBMax, filesMax, heapMiBMax, cgroup, limitMs = commandMs }: StartOptions = {},
): Going {
  const { PATH = '', HOME = '', TMPDIR = '/tmp' } = process.env
  const limits = [
    // The shell counts in blocks of 512 bytes; without the trap a write over the limit would end the process.
    ...(fileKiBMax === undefined ? [] : [`trap '' XFSZ; ulimit -f ${fileKiBMax * 2}`]),
    ...(filesMax === undefined ? [] : [`ulimit -n ${filesMax}`]),
    ...(cgroup === undefined ? [] : [`echo $$ > ${cgroup}/cgroup.procs`]),
  ]
  const shell = limits.length === 0 ? [] : ['/bin/sh', '-c', `${limits.join('; ')}; exec "$0" "$@"`]
  const heap = heapMiBMax === undefined ? [] : [`--max-old-space-size=${heapMiBMax}`]
  const [program = '', ...rest] = [...shell, process.execPath, shortLived, ...heap, main, ...args]
  const child = spawn(program, rest, {
    cwd: folder,
    env: { PATH, HOME, TMPDIR, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { stdout: '', stderr: '' }
  const listeners = new Set<() => void>()
  const tell = (): void => listeners.forEach(listener => listener())
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text
      tell()
    })
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status => {
      clearTimeout(timer)
      resolve({ status, ...said })
    })
  })
  const says = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (said.stderr.includes(text) || said.stdout.includes(text)) resolve()
      }
      listeners.add(look)
      look()
      ended.then(() => reject(new Error(`it ended without saying "${text}": ${said.stderr}`)), reject)
    })
  return { child, says, ended }
}
