import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { shortLived } from '../support/command.ts'

/** How a job of a process ended: with its result, or killed. */
export interface Ended<R> {
  /** `null` when the process was killed. */
  readonly result: R | null
  readonly stderr: string
}

/** Processes that a test may lose. */
export interface Processes<J, R> {
  /** Gives a job to a process that has none; throws when it ends in another way than by a result or by SIGKILL. */
  run(job: J): Promise<Ended<R>>
  /** The same in a process of its own, which is killed some milliseconds after its start. */
  runAndKillAfter(job: J, ms: number): Promise<Ended<R>>
  stop(): void
}

/**
 * Processes of a script of this folder, which answers each message with one. A process takes one job after the other
 * until one kills it: the start of Node and the load of the modules cost more than most jobs.
 */
export function processesOf<J extends object, R>(script: string): Processes<J, R> {
  const idle: ChildProcess[] = []
  const start = (): ChildProcess =>
    spawn(process.execPath, [shortLived, path.join(import.meta.dirname, script)], {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
  return {
    run: async job => {
      const child = idle.pop() ?? start()
      const ended = await give<R>(child, job)
      if (ended.result !== null) idle.push(child)
      return ended
    },
    runAndKillAfter: async (job, ms) => {
      const child = start()
      const timer = setTimeout(() => child.kill('SIGKILL'), ms)
      try {
        return await give<R>(child, job)
      } finally {
        clearTimeout(timer)
        child.kill('SIGKILL')
      }
    },
    stop: () => idle.splice(0).forEach(child => child.kill('SIGKILL')),
  }
}

function give<R>(child: ChildProcess, job: object): Promise<Ended<R>> {
  return new Promise((resolve, reject) => {
    let stderr = ''
    const onText = (text: Buffer): void => void (stderr += text.toString())
    const end = (act: () => void): void => {
      child.stderr?.off('data', onText)
      child.off('error', onError).off('close', onClose).off('message', onMessage)
      act()
    }
    const onError = (error: Error): void => end(() => reject(error))
    const onMessage = (result: unknown): void => end(() => resolve({ result: result as R, stderr }))
    const onClose = (code: number | null, signal: string | null): void =>
      end(() => {
        if (signal === 'SIGKILL') return resolve({ result: null, stderr })
        reject(new Error(`the process ended with ${code ?? signal}: ${stderr.slice(-2_000)}`))
      })
    child.stderr?.on('data', onText)
    child.on('error', onError).on('close', onClose).on('message', onMessage)
    child.send(job)
  })
}
