import { fail, isNaruError } from '../../core/errors.ts'
import type { SubscriberDef } from '../../config/model.ts'
import type { Bus, Position, Subscription, Topic } from '../../services/bus/contract.ts'
import type { OpenProject } from '../project.ts'
import { keepBytes } from '../stream/session.ts'
import { streamsOf, topicOf } from '../stream/streams.ts'
import { LocalFeed, type Feed } from './feed.ts'

/** A subscriber, and what it holds back. */
export interface SubscriberStatus {
  readonly name: string
  readonly topic: string
  /** `null` when the configuration no longer names it: what it holds back is kept until it is removed. */
  readonly personal: 'masked' | 'shown' | null
  /** Sets that wait for it, and the bytes that the durable log keeps for that; `null` before it has a place. */
  readonly waiting: { readonly messages: number; readonly bytes: number } | null
}

interface Held {
  readonly topic: Topic
  readonly subscription: Subscription
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
    const { subscription } = held
    let isClosed = false
    const onClose = async (isLeft: boolean): Promise<void> => {
      if (isClosed) return
      isClosed = true
      try {
        // What it was given and has not acknowledged is for who comes next, unless the log is closed by now.
        if (isLeft) await subscription.release(0).catch(ignoreClosed)
      } finally {
        held.isUsed = false
      }
    }
    const { project } = this.#open
    const { source, tables, personal } = this.#defOf(name)
    const all = project.sources.find(it => it.name === source)?.tables ?? []
    const sight = { tables: all.filter(table => tables.includes(table.name)), showsPersonal: personal === 'shown' }
    return new LocalFeed({ env, subscription, sight, onClose })
  }

  /** Everything up to there is done, said by a subscriber that is not connected. */
  async acknowledge(name: string, position: Position): Promise<void> {
    await this.#briefly(name, subscription => subscription.acknowledge(position))
  }

  /** What was given is given again, after a pause: while this process runs. */
  async release(name: string, afterMs: number): Promise<void> {
    await this.#briefly(name, subscription => subscription.release(afterMs))
  }

  /** Every subscriber of the config, and those of whom only a cursor is left. */
  async list(): Promise<readonly SubscriberStatus[]> {
    const { subscribers = [] } = this.#open.project
    const there = await this.#bus.topics()
    const found: SubscriberStatus[] = []
    for (const topic of there.filter(it => it.startsWith('changes.'))) {
      for (const { name, messages, bytes } of await (await this.#topic(topic)).subscribers()) {
        const def = subscribers.find(it => it.name === name && this.#topicOf(it) === topic)
        found.push({ name, topic, personal: def?.personal ?? null, waiting: { messages, bytes } })
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
    const places = (await this.list()).filter(it => it.name === name && it.waiting !== null)
    for (const { topic } of places) {
      const key = keyOf(topic, name)
      const held = this.#held.get(key)
      if (held?.isUsed === true) throw heldError(name)
      this.#held.delete(key)
      await held?.subscription.close()
      await (await this.#topic(topic)).unsubscribe(name)
    }
    return places.length > 0
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
    const held = { topic, subscription: await topic.subscribe(name, from), isUsed: true }
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

  #topicOf({ source, tables }: SubscriberDef): string {
    const stream = streamsOf(this.#open.project.sources).find(
      it => it.source.name === source && it.tables.some(table => table.name === tables[0]),
    )
    if (stream === undefined) throw fail('INTERNAL', { what: `source "${source}" without a stream` })
    return topicOf(stream)
  }
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
