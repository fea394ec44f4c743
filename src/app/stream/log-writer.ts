import { bufferPool } from '../../core/buffer-pool.ts'
import type { Env } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import type { Position, Topic } from '../../services/bus/contract.ts'
import { decodeHead, encodeMessage, type MessageBody, type MessageHead } from './message.ts'

/** Writes what one reader reads into its topic. Several messages may be on their way to the disk at once. */
export class LogWriter {
  readonly #env: Pick<Env, 'crash'>
  readonly #topic: Topic
  // Memory of messages, used again once they are on disk.
  readonly #pool = bufferPool()
  #goesOn: string | null
  #bytes = 0
  /** Name of the log: see `MessageHead`. */
  readonly log: string

  constructor(env: Pick<Env, 'crash' | 'random'>, topic: Topic, newest: MessageHead | null) {
    this.#env = env
    this.#topic = topic
    this.#goesOn = newest?.goesOn ?? null
    this.log = newest?.log ?? env.random.uuid()
  }

  /** From where the source is to be read on behind what was given to be written; `null` before the first message. */
  get goesOn(): string | null {
    return this.#goesOn
  }

  /** Bytes that are on disk of what was written. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Resolves when the message is on disk. What it has of other memory is copied before this returns. `goesOn`: from where the
   * source is read on behind it; `null` when it ends within a transaction, which then comes again.
   */
  async append(body: MessageBody, goesOn: string | null): Promise<Position> {
    if (goesOn !== null) this.#goesOn = goesOn
    if (this.#goesOn === null) throw fail('INTERNAL', { what: `a message of ${this.#topic.name} before its first` })
    const value = encodeMessage({ log: this.log, goesOn: this.#goesOn, ...body }, this.#pool.take)
    const position = await this.#topic.append([{ key: null, value }])
    if (body.kind === 'slice') this.#pool.give([value.buffer as ArrayBuffer])
    this.#env.crash('stream.append.after')
    this.#bytes += value.byteLength
    return position
  }

  /** Goes on where the newest message says: what was given to be written, and is not there, is to be read again. */
  async stepBack(): Promise<void> {
    this.#goesOn = (await newestHead(this.#topic))?.goesOn ?? null
  }
}

/** The head of the newest message; `null` for an empty topic. */
export async function newestHead(topic: Pick<Topic, 'last'>): Promise<MessageHead | null> {
  const last = await topic.last()
  return last === null ? null : decodeHead(last.value)
}
