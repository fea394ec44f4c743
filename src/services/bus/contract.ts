import type { Env } from '../../core/env.ts'

/** What every bus is opened with. */
export interface BusOpening {
  readonly options: Readonly<Record<string, unknown>>
  /** Folder for what must outlive a process. */
  readonly stateDir: string
  readonly env: Env
  /** Takes what a person should know: a torn end that was cut off, bytes that were set aside. */
  readonly tell: (note: { readonly code: string; readonly text: string }) => void
}

/** `openBus` of every bus's `open.ts`. */
export type OpenBus = (given: BusOpening) => Promise<Bus>

/**
 * Durable ordered topics. Writers get an answer once their messages would survive a power cut; each subscriber has a
 * durable cursor of its own, so a slow one delays only itself.
 */
export interface Bus {
  readonly kind: string
  /** Opens a topic, and makes it when it is not there. Two calls give the same topic. */
  openTopic(name: string, settings: TopicSettings): Promise<Topic>
  /**
   * Looks into a topic as it is now; `null` when there is none. Takes nothing, writes nothing and removes nothing, so a writer in
   * another process is neither refused nor changed by it, and refuses nobody who looks: what that one appended and was
   * answered before the call is seen, what it is appending may be. What it removes meanwhile is a `BUS_GAP`, as in `read`.
   * Where this bus has the topic open, it is that one. Throws `BUS_READ` when the files cannot be read.
   */
  lookAt(name: string): Promise<TopicLook | null>
  /** Names of the topics that are there; one that is being removed is not. */
  topics(): Promise<readonly string[]>
  /**
   * Removes a topic with its subscriptions: who holds one meets `BUS_CLOSED`. Harmless when there is none. One that is made under its name later begins behind every
   * position that it gave, whatever was damaged of it and whenever the removal was killed.
   */
  removeTopic(name: string): Promise<void>
  /** Called once, last; what was appended and answered is safe. After it every other method throws `BUS_CLOSED`. */
  close(): Promise<void>
}

export interface TopicSettings {
  /** Messages are kept at least as long as a subscriber has not acknowledged them, and then until the topic has more bytes than this. */
  readonly keepBytes: number
  /** Positions of an earlier topic of this name that is gone without `removeTopic`: one that is made by this call begins behind all of them, for good. */
  readonly behind?: readonly Position[]
}

/**
 * A topic as it was when somebody looked, for who only reads; `read` ends behind the newest message of then, unless this bus
 * has the topic open. `isHeld` of a subscriber is only known of a topic that this bus has open.
 */
export type TopicLook = Pick<Topic, 'name' | 'last' | 'read' | 'compare' | 'behind' | 'subscribers'>

/** Place of a message in its topic: text that orders by `comparePositions` of the bus. */
export type Position = string

export interface Topic {
  readonly name: string
  /**
   * Appends messages in order; resolves when all are on disk, with the position of the last. Calls that come while one is
   * being written share the next write. Throws `BUS_TOO_LARGE` and `BUS_KEY` before anything is written; `DISK_FULL`, and with
   * it every other append of that turn, so that nothing comes behind what is not there: later ones go on once there is space.
   * After `BUS_WRITE` the topic takes nothing more until it is opened again, and what was not answered may be there or not:
   * look at `last`. Once it resolves the memory of the values may be used for others.
   */
  append(messages: readonly Message[]): Promise<Position>
  /** The newest message; `null` when the topic never had one. A writer that spools a source goes on from it. */
  last(): Promise<TopicMessage | null>
  /**
   * Messages behind `after` in order (`null`: from the oldest that is kept), and those that come; ends when the signal aborts.
   * Each read is at most `bytes` unless one message is larger. Values are views on memory that is not used again; each
   * begins at a multiple of 8 bytes. Throws `BUS_GAP` where messages behind `after` are gone (removed, or
   * damaged on disk): `passGaps` reads on behind them and tells. Throws `BUS_POSITION` when the topic never gave `after`.
   */
  read(
    after: Position | null,
    options: { readonly bytes: number; readonly signal: AbortSignal; readonly passGaps?: boolean },
  ): AsyncIterable<readonly TopicMessage[]>
  /** Below 0 when `a` lies before `b`. */
  compare(a: Position, b: Position): number
  /**
   * Nothing behind `position` is removed, for the reader of this name, who keeps his place himself: `'start'` keeps everything
   * that is there, `null` lets go. Called as often as the place moves: cheap unless it goes back or lets files go. The last
   * one is remembered over a crash, or one before it.
   */
  keep(reader: string, position: Position | null): Promise<void>
  /** A durable cursor, made behind the newest message (`end`) or before the oldest (`start`) when there is none of that name. One holder at a time: a second throws `BUS_HELD`. */
  subscribe(name: string, from: 'start' | 'end'): Promise<Subscription>
  /** Removes a subscriber's cursor. Harmless when there is none; throws `BUS_HELD` while somebody holds it. */
  unsubscribe(name: string): Promise<void>
  /** Every subscriber that has a cursor here, by name. */
  subscribers(): Promise<readonly SubscriberPlace[]>
  /** What lies behind `position`: `bytes` are about so many, as if the messages of a file were of one size. Cheap. */
  behind(position: Position): { readonly messages: number; readonly bytes: number }
  /** `messages` counts those that were lost as well. */
  size(): Promise<{ readonly bytes: number; readonly messages: number }>
}

export interface Message {
  /** Messages with the same key keep their order in every bus. */
  readonly key: string | null
  readonly value: Uint8Array
}

export interface TopicMessage extends Message {
  readonly position: Position
  /** When it was appended: microseconds since 1970-01-01 UTC. */
  readonly appendedMicros: bigint
}

/** What a subscriber has yet to acknowledge. */
export interface SubscriberPlace {
  readonly name: string
  /** What it has yet to acknowledge lies behind this message; `null`: it is everything that is kept. */
  readonly position: Position | null
  /** Messages that wait for it, those that it was given among them. */
  readonly messages: number
  /** Bytes that are kept while it has not acknowledged them, in the units in which the topic lets go. */
  readonly bytes: number
  /** Somebody holds the cursor at this moment. */
  readonly isHeld: boolean
}

/** A subscriber's place in a topic. */
export interface Subscription {
  /**
   * The next messages, at most `messages` of them; waits until there is one: the signal ends that wait, and gives what is there. `attempts` counts how often they were given since
   * the subscription was opened. Loss as in `read`; a call after `BUS_GAP` meets it again. Throws the reason of the signal.
   */
  next(options: {
    readonly messages: number
    readonly signal: AbortSignal
    readonly passGaps?: boolean
  }): Promise<{ readonly messages: readonly TopicMessage[]; readonly attempts: number }>
  /** Everything up to `position` is done and is never given again: durable when it resolves. */
  acknowledge(position: Position): Promise<void>
  /** What was given and not acknowledged is given again, after a pause. */
  release(afterMs: number): Promise<void>
  close(): Promise<void>
}
