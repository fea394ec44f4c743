import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { rawSql, sql } from '../../../../core/sql.ts'
import { EventReader, type LogMessage } from '../../../../systems/mysql/binlog/event-reader.ts'
import { COMMAND } from '../../../../systems/mysql/protocol.ts'
import type { Connection, Socket } from '../connection.ts'
import type { Target } from '../target.ts'

/** The server gives a sign of life after so long without an event. */
const HEARTBEAT_SECONDS = 4
/** A server that sends nothing for so long is gone. */
const SILENT_MS_MAX = 30_000
/** So much waits undecoded before the socket is not read any more. */
const WAITING_BYTES_MAX = 1024 * 1024

/** What is asked of the server. */
export interface DumpRequest {
  readonly file: string
  readonly offset: number
  /** Who asks; 0 is nobody, who never takes another reader's place. */
  readonly serverId: number
  /** Ends at the end of the log, and does not wait for more. */
  readonly endsAtEnd: boolean
  readonly isWanted: (head: Buffer) => boolean
}

/**
 * The log as the server sends it over a session that does nothing else. Reads the socket only while somebody takes what
 * came: at most 1 MiB waits.
 */
export class Dump {
  readonly #env: Env
  readonly #target: Target
  readonly #connection: Connection
  readonly #reader: EventReader
  #wake: () => void = () => {}
  #failure: Error | null = null

  private constructor(env: Env, target: Target, connection: Connection, isWanted: DumpRequest['isWanted']) {
    this.#env = env
    this.#target = target
    this.#connection = connection
    // The bytes of the header and of the bitmaps come on top of the row.
    this.#reader = new EventReader(target.rowBytesMax * 2 + 65_536, isWanted)
    this.#socket.on('data', this.#onData).on('close', this.#onClose).on('error', this.#onError)
  }

  /** Asks for the log. The session cannot be used for anything else after it. */
  static async start(
    { env, target, connection }: { readonly env: Env; readonly target: Target; readonly connection: Connection },
    request: DumpRequest,
    signal: AbortSignal,
  ): Promise<Dump> {
    const period = rawSql(String(HEARTBEAT_SECONDS * 1_000_000_000))
    await connection.run(
      sql`set @master_binlog_checksum = @@global.binlog_checksum, @mariadb_slave_capability = 4,
      @master_heartbeat_period = ${period}, session max_statement_time = 0`,
      signal,
    )
    if (request.serverId > 0) await connection.command(COMMAND.registerSlave, registration(request.serverId), signal)
    const dump = new Dump(env, target, connection, request.isWanted)
    connection.send(COMMAND.binlogDump, order(request))
    return dump
  }

  /** True while a whole message may have come that was not taken. */
  get hasWaiting(): boolean {
    return this.#reader.waiting > 0
  }

  /** The next message that has come, or `null`. May be used until the next call of `more`. */
  take(): LogMessage | null {
    return this.#reader.take()
  }

  /** Waits for more bytes; false when none came within `ms`. Throws when the connection ended, or was silent for too long. */
  async more(ms: number, signal: AbortSignal): Promise<boolean> {
    this.#check(signal)
    const limit = Math.min(ms, SILENT_MS_MAX)
    let isLate = false
    const before = this.#reader.waiting
    const cancelTimer = this.#env.clock.after(limit, () => {
      isLate = true
      this.#wake()
    })
    const onAbort = (): void => this.#wake()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      this.#socket.resume()
      while (!isLate && this.#reader.waiting === before) {
        await new Promise<void>(resolve => (this.#wake = resolve))
        this.#check(signal)
      }
    } finally {
      cancelTimer()
      signal.removeEventListener('abort', onAbort)
      this.#wake = () => {}
    }
    if (this.#reader.waiting > before) return true
    if (limit === SILENT_MS_MAX) throw new Error(`the server sent nothing for ${SILENT_MS_MAX} ms`)
    return false
  }

  destroy(): void {
    this.#failure ??= new Error('the connection was ended')
    this.#connection.destroy()
    this.#wake()
  }

  get #socket(): Socket {
    return this.#connection.socket
  }

  #check(signal: AbortSignal): void {
    if (signal.aborted) throw fail('CANCELLED', { what: `the changes of source "${this.#target.source}"` })
    if (this.#failure !== null) throw this.#failure
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#reader.push(chunk)
    if (this.#reader.waiting >= WAITING_BYTES_MAX) this.#socket.pause()
    this.#wake()
  }

  readonly #onClose = (): void => this.#onError(new Error('the server closed the connection'))

  readonly #onError = (error: Error): void => {
    this.#failure ??= error
    this.#wake()
  }
}

/** COM_REGISTER_SLAVE: our number, and no name, account, password or port. */
function registration(serverId: number): Buffer {
  const body = Buffer.alloc(4 + 3 + 2 + 4 + 4)
  body.writeUInt32LE(serverId, 0)
  return body
}

const NON_BLOCKING = 1

function order({ file, offset, serverId, endsAtEnd }: DumpRequest): Buffer {
  const head = Buffer.alloc(10)
  head.writeUInt32LE(offset, 0)
  head.writeUInt16LE(endsAtEnd ? NON_BLOCKING : 0, 4)
  head.writeUInt32LE(serverId, 6)
  return Buffer.concat([head, Buffer.from(file)])
}
