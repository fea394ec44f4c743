import type { Worker } from 'node:worker_threads'
import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import type { SourceBatch } from '../contract.ts'
import { buffersOf } from '../../../core/batch.ts'
import { type CopyJob, type FromThread, type ThreadStart, type ToThread } from './thread-messages.ts'

/**
 * A reading thread and its connection, seen from the main thread. Starting one costs as much as reading 100,000 rows,
 * so a snapshot keeps it for its next read.
 */
export class Reader {
  readonly #worker: Worker
  /** Messages that have come and were not taken yet; bounded by the credits. */
  readonly #arrived: FromThread[] = []
  #wake: () => void = () => {}
  #ended = false

  constructor(env: Env, start: ThreadStart) {
    this.#worker = env.processes.worker(threadModule(), { workerData: start, name: 'naru postgres' })
    this.#worker.on('message', (message: FromThread) => this.#take(message))
    this.#worker.on('error', error => this.#take({ kind: 'failed', message: error.message, code: undefined }))
    this.#worker.on('exit', code => {
      this.#ended = true
      this.#take({ kind: 'failed', message: `the reading thread ended with ${code}`, code: undefined })
    })
  }

  /** Runs one COPY. Throws the plain error of the thread; a reader that did not come to the end must be thrown away. */
  async *read(job: CopyJob, signal: AbortSignal): AsyncGenerator<SourceBatch, void> {
    const onAbort = (): void => this.#wake()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      this.#post({ kind: 'copy', job })
      for (;;) {
        const message = await this.#next(signal)
        if (message.kind === 'done') return
        if (message.kind === 'failed') throw Object.assign(new Error(message.message), { code: message.code })
        yield message.batch
        const buffers = buffersOf(message.batch.batch)
        this.#post({ kind: 'credit', buffers }, buffers)
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Closes the connection in good order and ends the thread. */
  async close(): Promise<void> {
    if (this.#ended) return
    const ended = new Promise<void>(resolve => this.#worker.once('exit', () => resolve()))
    this.#post({ kind: 'close' })
    await ended
  }

  /** Ends the thread and with it the connection, in the middle of whatever it does. */
  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }

  #post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  #take(message: FromThread): void {
    this.#arrived.push(message)
    this.#wake()
  }

  async #next(signal: AbortSignal): Promise<FromThread> {
    for (;;) {
      if (signal.aborted) throw fail('CANCELLED', { what: 'reading a table' }, { cause: signal.reason })
      const message = this.#arrived.shift()
      if (message !== undefined) return message
      await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }
}

/** The module of the thread beside this one: a source when tests run the sources, the built module otherwise. */
function threadModule(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url)
}
