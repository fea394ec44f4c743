import { fail, isNaruError } from '../../core/errors.ts'
import type { SourceDef, SubscriberDef } from '../../config/model.ts'
import type { Bus, Position, Subscription, Topic, TopicLook } from '../../services/bus/contract.ts'
import type { OpenProject } from '../project.ts'
import { keepBytes } from '../stream/session.ts'
import { streamsOf, topicOf } from '../stream/streams.ts'
import { decodeHead, decodeMessage } from '../stream/message.ts'
import { joined, LocalFeed, noParts, seenSet, type Feed } from './feed.ts'
import type { Sight } from './rows.ts'

/** A subscriber, and what it holds back. */
export interface SubscriberStatus {
  readonly name: string
  readonly topic: string
  /** `null` when the configuration no longer names it: what it holds back is kept until it is removed. */
  readonly personal: 'masked' | 'shown' | null
  /** What waits for it, and the bytes that the durable log keeps for that; `null` before it has a place. */
  readonly waiting: Waiting | null
}

/** What a subscriber has not acknowledged. */
export interface Waiting {
  /** Messages of the log, also those that have nothing for it. */
  readonly messages: number
  readonly bytes: number
  /** Sets with changes that it sees, as far as was looked. */
  readonly sets: number
  /** False: behind so many bytes there may be more. */
  readonly isCounted: boolean
}

/** Bytes of messages, about, in which the sets of a subscriber are counted: who asks must not wait for a long log to be read. */
const countBytesMax = 4 * 1024 * 1024
const countReadBytes = 512 * 1024
/** How often it is looked whether a log that is begun anew is there. */
const anewMs = 50

interface Held {
  topic: Topic
  subscription: Subscription
  /** Name of the log that was seen last, where it had one. */
  log: string | null
  isUsed: boolean
}

/** The cursors of the subscribers of a project, in the process that has the durable log open. */
export class Feeds {
  readonly #open: OpenProject
  readonly #bus: Bus
  /** Cursors that were used since the process began: they know how often each set was given. */
  readonly #held = new Map<string, Held>()

  constructor(open: OpenProject, bus: Bus) {
    this.#open = open
    this.#bus = bus
  }

  /** The changes of a subscriber from its place on; without one it begins where `from` says. Throws `BUS_HELD` while another has it. */
  async feed(name: string, from: 'start' | 'end'): Promise<Feed> {
    const { env } = this.#open
    const held = await this.#take(name, from)
    let isClosed = false
    const onClose = async (isLeft: boolean): Promise<void> => {
      if (isClosed) return
      isClosed = true
      try {
        // What it was given and has not acknowledged is for who comes next, unless the log is closed by now.
        if (isLeft) await held.subscription.release(0).catch(ignoreClosed)
      } finally {
        held.isUsed = false
      }
    }
    return new LocalFeed({
      env,
      subscription: held.subscription,
      seen: held,
      reopen: signal => this.#again(held, name, signal),
      sight: this.#sightOf(this.#defOf(name)),
      onClose,
    })
  }

  /** Everything up to there is done, said by a subscriber that is not connected. */
  async acknowledge(name: string, position: Position): Promise<void> {
    await this.#briefly(name, async subscription => {
      try {
        await subscription.acknowledge(position)
      } catch (error) {
        if (isNaruError(error, 'BUS_POSITION')) throw fail('SUBSCRIBER_POSITION', { name, position }, { cause: error })
        throw error
      }
    })
  }

  /** What was given is given again, after a pause: while this process runs. */
  async release(name: string, afterMs: number): Promise<void> {
    await this.#briefly(name, subscription => subscription.release(afterMs))
  }

  /** Every subscriber of the config, and those of whom only a cursor is left. Only looks: a writer beside it is not disturbed. */
  async list(): Promise<readonly SubscriberStatus[]> {
    const { subscribers = [] } = this.#open.project
    const there = await this.#bus.topics()
    const found: SubscriberStatus[] = []
    for (const topicName of there.filter(isOfChanges)) {
      const topic = await this.#bus.lookAt(topicName)
      if (topic === null) continue
      for (const { name, position, messages, bytes } of await topic.subscribers()) {
        const def = subscribers.find(it => it.name === name && this.#topicOf(it) === topicName)
        const sets = await setsBehind(topic, position, def === undefined ? null : this.#sightOf(def))
        found.push({ name, topic: topicName, personal: def?.personal ?? null, waiting: { messages, bytes, ...sets } })
      }
    }
    const fresh = subscribers.filter(def => !found.some(it => it.name === def.name && it.topic === this.#topicOf(def)))
    const begun = fresh.map(def => ({
      name: def.name,
      topic: this.#topicOf(def),
      personal: def.personal,
      waiting: null,
    }))
    return [...found, ...begun].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Forgets the place of a subscriber; what it held back may go. Gives whether there was one. */
  async remove(name: string): Promise<boolean> {
    let wasThere = false
    for (const topicName of (await this.#bus.topics()).filter(isOfChanges)) {
      const known = await (await this.#bus.lookAt(topicName))?.subscribers()
      if (known?.some(it => it.name === name) !== true) continue
      wasThere = true
      const key = keyOf(topicName, name)
      const held = this.#held.get(key)
      if (held?.isUsed === true) throw heldError(name)
      this.#held.delete(key)
      await held?.subscription.close()
      await (await this.#topic(topicName)).unsubscribe(name)
    }
    return wasThere
  }

  /**
   * The cursor anew, in the log that was begun anew: whoever does that gives each subscriber its place, and is waited for.
   * Throws `BUS_CLOSED` when the whole durable log is closed.
   */
  async #again(held: Held, name: string, signal: AbortSignal): Promise<Subscription> {
    const topicName = this.#topicOf(this.#defOf(name))
    for (;;) {
      signal.throwIfAborted()
      // A topic that is made by this call would begin with positions that were given before.
      const isThere = (await this.#bus.topics()).includes(topicName)
      const topic = isThere ? await this.#topic(topicName) : null
      const place = (await topic?.subscribers())?.find(it => it.name === name)
      if (topic !== null && place?.isHeld === false) {
        held.topic = topic
        held.subscription = await topic.subscribe(name, 'start')
        return held.subscription
      }
      await this.#open.env.clock.sleep(anewMs, signal)
    }
  }

  async #briefly(name: string, task: (subscription: Subscription) => Promise<void>): Promise<void> {
    const held = await this.#take(name, 'end')
    try {
      await task(held.subscription)
    } finally {
      held.isUsed = false
    }
  }

  async #take(name: string, from: 'start' | 'end'): Promise<Held> {
    const topicName = this.#topicOf(this.#defOf(name))
    const key = keyOf(topicName, name)
    const known = this.#held.get(key)
    if (known?.isUsed === true) throw heldError(name)
    if (known !== undefined) known.isUsed = true
    const topic = await this.#topic(topicName)
    // A topic that could not be written is opened anew, and its cursors with it.
    if (known?.topic === topic) return known
    this.#held.delete(key)
    const last = await topic.last()
    const log = known?.log ?? (last === null ? null : decodeHead(last.value).log)
    const held = { topic, subscription: await topic.subscribe(name, from), log, isUsed: true }
    this.#held.set(key, held)
    return held
  }

  #topic(name: string): Promise<Topic> {
    return this.#bus.openTopic(name, { keepBytes })
  }

  #defOf(name: string): SubscriberDef {
    const { subscribers = [] } = this.#open.project
    const def = subscribers.find(it => it.name === name)
    if (def === undefined) throw fail('SUBSCRIBER_UNKNOWN', { name, known: subscribers.map(it => it.name) })
    return def
  }

  #sightOf(def: SubscriberDef): Sight {
    return sightOf(this.#open.project.sources, def)
  }

  #topicOf({ source, tables }: SubscriberDef): string {
    const stream = streamsOf(this.#open.project.sources).find(
      it => it.source.name === source && it.tables.some(table => table.name === tables[0]),
    )
    if (stream === undefined) throw fail('INTERNAL', { what: `source "${source}" without a stream` })
    return topicOf(stream)
  }
}

/** What a subscriber sees of the changes of its source. */
export function sightOf(sources: readonly SourceDef[], { source, tables, personal, messages }: SubscriberDef): Sight {
  const all = sources.find(it => it.name === source)?.tables ?? []
  const seen = all.filter(table => tables.includes(table.name))
  return { tables: seen, showsPersonal: personal === 'shown', messages }
}

/** How many sets a subscriber sees behind its place; of one that the configuration does not name nobody knows what it sees. */
export async function setsBehind(
  topic: TopicLook,
  position: Position | null,
  sight: Sight | null,
): Promise<Pick<Waiting, 'sets' | 'isCounted'>> {
  const ending = new AbortController()
  let [sets, bytes] = [0, 0]
  let parts = noParts
  try {
    const last = await topic.last()
    if (last === null || position === last.position) return { sets: 0, isCounted: true }
    if (sight === null) return { sets: 0, isCounted: false }
    for await (const messages of topic.read(position, { bytes: countReadBytes, signal: ending.signal })) {
      for (const message of messages) {
        const { whole, rest } = joined(parts, decodeMessage(message.value), message.value.byteLength)
        parts = rest
        sets += whole.filter(it => seenSet(it, sight) !== null).length
        bytes += message.value.byteLength
        if (topic.compare(message.position, last.position) >= 0) return { sets, isCounted: parts === noParts }
      }
      if (bytes >= countBytesMax) break
    }
  } catch (error) {
    // What is lost there, or cannot be read, is for the subscriber to be told.
    if (!isNaruError(error) || !/^(BUS_GAP|BUS_READ|BUS_POSITION|BUS_CLOSED|SLICE_\w+)$/.test(error.code)) throw error
  } finally {
    ending.abort()
  }
  return { sets, isCounted: false }
}

function isOfChanges(topic: string): boolean {
  return topic.startsWith('changes.')
}

function ignoreClosed(error: unknown): void {
  if (!isNaruError(error, 'BUS_CLOSED')) throw error
}

function keyOf(topic: string, name: string): string {
  return JSON.stringify([topic, name])
}

function heldError(name: string): Error {
  return fail('BUS_HELD', { what: `subscriber "${name}"`, holder: 'another application is connected' })
}
