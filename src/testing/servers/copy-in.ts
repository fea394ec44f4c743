import { once } from 'node:events'
import type { Client, Connection, Submittable } from 'pg'

/** What the driver's connection offers for COPY and its types leave out. */
type CopyConnection = Connection & {
  sendCopyFromChunk(chunk: Uint8Array): void
  endCopyFrom(): void
  sendCopyFail(reason: string): void
}

/**
 * Runs `COPY ... FROM STDIN` and sends `chunks` as they come, no faster than the server takes them.
 * When reading a chunk fails, the server drops the whole COPY and that error is thrown.
 */
export async function copyIn(client: Client, statement: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  await new Promise<void>((resolve, reject) => client.query(new CopyIn(statement, chunks, resolve, reject)))
}

/** A query in the driver's own protocol: the methods below are called by `pg.Client` when a message arrives. */
class CopyIn implements Submittable {
  /** Aborted with the first error; ends the sending. */
  readonly #failed = new AbortController()
  readonly #statement: string
  readonly #chunks: AsyncIterable<Uint8Array>
  readonly #resolve: () => void
  readonly #reject: (error: unknown) => void

  constructor(
    statement: string,
    chunks: AsyncIterable<Uint8Array>,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#statement = statement
    this.#chunks = chunks
    this.#resolve = resolve
    this.#reject = reject
  }

  submit(connection: Connection): void {
    connection.query(this.#statement)
  }

  handleCopyInResponse(connection: CopyConnection): void {
    this.#send(connection).catch((error: unknown) => {
      // The server's answer to this is an error of its own; the first one is kept.
      if (!this.#failed.signal.aborted) this.#failed.abort(error)
      connection.sendCopyFail('the sender gave up')
    })
  }

  handleError(error: unknown): void {
    if (!this.#failed.signal.aborted) this.#failed.abort(error)
    this.#reject(this.#failed.signal.reason)
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#resolve()
  }

  async #send(connection: CopyConnection): Promise<void> {
    const { signal } = this.#failed
    for await (const chunk of this.#chunks) {
      if (signal.aborted) return // the server has refused a row or is gone; it takes no more
      connection.sendCopyFromChunk(chunk)
      if (connection.stream.writableNeedDrain) await once(connection.stream, 'drain', { signal })
    }
    connection.endCopyFrom()
  }
}
