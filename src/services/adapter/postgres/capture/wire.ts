import type { Clock } from '../../../../core/env.ts'
import type { Sql } from '../../../../core/sql.ts'
import type { Connection, Socket } from '../connection.ts'

/** Bytes that wait for the decoder; with more the socket is not read, and the server waits. */
const QUEUE_BYTES_MAX = 1024 * 1024
const GOODBYE_MS = 2_000
/** Microseconds from 1970-01-01 to 2000-01-01. */
const EPOCH_MICROS = 946_684_800_000_000n
const STATUS_BYTES = 39

/** The bytes of a replication connection as they come, and our word to the server. Reads no further than it is asked to. */
export class ReplicationWire {
  readonly #socket: Socket
  readonly #connection: Connection
  readonly #clock: Clock
  #queue: Buffer[] = []
  #bytes = 0
  #wanted = 0
  #error: Error | null = null
  #wake: () => void = () => {}
  #stopPings: () => void = () => {}
  #confirmed = 0n
  #heardMs = 0
  #stopGathering: (() => void) | null = null

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection
    this.#socket = connection.socket
    this.#clock = clock
  }

  /** Sends the command that begins the stream. The server hears from us every `pingMs` from then on, also while nobody reads, and answers. */
  start(command: Sql, { confirmed, pingMs }: { readonly confirmed: bigint; readonly pingMs: number }): void {
    this.#confirmed = confirmed
    this.#socket.removeAllListeners('data')
    this.#socket.on('data', this.#onData).on('close', this.#onClose).on('error', this.#onError)
    this.#connection.send(command)
    this.#stopPings = this.#clock.every(pingMs, () => this.tell(true))
  }

  get error(): Error | null {
    return this.#error
  }

  get hasBytes(): boolean {
    return this.#bytes > 0
  }

  /** When something came last. */
  get heardMs(): number {
    return this.#heardMs
  }

  /** All that has come, once there are so many bytes; `null` while there are not. */
  take(bytes: number): Buffer | null {
    this.#wanted = bytes
    if (this.#bytes < bytes || this.#bytes === 0) {
      this.#readOn()
      return null
    }
    const all = this.#queue.length === 1 ? (this.#queue[0] as Buffer) : Buffer.concat(this.#queue)
    this.#queue = []
    this.#bytes = 0
    this.#readOn()
    return all
  }

  /**
   * Lets bytes gather in the system for a moment. The server sends change by change, so that a reader that is quicker than it
   * would wake for each of them: three times the processor for the same bytes.
   */
  gather(ms: number): void {
    if (this.#stopGathering !== null || this.#bytes > 0) return
    this.#socket.pause()
    this.#stopGathering = this.#clock.after(ms, () => {
      this.#stopGathering = null
      this.#readOn()
    })
  }

  #readOn(): void {
    if (this.#stopGathering === null && this.#socket.isPaused()) this.#socket.resume()
  }

  /** Resolves when something came, the connection ended, `wake` was called, or after `ms`. */
  async wait(ms: number): Promise<void> {
    if (this.#error !== null) return
    await new Promise<void>(resolve => {
      const cancel = this.#clock.after(ms, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }

  wake(): void {
    this.#wake()
  }

  confirm(lsn: bigint): void {
    if (lsn > this.#confirmed) this.#confirmed = lsn
    this.tell(false)
  }

  /** A standby status update: what is safe with us, and whether we want an answer. */
  tell(isAnswerWanted: boolean): void {
    if (this.#error !== null || !this.#socket.writable) return
    const status = Buffer.alloc(STATUS_BYTES)
    status.write('d', 0, 'latin1')
    status.writeInt32BE(STATUS_BYTES - 1, 1)
    status.write('r', 5, 'latin1')
    for (const at of [6, 14, 22]) status.writeBigInt64BE(this.#confirmed, at)
    status.writeBigInt64BE(this.#clock.nowMicros() - EPOCH_MICROS, 30)
    status[38] = isAnswerWanted ? 1 : 0
    this.#socket.write(status)
  }

  /** Ends the stream and waits shortly for the server to let go of the slot; never throws. */
  async close(): Promise<void> {
    this.#stopPings()
    this.#stopGathering?.()
    this.#stopGathering = null
    this.#error ??= new Error('Connection terminated')
    if (!this.#socket.destroyed) {
      const ended = new Promise<void>(resolve => {
        const cancel = this.#clock.after(GOODBYE_MS, resolve)
        this.#socket.once('close', () => {
          cancel()
          resolve()
        })
      })
      // What is still on its way is of no use; it must be read for the server to see our goodbye.
      this.#socket.off('data', this.#onData).on('data', () => {})
      this.#socket.resume()
      this.#socket.end(Buffer.from([0x63, 0, 0, 0, 4, 0x58, 0, 0, 0, 4]))
      await ended
    }
    this.#connection.destroy()
    this.#wake()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#queue.push(chunk)
    this.#bytes += chunk.length
    this.#heardMs = this.#clock.monotonicMs()
    if (this.#bytes > Math.max(QUEUE_BYTES_MAX, this.#wanted)) this.#socket.pause()
    if (this.#bytes >= this.#wanted) this.#wake()
  }

  readonly #onClose = (): void => this.#end(new Error('Connection terminated unexpectedly'))
  readonly #onError = (error: Error): void => this.#end(error)

  #end(error: Error): void {
    this.#error ??= error
    this.#stopPings()
    this.#wake()
  }
}
