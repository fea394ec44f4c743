import { once } from 'node:events'
import type { Client, Connection, Submittable } from 'pg'
import { withDeadline, type Env } from '../../core/env.ts'

/** How long the server may be silent while it is sent to, and what is said then. */
export interface CopyInLimits {
  readonly env: Env
  /** What is waited for, for the message: `the database at host:5432/ops`. */
  readonly what: string
  /** Longest wait for room on the socket, and for the answer when all is sent. */
  readonly silenceMs: number
  readonly signal: AbortSignal
}

/** What the driver's connection offers for COPY and its types leave out. */
type CopyConnection = Connection & {
  endCopyFrom(): void
  sendCopyFail(reason: string): void
}

/**
 * Runs `COPY … FROM STDIN` and sends `pieces`, which are whole CopyData messages as `copyWriter` makes them, no faster
 * than the server takes them. Gives the rows that the server took. `sent` gets back each piece that left the process.
 * When making a piece fails, the server drops the whole COPY and that error is thrown; after a limit has passed, or an
 * abort, the connection is of no use.
 */
export async function copyIn(
  client: Pick<Client, 'query'>,
  statement: string,
  pieces: AsyncIterable<Buffer>,
  limits: CopyInLimits,
  sent: (piece: Buffer) => void = () => {},
): Promise<bigint> {
  const copy = new CopyIn(statement, pieces, limits, sent)
  client.query(copy)
  return copy.result
}

/** A query in the driver's own protocol: the methods below are called by `pg.Client` when a message arrives. */
class CopyIn implements Submittable {
  readonly result: Promise<bigint>
  /** Aborted with the first error; ends the sending. */
  readonly #failed = new AbortController()
  /** Called when the answer has come, whatever it says. */
  #answered: () => void = () => {}
  readonly #statement: string
  readonly #pieces: AsyncIterable<Buffer>
  readonly #limits: CopyInLimits
  readonly #sent: (piece: Buffer) => void
  #resolve: (rows: bigint) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  #rows = 0n

  constructor(statement: string, pieces: AsyncIterable<Buffer>, limits: CopyInLimits, sent: (piece: Buffer) => void) {
    this.#statement = statement
    this.#pieces = pieces
    this.#limits = limits
    this.#sent = sent
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  submit(connection: Connection): void {
    connection.query(this.#statement)
  }

  handleCopyInResponse(connection: CopyConnection): void {
    this.#send(connection).catch((error: unknown) => {
      const isFirst = !this.#failed.signal.aborted
      if (isFirst) this.#failed.abort(error)
      if (connection.stream.destroyed) this.#reject(this.#failed.signal.reason)
      // The server's answer to this is an error of its own; the first one is kept.
      else if (isFirst) connection.sendCopyFail('the sender gave up')
    })
  }

  handleError(error: unknown): void {
    if (!this.#failed.signal.aborted) this.#failed.abort(error)
    this.#answered()
    this.#reject(this.#failed.signal.reason)
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.#rows = BigInt(/^COPY (\d+)$/.exec(message.text)?.[1] ?? 0)
  }

  handleReadyForQuery(): void {
    this.#answered()
    this.#resolve(this.#rows)
  }

  async #send(connection: CopyConnection): Promise<void> {
    const { stream } = connection
    for await (const piece of this.#pieces) {
      if (this.#failed.signal.aborted) return // the server has refused a row or is gone; it takes no more
      this.#limits.signal.throwIfAborted()
      const hasRoom = stream.write(piece, error => {
        if (error == null) this.#sent(piece)
      })
      if (!hasRoom) await this.#inTime(stream, signal => once(stream, 'drain', { signal }))
    }
    if (this.#failed.signal.aborted) return
    connection.endCopyFrom()
    await this.#inTime(stream, () => new Promise<void>(resolve => (this.#answered = resolve)))
  }

  /** Waits for the server. When it does not answer in time the connection is cut: its state is unknown. */
  async #inTime(stream: Connection['stream'], task: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const { env, what, silenceMs, signal } = this.#limits
    const ends = AbortSignal.any([signal, this.#failed.signal])
    try {
      await withDeadline(env, { what, ms: silenceMs, signal: ends }, task)
    } catch (error) {
      if (!this.#failed.signal.aborted) stream.destroy()
      throw error
    }
  }
}
