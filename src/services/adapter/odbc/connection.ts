import type { ChildProcess } from 'node:child_process'
import { withDeadline, type Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { oneAtATime } from '../../../core/one-at-a-time.ts'
import type { SourceBatch } from '../contract.ts'
import { failureError } from './errors.ts'
import type { DriverFacts } from './facts.ts'
import type { DriverInfo } from './handles.ts'
import type { Answer, CatalogCall, ReadJob, Request, Statement, TextRow, ToChild } from './messages.ts'
import type { Target } from './target.ts'

/** How much later than the driver's own limit ours comes: it is for drivers that have none, or hang. */
const LATE_MS = 5_000
/** A driver may take so long to let go of what it does; then its process is ended. */
const CANCEL_MS = 3_000
const GOODBYE_MS = 3_000

/** One connection, seen from this side: the driver runs in a process of its own. One request at a time. */
export class Connection {
  readonly #env: Env
  readonly #target: Target
  readonly #child: ChildProcess
  readonly #arrived: Answer[] = []
  #wake: () => void = () => {}
  /** How the process ended, when it did. */
  #ended: string | null = null
  #isKilled = false
  readonly #turns = oneAtATime()
  #info: DriverInfo | null = null

  private constructor(env: Env, target: Target) {
    this.#env = env
    this.#target = target
    this.#child = env.processes.fork(childModule())
    this.#child.on('message', message => this.#take(message as Answer))
    this.#child.once('error', error => this.#end(error.message))
    this.#child.once('exit', (code, signal) => this.#end(signal ?? `exit code ${code}`))
    this.#send({ kind: 'start', configDir: target.configDir })
  }

  /** Starts the process and logs in. The driver's keywords stand behind the user's: the first of a name counts. */
  static async open(env: Env, target: Target, driver: DriverFacts, signal: AbortSignal): Promise<Connection> {
    const connection = new Connection(env, target)
    try {
      const { connectMs, answerMs } = target
      const { keywords, isNarrow } = driver
      const text = keywords === '' ? target.connection : `${target.connection.replace(/;*\s*$/, '')};${keywords}`
      const request = { kind: 'connect', connection: text, loginMs: connectMs, answerMs, isNarrow } as const
      const answer = await connection.#ask(request, connectMs + LATE_MS, signal)
      connection.#info = (answer as Extract<Answer, { kind: 'connected' }>).info
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  get info(): DriverInfo {
    return this.#info as DriverInfo
  }

  async beginTransactions(isolations: number, signal: AbortSignal): Promise<number> {
    const answer = await this.#ask({ kind: 'transactions', isolations }, this.#answerMs, signal)
    return (answer as Extract<Answer, { kind: 'isolation' }>).level
  }

  /** At most `rowsMax` rows after the first `skip` as text. */
  async query(
    statement: Statement,
    signal: AbortSignal,
    { skip = 0, rowsMax = 1_000_000 } = {},
  ): Promise<readonly TextRow[]> {
    const answer = await this.#ask({ kind: 'query', statement, skip, rowsMax }, this.#answerMs, signal)
    return (answer as Extract<Answer, { kind: 'rows' }>).rows
  }

  /** Runs a statement that gives no rows; tells how many it changed, less than 0 where the driver does not say. */
  async execute(text: string, signal: AbortSignal): Promise<number> {
    const answer = await this.#ask({ kind: 'execute', statement: { text, values: [] } }, this.#answerMs, signal)
    return (answer as Extract<Answer, { kind: 'done' }>).rows
  }

  /** Ends the transaction; only after `beginTransactions`. */
  async end(how: 'commit' | 'rollback', signal: AbortSignal): Promise<void> {
    await this.#ask({ kind: 'end', how }, this.#answerMs, signal)
  }

  async catalog(catalog: string | null, call: CatalogCall, signal: AbortSignal): Promise<readonly TextRow[]> {
    const answer = await this.#ask({ kind: 'catalog', catalog, call }, this.#answerMs, signal)
    return (answer as Extract<Answer, { kind: 'rows' }>).rows
  }

  /** Streams a table. Left early, the statement is cancelled and the connection stays; a driver that hangs loses it. */
  async *read(job: ReadJob, signal: AbortSignal): AsyncGenerator<SourceBatch, void> {
    const leave = await this.#turns.enter()
    let isDone = false
    try {
      this.#refuse(signal)
      this.#send({ kind: 'read', job })
      for (;;) {
        const answer = await this.#next(this.#answerMs, signal)
        isDone = answer.kind !== 'batch'
        if (answer.kind === 'failed') throw failureError(answer.failure)
        if (answer.kind !== 'batch') return
        yield answer.batch
        this.#send({ kind: 'credit' })
      }
    } finally {
      if (!isDone) await this.#cancel()
      leave()
    }
  }

  /** Logs out and waits shortly for the end; never throws. */
  async close(): Promise<void> {
    try {
      if (this.#ended === null) await this.#ask({ kind: 'close' }, GOODBYE_MS, new AbortController().signal)
    } catch {
      // it is ending anyway: a driver that does not answer must not hold us
    }
    this.destroy()
  }

  /** Ends the process, in the middle of whatever the driver does. */
  destroy(): void {
    this.#isKilled = true
    this.#child.kill('SIGKILL')
  }

  get #answerMs(): number {
    return this.#target.answerMs + LATE_MS
  }

  async #ask(request: Request, ms: number, signal: AbortSignal): Promise<Answer> {
    const leave = await this.#turns.enter()
    let isDone = false
    try {
      this.#refuse(signal)
      this.#send(request)
      const answer = await this.#next(ms, signal)
      isDone = true
      if (answer.kind === 'failed') throw failureError(answer.failure)
      return answer
    } finally {
      if (!isDone) await this.#cancel()
      leave()
    }
  }

  #refuse(signal: AbortSignal): void {
    if (signal.aborted) throw this.#cancelled(signal)
  }

  #cancelled(signal: AbortSignal): Error {
    return fail('CANCELLED', { what: `reading source "${this.#target.source}"` }, { cause: signal.reason })
  }

  /** The driver lets go of what it does, or its process ends. */
  async #cancel(): Promise<void> {
    if (this.#ended !== null || this.#isKilled) return
    this.#send({ kind: 'cancel' })
    try {
      const never = new AbortController().signal
      while ((await this.#next(CANCEL_MS, never)).kind === 'batch');
    } catch {
      this.destroy()
    }
  }

  async #next(ms: number, signal: AbortSignal): Promise<Answer> {
    const what = `the ODBC driver of source "${this.#target.source}"`
    try {
      return await withDeadline(this.#env, { what, ms, signal }, () => this.#arrival())
    } catch (error) {
      throw signal.aborted ? this.#cancelled(signal) : error
    }
  }

  async #arrival(): Promise<Answer> {
    for (;;) {
      const answer = this.#arrived.shift()
      if (answer !== undefined) return answer
      if (this.#ended !== null) throw this.#lost(this.#ended)
      await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }

  #lost(how: string): Error {
    const { source, address } = this.#target
    if (this.#isKilled) return fail('SOURCE_UNREACHABLE', { source, address, problem: 'the connection was ended' })
    return fail('ODBC_DRIVER_CRASHED', { source, driver: this.#info?.driver ?? 'that was asked for', how })
  }

  #send(message: ToChild): void {
    // A process that ended is noticed where its answer is waited for.
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  #take(answer: Answer): void {
    this.#arrived.push(answer)
    this.#wake()
  }

  #end(how: string): void {
    this.#ended ??= how
    this.#wake()
  }
}

/** The module of the process beside this one. */
function childModule(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './child.ts' : './child.js', import.meta.url)
}
