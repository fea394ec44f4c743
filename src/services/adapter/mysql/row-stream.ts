import type { BufferPool } from '../../../core/buffer-pool.ts'
import { batchShape } from '../../../systems/mysql/batch-shape.ts'
import { COMMAND, ProtocolError, type ServerError, type WireColumn } from '../../../systems/mysql/protocol.ts'
import { RowReader } from '../../../systems/mysql/row-reader.ts'
import { batchBuilder, type BatchBuilder, type BatchShape } from '../../../systems/wire/batch-builder.ts'
import { badReject, oversizedReject } from '../../../systems/wire/skipped-row.ts'
import type { RowReject, SourceBatch } from '../contract.ts'
import type { Connection, Socket } from './connection.ts'
import type { Target } from './target.ts'
import { BATCHES_IN_FLIGHT, type ReadJob } from './thread-messages.ts'

/** Rejects are handed over with a batch of their own when so many have gathered. */
const REJECTS_MAX = 1_000

/** Where batches go, and where their buffers come back to. */
export interface RowOutput {
  readonly give: (batch: SourceBatch) => void
  readonly pool: BufferPool
}

/** An error of the server that ended the statement and left the session as it was. */
export class StatementRefused extends Error {
  readonly code: string

  constructor({ number, message }: ServerError) {
    super(message)
    this.code = String(number)
  }
}

/**
 * One running query over the binary protocol. It decodes what comes on the socket, and stops reading while
 * `BATCHES_IN_FLIGHT` batches are not consumed: the server then waits too.
 */
export class RowStream {
  readonly #connection: Connection
  readonly #target: Target
  readonly #job: ReadJob
  readonly #out: RowOutput
  readonly #reader: RowReader
  #shape: BatchShape | null = null
  #builder: BatchBuilder | null = null
  #rejects: RowReject[] = []
  #inFlight = 0
  #draining = false
  #settle: { readonly done: () => void; readonly fail: (error: Error) => void } | null = null

  constructor(connection: Connection, target: Target, job: ReadJob, out: RowOutput) {
    this.#connection = connection
    this.#target = target
    this.#job = job
    this.#out = out
    this.#reader = new RowReader(target.rowBytesMax, {
      columns: columns => this.#begin(columns),
      rows: block => {
        if (this.#draining) return
        const builder = this.#builder as BatchBuilder
        if (builder.isFullFor(block.bytes.length)) this.#flush()
        for (const bad of builder.add(block)) this.#reject(badReject(bad))
      },
      skipped: row => this.#reject(oversizedReject(row, this.#shape as BatchShape, target.rowBytesMax)),
      ended: error => this.#end(error),
    })
  }

  /** Reads to the end. The session can run statements again after it, also after `StatementRefused`. */
  async run(): Promise<void> {
    const { statement } = await this.#connection.prepare(this.#job.query)
    try {
      await new Promise<void>((done, fail) => {
        this.#settle = { done, fail }
        this.#listen()
        // No cursor, one execution, no parameters.
        this.#connection.send(COMMAND.execute, Buffer.concat([statement, Buffer.from([0, 1, 0, 0, 0])]))
      })
    } finally {
      this.#unlisten()
    }
    this.#connection.send(COMMAND.closeStatement, statement)
  }

  /** A batch was consumed. */
  credit(): void {
    this.#inFlight--
    if (this.#inFlight < BATCHES_IN_FLIGHT) this.#resume()
  }

  /** What is still to come is thrown away. */
  drain(): void {
    this.#draining = true
    this.#resume()
  }

  #resume(): void {
    if (!this.#socket.isPaused() || this.#settle === null) return
    this.#socket.setTimeout(this.#target.answerMs) // the silence was ours: it begins anew
    this.#socket.resume()
  }

  get #socket(): Socket {
    return this.#connection.socket
  }

  readonly #onData = (chunk: Buffer): void => {
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  readonly #onClose = (): void => this.#fail(new Error('the server closed the connection'))
  readonly #onError = (error: Error): void => this.#fail(error)

  /** A server that is silent for so long is gone, unless it is us who do not read. */
  readonly #onSilence = (): void => {
    if (this.#socket.isPaused()) this.#socket.setTimeout(this.#target.answerMs)
    else this.#fail(new Error(`the server sent nothing for ${this.#target.answerMs} ms`))
  }

  #listen(): void {
    this.#socket.on('data', this.#onData).on('close', this.#onClose).on('error', this.#onError)
    this.#socket.on('timeout', this.#onSilence).setTimeout(this.#target.answerMs)
    this.#socket.resume()
  }

  #unlisten(): void {
    this.#settle = null
    this.#socket.off('data', this.#onData).off('close', this.#onClose).off('error', this.#onError)
    this.#socket.off('timeout', this.#onSilence).setTimeout(0)
    this.#socket.pause()
  }

  #begin(wires: readonly WireColumn[]): void {
    const { columns, key } = this.#job
    if (wires.length !== columns.length) {
      throw new ProtocolError(`the server answered with ${wires.length} columns where ${columns.length} belong`)
    }
    this.#shape = batchShape({ columns, key, pool: this.#out.pool }, wires, this.#target.zeroDates)
    this.#builder = batchBuilder(this.#shape)
  }

  #end(error: ServerError | null): void {
    if (error !== null) return this.#settle?.fail(new StatementRefused(error))
    this.#flush()
    this.#settle?.done()
  }

  #fail(error: Error): void {
    this.#connection.destroy()
    this.#settle?.fail(error)
  }

  #reject(row: RowReject): void {
    if (this.#draining) return
    this.#rejects.push(row)
    if (this.#rejects.length >= REJECTS_MAX) this.#flush()
  }

  #flush(): void {
    if (this.#builder === null || this.#draining) return
    const batch = this.#builder.flush()
    if (batch === null && this.#rejects.length === 0) return
    this.#out.give({ batch: batch ?? this.#builder.empty(), rejects: this.#rejects })
    this.#rejects = []
    this.#inFlight++
    if (this.#inFlight >= BATCHES_IN_FLIGHT) this.#socket.pause()
  }
}
