import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import type { Position, Subscription, TopicMessage } from '../contract.ts'
import type { Log } from './log.ts'
import type { Places } from './places.ts'
import type { LogReader } from './reader.ts'
import type { LogTopic } from './topic.ts'

interface SubscriptionParts {
  readonly env: Env
  readonly topic: LogTopic
  readonly name: string
  readonly log: Log
  readonly places: Places
  readonly onClose: () => void
}

/** Bytes that are read at once. */
const READ_BYTES = 1024 * 1024

/** A subscription whose cursor is a file beside the segments. Its methods are called one after the other. */
export class LogSubscription implements Subscription {
  /** Who holds it, for messages. */
  readonly holder: string
  readonly #parts: SubscriptionParts
  #reader: LogReader | null = null
  /** Messages that were read and not yet given. */
  #read: readonly TopicMessage[] = []
  /** The first message that is not acknowledged. */
  #needed = 0
  /** Where the next reader begins. */
  #from = 0
  /** The first message that was never given. */
  #fresh = 0
  #releases = 0
  #notBeforeMs = 0
  #isClosed = false

  constructor(parts: SubscriptionParts) {
    this.#parts = parts
    const since = new Date(Number(parts.env.clock.nowMicros() / 1000n)).toISOString()
    this.holder = `this process (${parts.env.processes.pid}) has it since ${since}`
  }

  /** Finds the cursor, or makes it at `otherwise`. */
  async start(otherwise: number): Promise<void> {
    const { name, places } = this.#parts
    const known = places.get(name, 'subscriber')
    if (known === undefined) await places.set(name, 'subscriber', otherwise)
    this.#needed = known ?? otherwise
    this.#fresh = this.#needed
    this.#from = this.#needed
  }

  async next({ messages, signal, passGaps = false }: Parameters<Subscription['next']>[0]): Promise<{
    readonly messages: readonly TopicMessage[]
    readonly attempts: number
  }> {
    this.#check()
    const { env, topic } = this.#parts
    const pauseMs = this.#notBeforeMs - env.clock.monotonicMs()
    if (pauseMs > 0) await env.clock.sleep(pauseMs, signal)
    while (this.#read.length === 0) {
      this.#reader ??= topic.readerAt(this.#from)
      const step = await this.#reader.step(READ_BYTES)
      if (step.kind === 'messages') this.#read = step.messages
      else if (step.kind === 'end') await this.#parts.log.waitFor(this.#reader.wanted, signal)
      else await this.#pass(step, passGaps)
    }
    const given = this.#read.slice(0, messages)
    this.#read = this.#read.slice(messages)
    return { messages: given, attempts: this.#count(given) }
  }

  async acknowledge(position: Position): Promise<void> {
    this.#check()
    const { name, places, topic } = this.#parts
    const needed = topic.numberOf(position) + 1
    if (needed <= this.#needed) return
    await places.set(name, 'subscriber', needed)
    this.#needed = needed
    // After a release the next read begins before it.
    if (needed > this.#upcoming) await this.#goTo(needed)
    if (needed >= this.#fresh) {
      this.#fresh = needed
      this.#releases = 0
    }
    await topic.trim()
  }

  async release(afterMs: number): Promise<void> {
    this.#check()
    this.#releases += 1
    this.#notBeforeMs = this.#parts.env.clock.monotonicMs() + afterMs
    await this.#goTo(this.#needed)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#parts.onClose()
    await this.#goTo(this.#needed)
  }

  /** The message that would be given next. */
  get #upcoming(): number {
    const read = this.#read[0]
    return read === undefined ? (this.#reader?.wanted ?? this.#from) : Number(read.position)
  }

  /** How often the first of these was given, and remembers that they were. */
  #count(given: readonly TopicMessage[]): number {
    const [first, last] = [given[0] as TopicMessage, given.at(-1) as TopicMessage]
    const attempts = Number(first.position) < this.#fresh ? this.#releases + 1 : 1
    this.#fresh = Math.max(this.#fresh, Number(last.position) + 1)
    return attempts
  }

  async #pass(step: Parameters<LogTopic['refuseLoss']>[0], passGaps: boolean): Promise<void> {
    const { topic } = this.#parts
    const wanted = this.#reader?.wanted ?? this.#needed
    try {
      topic.refuseLoss(step, wanted, passGaps)
    } catch (error) {
      // The next call meets it again.
      await this.#goTo(step.kind === 'gap' ? step.gap.from : wanted)
      throw error
    }
  }

  /** The next read begins there. */
  async #goTo(number: number): Promise<void> {
    const reader = this.#reader
    this.#from = number
    this.#reader = null
    this.#read = []
    await reader?.close()
  }

  #check(): void {
    if (this.#isClosed) throw fail('BUS_CLOSED', { what: `subscription "${this.#parts.name}"` })
  }
}
