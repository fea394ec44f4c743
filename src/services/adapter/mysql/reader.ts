import type { Worker } from 'node:worker_threads'
import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import type { Sql } from '../../../core/sql.ts'
import type { SourceBatch } from '../contract.ts'
import type { TextRow } from './connection.ts'
import { buffersOf } from '../../../core/batch.ts'
import { oneAtATime } from '../../../core/one-at-a-time.ts'
import { type FromThread, type ReadJob, type ThreadStart, type ToThread } from './thread-messages.ts'

/** Longest wait for the end of a statement that was killed. */
const KILLED_MS_MAX = 30_000

/** What a reader needs of the snapshot. */
export interface ReaderNeeds {
  readonly env: Env
  readonly start: ThreadStart
  /** Ends the statement that a session is running, and leaves the session. */
  readonly kill: (thread: number) => Promise<void>
}

/**
 * A reading thread with its session, seen from the main thread. The session's view exists only there, so a read that
 * nobody wants any more is ended at the server and read over, and the view stays.
 */
export class Reader {
  readonly #env: Env
  readonly #kill: ReaderNeeds['kill']
  readonly #worker: Worker
  /** Messages that have come and were not taken yet; bounded by the credits. */
  readonly #arrived: FromThread[] = []
  #wake: () => void = () => {}
  #ended = false
  #thread = 0
  /** Who comes next waits for the one before. */
  readonly #turns = oneAtATime()
  #broken: Error | null = null

  constructor({ env, start, kill }: ReaderNeeds) {
    this.#env = env
    this.#kill = kill
    this.#worker = env.processes.worker(threadModule(), { workerData: start, name: 'naru mysql' })
    this.#worker.on('message', (message: FromThread) => this.#take(message))
    this.#worker.on('error', error => this.#take(failed(error.message)))
    this.#worker.on('exit', code => {
      this.#ended = true
      this.#take(failed(`the connection was ended: the reading thread ended with ${code}`))
    })
  }

  /** Connects and opens the view; gives the server's clock at that moment. */
  async begin(signal: AbortSignal): Promise<bigint> {
    for await (const message of this.#exchange({ kind: 'begin' }, signal)) {
      if (message.kind !== 'begun') continue
      this.#thread = message.thread
      return message.takenAtMicros
    }
    throw new Error('the connection was ended')
  }

  /** Asks within the view. Throws the plain error of the thread. */
  async ask(query: Sql, signal: AbortSignal): Promise<readonly TextRow[]> {
    for await (const message of this.#exchange({ kind: 'ask', query }, signal)) {
      if (message.kind === 'rows') return message.rows
    }
    return []
  }

  /** Reads within the view. Throws the plain error of the thread. */
  async *read(job: ReadJob, signal: AbortSignal): AsyncGenerator<SourceBatch, void> {
    for await (const message of this.#exchange({ kind: 'read', job }, signal)) {
      if (message.kind !== 'batch') continue
      yield message.batch
      const buffers = buffersOf(message.batch.batch)
      this.#post({ kind: 'credit', buffers }, buffers)
    }
  }

  /** Closes the connection in good order and ends the thread. */
  async close(): Promise<void> {
    if (this.#ended) return
    if (this.#broken !== null) return this.terminate()
    const ended = new Promise<void>(resolve => this.#worker.once('exit', () => resolve()))
    this.#post({ kind: 'close' })
    await ended
  }

  /** Ends the thread and with it the connection, in the middle of whatever it does. */
  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }

  /** One order and what comes of it, up to its end. */
  async *#exchange(order: ToThread, signal: AbortSignal): AsyncGenerator<FromThread, void> {
    const release = await this.#turns.enter()
    const onAbort = (): void => this.#wake()
    signal.addEventListener('abort', onAbort, { once: true })
    let over = false
    try {
      if (this.#broken !== null) throw this.#broken
      if (signal.aborted) {
        over = true
        throw cancelled(signal)
      }
      this.#post(order)
      for (;;) {
        const message = await this.#next(signal)
        over = message.kind !== 'batch'
        if (message.kind === 'failed') throw this.#failure(message)
        if (message.kind === 'done') return
        yield message
        if (over) return
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      if (!over && this.#broken === null) await this.#abandon()
      release()
    }
  }

  #failure({ message, code, usable }: FromThread & { readonly kind: 'failed' }): Error {
    const error = Object.assign(new Error(message), code === undefined ? {} : { code })
    if (!usable) this.#broken = error
    return error
  }

  /** Ends what is running and waits until the session is quiet. */
  async #abandon(): Promise<void> {
    let late = false
    const cancelTimer = this.#env.clock.after(KILLED_MS_MAX, () => {
      late = true
      this.#wake()
    })
    try {
      this.#post({ kind: 'drain' })
      await this.#kill(this.#thread)
      for (;;) {
        const message = await this.#next(null, () => late)
        if (message === null) throw new Error('the server did not end a statement that was killed')
        if (message.kind === 'batch') continue
        if (message.kind === 'failed' && !message.usable) throw this.#failure(message)
        break
      }
      await this.#swallowLateKill()
    } catch (error) {
      this.#broken = error as Error
      await this.terminate()
    } finally {
      cancelTimer()
    }
  }

  /** A kill that came after the end of its statement would meet the next one: that is a small one of ours. */
  async #swallowLateKill(): Promise<void> {
    this.#post({ kind: 'ask', query: { kind: 'sql', parts: ['select 1'] } })
    await this.#next(null)
  }

  #post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  #take(message: FromThread): void {
    this.#arrived.push(message)
    this.#wake()
  }

  async #next(signal: AbortSignal): Promise<FromThread>
  async #next(signal: null, over?: () => boolean): Promise<FromThread | null>
  async #next(signal: AbortSignal | null, over: () => boolean = () => false): Promise<FromThread | null> {
    for (;;) {
      if (signal?.aborted === true) throw cancelled(signal)
      if (over()) return null
      const message = this.#arrived.shift()
      if (message !== undefined) return message
      await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }
}

function cancelled(signal: AbortSignal): Error {
  return fail('CANCELLED', { what: 'reading a table' }, { cause: signal.reason })
}

function failed(message: string): FromThread {
  return { kind: 'failed', message, code: undefined, usable: false }
}

/** The module of the thread beside this one: a source when tests run the sources, the built module otherwise. */
function threadModule(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url)
}
