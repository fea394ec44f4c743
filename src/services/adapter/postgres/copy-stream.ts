import { isUtf8 } from 'node:buffer'
import type { BufferPool } from '../../../core/buffer-pool.ts'
import { batchShape } from '../../../systems/postgres/batch-shape.ts'
import { CopyReader, type ServerError } from '../../../systems/postgres/copy-reader.ts'
import { batchBuilder, type BatchBuilder } from '../../../systems/wire/batch-builder.ts'
import { badReject, oversizedReject } from '../../../systems/wire/skipped-row.ts'
import type { RowReject, SourceBatch } from '../contract.ts'
import type { Connection, Socket } from './connection.ts'
import type { Target } from './target.ts'
import { BATCHES_IN_FLIGHT, type CopyJob } from './thread-messages.ts'

/** Rejects are handed over with a batch of their own when so many have gathered. */
const REJECTS_MAX = 1_000

/** Where batches go, and where their buffers come back to. */
export interface CopyOutput {
  readonly give: (batch: SourceBatch) => void
  readonly pool: BufferPool
}

/**
 * One running COPY. It takes the socket from the driver until the server is ready again, decodes what comes, and stops
 * reading while `BATCHES_IN_FLIGHT` batches are not consumed: the server then waits too.
 */
export class CopyStream {
  readonly #socket: Socket
  readonly #answerMs: number
  readonly #builder: BatchBuilder
  readonly #reader: CopyReader
  readonly #job: CopyJob
  readonly #give: (batch: SourceBatch) => void
  #rejects: RowReject[] = []
  #inFlight = 0
  #refusal: ServerError | null = null
  #settle: { readonly done: () => void; readonly fail: (error: Error) => void } | null = null

  constructor(connection: Connection, target: Target, job: CopyJob, out: CopyOutput) {
    this.#socket = connection.socket
    this.#answerMs = target.answerMs
    this.#job = job
    this.#give = out.give
    // A database in SQL_ASCII takes any bytes; all others convert to UTF-8 and vouch for it.
    const checkText = connection.encoding === 'SQL_ASCII' ? isUtf8 : null
    const shape = batchShape({ columns: job.columns, key: job.key, pool: out.pool }, checkText)
    this.#builder = batchBuilder(shape)
    this.#reader = new CopyReader(job.columns.length, target.rowBytesMax, {
      rows: block => {
        if (this.#builder.isFullFor(block.bytes.length)) this.#flush()
        for (const bad of this.#builder.add(block)) this.#reject(badReject(bad))
      },
      skipped: row => this.#reject(oversizedReject(row, shape, target.rowBytesMax)),
      failed: error => (this.#refusal = error),
      ready: () => this.#end(),
    })
  }

  /** Reads to the end. The connection can run statements again after it, and is of no use when it throws. */
  async run(connection: Connection): Promise<void> {
    const driverListeners = this.#socket.listeners('data') as ((chunk: Buffer) => void)[]
    this.#socket.removeAllListeners('data')
    try {
      await new Promise<void>((done, fail) => {
        this.#settle = { done, fail }
        this.#listen()
        connection.send(this.#job.copy)
      })
    } finally {
      this.#unlisten()
      for (const listener of driverListeners) this.#socket.on('data', listener)
      this.#socket.resume()
    }
  }

  /** A batch was consumed. */
  credit(): void {
    this.#inFlight--
    if (!this.#socket.isPaused() || this.#inFlight >= BATCHES_IN_FLIGHT) return
    this.#socket.setTimeout(this.#answerMs) // the silence was ours: it begins anew
    this.#socket.resume()
  }

  readonly #onData = (chunk: Buffer): void => {
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  readonly #onClose = (): void => this.#fail(new Error('Connection terminated unexpectedly'))
  readonly #onError = (error: Error): void => this.#fail(error)

  /** A server that is silent for so long is gone, unless it is us who do not read. */
  readonly #onSilence = (): void => {
    if (this.#socket.isPaused()) this.#socket.setTimeout(this.#answerMs)
    else this.#fail(new Error(`timeout expired: nothing came for ${this.#answerMs} ms`))
  }

  #listen(): void {
    this.#socket.on('data', this.#onData).on('close', this.#onClose).on('error', this.#onError)
    this.#socket.on('timeout', this.#onSilence).setTimeout(this.#answerMs)
  }

  #unlisten(): void {
    this.#socket.off('data', this.#onData).off('close', this.#onClose).off('error', this.#onError)
    this.#socket.off('timeout', this.#onSilence).setTimeout(0)
  }

  #end(): void {
    if (this.#refusal !== null) {
      const { code, message } = this.#refusal
      return this.#fail(Object.assign(new Error(message), { code }))
    }
    this.#flush()
    this.#settle?.done()
  }

  #fail(error: Error): void {
    this.#socket.destroy()
    this.#settle?.fail(error)
  }

  #reject(row: RowReject): void {
    this.#rejects.push(row)
    if (this.#rejects.length >= REJECTS_MAX) this.#flush()
  }

  #flush(): void {
    const batch = this.#builder.flush()
    if (batch === null && this.#rejects.length === 0) return
    this.#give({ batch: batch ?? this.#builder.empty(), rejects: this.#rejects })
    this.#rejects = []
    this.#inFlight++
    if (this.#inFlight >= BATCHES_IN_FLIGHT) this.#socket.pause()
  }
}
