import type { Env } from '../../../core/env.ts'
import { fail, messageOf } from '../../../core/errors.ts'
import type { Message, Position, SubscriberPlace, Subscription, Topic, TopicMessage } from '../contract.ts'
import { positionOf, type Pending } from './format.ts'
import type { Log } from './log.ts'
import { Marks } from './marks.ts'
import { checkName } from './names.ts'
import type { Places } from './places.ts'
import { LogReader, type Gap, type Step } from './reader.ts'
import { LogSubscription } from './subscription.ts'

/** What a topic is made of. */
export interface TopicParts {
  readonly env: Env
  readonly name: string
  readonly log: Log
  readonly places: Places
  readonly maxMessageBytes: number
  readonly keepBytes: number
  readonly tell: (note: { readonly code: string; readonly text: string }) => void
}

/** A topic in files of this machine. */
export class LogTopic implements Topic {
  readonly name: string
  readonly #parts: TopicParts
  /** Subscriptions that somebody holds, by name. */
  readonly #held = new Map<string, LogSubscription>()
  readonly #marks = new Marks()
  #keepBytes: number
  #trimming: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(parts: TopicParts) {
    this.name = parts.name
    this.#parts = parts
    this.#keepBytes = parts.keepBytes
    this.#markEnd()
  }

  /** True when it takes nothing more, and must be opened again. */
  get isBroken(): boolean {
    return this.#parts.log.broken !== null
  }

  /** From now on so many bytes are kept. */
  async keepOnly(keepBytes: number): Promise<void> {
    this.#keepBytes = keepBytes
    await this.trim()
  }

  async append(messages: readonly Message[]): Promise<Position> {
    this.#check()
    if (messages.length === 0) throw fail('INTERNAL', { what: `an append of no message to topic "${this.name}"` })
    const number = await this.#parts.log.append(messages.map(message => this.#pending(message)))
    await this.trim()
    return positionOf(number)
  }

  async last(): Promise<TopicMessage | null> {
    this.#check()
    return this.#parts.log.last()
  }

  async *read(
    after: Position | null,
    { bytes, signal, passGaps = false }: Parameters<Topic['read']>[1],
  ): AsyncGenerator<readonly TopicMessage[]> {
    this.#check()
    const reader = this.readerAt(after === null ? this.#oldest() : this.numberOf(after) + 1)
    try {
      while (!signal.aborted) {
        const step = await reader.step(bytes)
        if (step.kind === 'messages') {
          if (reader.mark !== null) this.#marks.note(reader.mark)
          yield step.messages
        } else if (step.kind === 'end') {
          if (this.#parts.log.isLook) return
          await this.#waitOrAbort(reader.wanted, signal)
        } else this.refuseLoss(step, reader.wanted, passGaps)
      }
    } finally {
      await reader.close()
    }
  }

  compare(a: Position, b: Position): number {
    return this.numberOf(a) - this.numberOf(b)
  }

  async keep(reader: string, position: Position | null): Promise<void> {
    this.#check()
    checkName('the reader', reader)
    const { places } = this.#parts
    if (position === null) await places.remove(reader, 'reader')
    else await this.#need(reader, position === 'start' ? 0 : this.numberOf(position) + 1)
    await this.trim()
  }

  async subscribe(name: string, from: 'start' | 'end'): Promise<Subscription> {
    this.#check()
    checkName('the subscriber', name)
    const { env, log, places } = this.#parts
    this.#refuseHeld(name)
    const held = new LogSubscription({ env, topic: this, name, log, places, onClose: () => this.#held.delete(name) })
    // Before the first wait, so that of two calls at once the second is refused.
    this.#held.set(name, held)
    try {
      await held.start(from === 'start' ? this.#oldest() : log.newest + 1)
      return held
    } catch (error) {
      this.#held.delete(name)
      throw error
    }
  }

  async unsubscribe(name: string): Promise<void> {
    this.#check()
    checkName('the subscriber', name)
    this.#refuseHeld(name)
    await this.#parts.places.remove(name, 'subscriber')
    await this.trim()
  }

  async subscribers(): Promise<readonly SubscriberPlace[]> {
    this.#check()
    const { log, places } = this.#parts
    return places.all('subscriber').map(([name, needed]) => {
      const messages = Math.max(0, log.newest + 1 - Math.max(needed, this.#oldest()))
      const kept = messages === 0 ? [] : log.segments.slice(Math.max(0, segmentIndex(log.segments, needed)))
      const position = needed > this.#oldest() ? positionOf(needed - 1) : null
      return {
        name,
        position,
        messages,
        bytes: kept.reduce((sum, it) => sum + it.bytes, 0),
        isHeld: this.#held.has(name),
      }
    })
  }

  behind(position: Position): { readonly messages: number; readonly bytes: number } {
    const { log } = this.#parts
    const number = this.numberOf(position)
    const bytes = log.segments.reduce((sum, segment, i) => {
      const end = (log.segments[i + 1]?.first ?? log.newest + 1) - 1
      const share = end < segment.first ? 0 : (end - Math.max(number, segment.first - 1)) / (end - segment.first + 1)
      return sum + segment.bytes * Math.max(0, share)
    }, 0)
    return { messages: log.newest - number, bytes: Math.round(bytes) }
  }

  async size(): Promise<{ readonly bytes: number; readonly messages: number }> {
    this.#check()
    const { log } = this.#parts
    return { bytes: log.bytes(), messages: log.newest + 1 - this.#oldest() }
  }

  /** Ends what waits, and closes the files. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const held of this.#held.values()) await held.close()
    await this.#parts.log.close(this.#closed())
    await this.#trimming
  }

  /** A reader that begins with a message. */
  readerAt(number: number): LogReader {
    const { log } = this.#parts
    if (number === log.newest + 1) this.#markEnd()
    const segment = log.segments[segmentIndex(log.segments, number)]
    return new LogReader(log, number, this.#marks.before(number, segment))
  }

  /** Who begins at the end now comes back to what is written from here on. */
  #markEnd(): void {
    const { log } = this.#parts
    if (log.end !== null) this.#marks.note({ ...log.end, number: log.newest + 1 })
  }

  /** The number of a position. Throws `BUS_POSITION` when this topic has not come so far. */
  numberOf(position: Position): number {
    const number = /^\d{20}$/.test(position) ? Number(position) : -1
    if (number < 0 || number > this.#parts.log.newest) throw fail('BUS_POSITION', { topic: this.name, position })
    return number
  }

  /** Waits for a message; returns without it when the signal aborts. */
  async #waitOrAbort(number: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#parts.log.waitFor(number, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  /** Throws what a reader must know before it goes on, unless it said that it passes over what is lost. */
  refuseLoss(step: Exclude<Step, { kind: 'messages' | 'end' }>, wanted: number, passGaps: boolean): void {
    const { name } = this
    if (step.kind === 'stranger') throw fail('BUS_POSITION', { topic: name, position: positionOf(wanted - 1) })
    const error = gapError(name, step.gap)
    if (!passGaps) throw error
    this.#parts.tell({ code: error.code, text: error.message })
  }

  /** Removes what nobody needs. What goes wrong is told: it must not fail the call behind which it runs. */
  async trim(): Promise<void> {
    const { log, places, tell } = this.#parts
    // Most appends end here, without a turn of the queue.
    if (log.segments.length < 2 || log.bytes() <= this.#keepBytes) return
    const trimmed = this.#trimming.then(() => log.trim(this.#keepBytes, places.needed()))
    this.#trimming = trimmed.catch((error: unknown) => {
      const note = fail('BUS_TRIM', { topic: this.name, problem: messageOf(error) }, { cause: error })
      tell({ code: note.code, text: note.message })
    })
    await this.#trimming
  }

  /** A place that moves ahead is written when files become free by it; one that is new or goes back, at once. */
  async #need(reader: string, needed: number): Promise<void> {
    const { log, places } = this.#parts
    const before = places.get(reader, 'reader')
    const { segments } = log
    if (before !== undefined && needed >= before && segmentIndex(segments, needed) === segmentIndex(segments, before)) {
      places.advance(reader, 'reader', needed)
    } else {
      await places.set(reader, 'reader', needed)
    }
  }

  #pending({ key, value }: Message): Pending {
    // As UTF-8 it would be another key.
    if (key !== null && /\p{Surrogate}/u.test(key)) throw fail('BUS_KEY', { topic: this.name, key })
    const pending = { key: key === null ? null : Buffer.from(key), value }
    const bytes = value.byteLength + (pending.key?.length ?? 0)
    const most = this.#parts.maxMessageBytes
    if (bytes > most) throw fail('BUS_TOO_LARGE', { topic: this.name, bytes, most })
    return pending
  }

  #oldest(): number {
    const { log } = this.#parts
    return log.segments[0]?.first ?? log.newest + 1
  }

  #refuseHeld(name: string): void {
    const held = this.#held.get(name)
    if (held === undefined) return
    throw fail('BUS_HELD', { what: `subscription "${name}" of topic "${this.name}"`, holder: held.holder })
  }

  #check(): void {
    if (this.#isClosed) throw this.#closed()
  }

  #closed(): Error {
    return fail('BUS_CLOSED', { what: `topic "${this.name}"` })
  }
}

function segmentIndex(segments: Log['segments'], number: number): number {
  return segments.findLastIndex(it => it.first <= number)
}

function gapError(topic: string, { from, until, why }: Gap): ReturnType<typeof fail> {
  const after = from === 0 ? 'its start' : positionOf(from - 1)
  return fail('BUS_GAP', { topic, after, until: positionOf(until), most: until - from + 1, why })
}
