import { rejectOf } from '../../core/change-reject.ts'
import type { ChangeSlice } from '../../core/change-slice.ts'
import type { Env } from '../../core/env.ts'
import { fail, isNaruError } from '../../core/errors.ts'
import type { Position, Subscription } from '../../services/bus/contract.ts'
import { decodeMessage, type StreamMessage } from '../stream/message.ts'
import {
  firstTransaction,
  seenChanges,
  seenMessages,
  seenTables,
  type SeenChange,
  type SeenMessage,
  type SeenTable,
  type Sight,
} from './rows.ts'

/** A set of changes that a subscriber was given: what the source said at once, or a part of a large transaction. */
export interface FedSet {
  /** What is acknowledged: this set and all before it. */
  readonly position: Position
  /** How often it was given since the server began. */
  readonly attempts: number
  /** The log was begun anew before this set, while the subscriber was connected: changes between are not told, rows must be read again. */
  readonly isAnew: boolean
  /** False in the middle of a large transaction, which goes on in the next set. */
  readonly isWhole: boolean
  readonly tables: readonly SeenTable[]
  readonly changes: number
  /** How many changes could not be taken from the source; their rows are deletes among the changes, where the key is known. */
  readonly rejected: number
  readonly messages: readonly SeenMessage[]
  /** The table has another shape in the source from here on. */
  readonly schema: { readonly table: string; readonly columns: readonly string[] } | null
}

/** The changes of a subscriber, in order. Its methods are called one after the other. */
export interface Feed {
  /** The next set; `null` when none is there, and none comes within the time. */
  next(waitMs: number, signal: AbortSignal): Promise<FedSet | null>
  /** The next changes of the set that was given last, in a bounded piece; `null` behind the last. */
  page(): Promise<readonly SeenChange[] | null>
  /** Everything up to there is done: durable when it resolves. */
  acknowledge(position: Position): Promise<void>
  /** What was given and not acknowledged is given again, after a pause. */
  release(afterMs: number): Promise<void>
  close(): Promise<void>
}

/** Bounds of a page: rows, and characters. */
const pageRows = 1_000
const pageChars = 256 * 1024
/** What a subscriber does not see is acknowledged for it so often: each is a write. */
const passMs = 1_000
/** A set has about so many bytes at most: two of the largest slices of a log, whose values take more room here than there. */
const setBytesMax = 16 * 1024 * 1024
export const noParts: Parts = { messages: [], bytes: 0 }
/** So long is waited for a log that is begun anew, by who wants to acknowledge or release. */
const anewMsMax = 30_000

/** A feed of this process, over the subscriber's cursor. */
export class LocalFeed implements Feed {
  readonly #env: Env
  readonly #reopen: (signal: AbortSignal) => Promise<Subscription>
  readonly #sight: Sight
  readonly #onClose: (isLeft: boolean) => Promise<void>
  #subscription: Subscription
  /** Name of the log that the newest message was of: another one was begun anew. */
  readonly #seen: { log: string | null }
  /** The first set of a log that was begun anew: `''` until it is given. */
  #anew: Position | null = null
  /** Messages of a transaction whose end is yet to come, and the last of them. */
  #parts: Parts = noParts
  #partsEnd: Position = ''
  #ready: Ready[] = []
  #rows: Generator<SeenChange> | null = null
  /** The newest set that was given and not acknowledged. */
  #given: Position | null = null
  /** What was passed over behind everything that is acknowledged. */
  #passed: Position | null = null
  #passedAt = 0

  constructor(given: {
    readonly env: Env
    readonly subscription: Subscription
    /** The log that was seen last is noted here. */
    readonly seen: { log: string | null }
    /** The cursor anew, once its topic is there again. Throws `BUS_CLOSED` when the durable log is closed. */
    readonly reopen: (signal: AbortSignal) => Promise<Subscription>
    readonly sight: Sight
    readonly onClose: (isLeft: boolean) => Promise<void>
  }) {
    this.#env = given.env
    this.#subscription = given.subscription
    this.#seen = given.seen
    this.#reopen = given.reopen
    this.#sight = given.sight
    this.#onClose = given.onClose
  }

  async next(waitMs: number, signal: AbortSignal): Promise<FedSet | null> {
    this.#rows = null
    const late = new AbortController()
    const cancel = this.#env.clock.after(waitMs, () => late.abort(fail('CANCELLED', { what: 'a wait for changes' })))
    const until = AbortSignal.any([signal, late.signal])
    try {
      for (;;) {
        signal.throwIfAborted()
        const next = this.#ready.shift() ?? (await this.#read(until))
        if (next === null) continue
        const found = seenSet(next.messages, this.#sight)
        if (found !== null) {
          const { slices, ...seen } = found
          const { position, attempts } = next
          if (this.#anew === '') this.#anew = position
          this.#rows = changesOf(slices, this.#sight)
          this.#given = position
          return { ...seen, position, attempts, isAnew: this.#anew === position }
        }
        await this.#pass(next.position)
      }
    } catch (error) {
      if (!late.signal.aborted || signal.aborted) throw error
      await this.#pass(null)
      return null
    } finally {
      cancel()
    }
  }

  async page(): Promise<readonly SeenChange[] | null> {
    const page: SeenChange[] = []
    let chars = 0
    while (this.#rows !== null && page.length < pageRows && chars < pageChars) {
      const { value, done } = this.#rows.next()
      if (done === true) this.#rows = null
      else {
        page.push(value)
        for (const cell of value.cells) chars += typeof cell === 'string' ? cell.length : 4
      }
    }
    return page.length === 0 ? null : page
  }

  async acknowledge(position: Position): Promise<void> {
    await this.#patiently(() => this.#subscription.acknowledge(position))
    if (this.#given !== null && position >= this.#given) this.#given = null
  }

  async release(afterMs: number): Promise<void> {
    this.#rows = null
    this.#forget()
    await this.#patiently(() => this.#subscription.release(afterMs))
  }

  async close(): Promise<void> {
    const isLeft = this.#given !== null || this.#parts !== noParts || this.#ready.length > 0
    await this.#onClose(isLeft)
  }

  /** One message more; what it completes, `null` while that is nothing. */
  async #read(signal: AbortSignal): Promise<Ready | null> {
    const taken = await this.#onLog(signal, () => this.#subscription.next({ messages: 1, signal }))
    const [message] = taken.messages
    if (message === undefined) return null
    const decoded = decodeMessage(message.value)
    if (this.#seen.log !== null && this.#seen.log !== decoded.log) this.#anew = ''
    this.#seen.log = decoded.log
    const { whole, rest } = joined(this.#parts, decoded, message.value.byteLength)
    // Of two sets the first ends with the message before.
    const places = [...(whole.length > 1 ? [this.#partsEnd] : []), message.position]
    this.#parts = rest
    this.#partsEnd = message.position
    this.#ready = whole.map((messages, i) => ({
      messages,
      position: places[i] as Position,
      attempts: taken.attempts,
    }))
    return this.#ready.shift() ?? null
  }

  #forget(): void {
    this.#parts = noParts
    this.#ready = []
    this.#given = null
    this.#passed = null
  }

  /** Does it on the log that is there: one that is begun anew meanwhile (`naru resync SOURCE`) is waited for. */
  async #onLog<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task()
      } catch (error) {
        if (!isNaruError(error, 'BUS_CLOSED')) throw error
        this.#subscription = await this.#reopen(signal)
        this.#forget()
      }
    }
  }

  async #patiently(task: () => Promise<void>): Promise<void> {
    const late = new AbortController()
    const cancel = this.#env.clock.after(anewMsMax, () =>
      late.abort(fail('CANCELLED', { what: 'a wait for the durable log' })),
    )
    try {
      await this.#onLog(late.signal, task)
    } finally {
      cancel()
    }
  }

  /** What the subscriber does not see holds nothing back, unless something before it waits for its answer. */
  async #pass(position: Position | null): Promise<void> {
    if (position !== null) this.#passed = position
    if (this.#given !== null || this.#passed === null) return
    const now = this.#env.clock.monotonicMs()
    if (position !== null && now < this.#passedAt + passMs) return
    this.#passedAt = now
    const passed = this.#passed
    await this.#patiently(() => this.#subscription.acknowledge(passed))
    this.#passed = null
  }
}

/** A set with its place. */
interface Ready {
  readonly messages: readonly StreamMessage[]
  readonly position: Position
  readonly attempts: number
}

/** What of a set a subscriber sees, and the slices that its changes lie in. */
type Seen = Omit<FedSet, 'position' | 'attempts' | 'isAnew'> & { readonly slices: readonly ChangeSlice[] }

/** A set that is put together from messages. */
interface Parts {
  readonly messages: readonly StreamMessage[]
  readonly bytes: number
}

/**
 * Puts messages together until a transaction ends, or there is too much: `whole` are sets that are ready, in order. What misses
 * its end before a reader begins anew comes again.
 */
export function joined(
  before: Parts,
  message: StreamMessage,
  bytes: number,
): { readonly whole: readonly (readonly StreamMessage[])[]; readonly rest: Parts } {
  if (message.kind === 'opened') return { whole: [[message]], rest: noParts }
  const earlier = before.messages.length === 0 ? [] : [before.messages]
  if (message.kind === 'schema') return { whole: [...earlier, [message]], rest: noParts }
  const rest = { messages: [...before.messages, message], bytes: before.bytes + bytes }
  const isOpen = message.slice.position === null && rest.bytes < setBytesMax
  return isOpen ? { whole: [], rest } : { whole: [rest.messages], rest: noParts }
}

/** What of a set a subscriber sees; `null` when it is nothing. */
export function seenSet(messages: readonly StreamMessage[], sight: Sight): Seen | null {
  const base = { isWhole: true, tables: [], changes: 0, rejected: 0, messages: [], schema: null, slices: [] }
  const [only] = messages
  if (only?.kind === 'schema') {
    const { table, columns } = only.change
    if (!sight.tables.some(it => it.name === table)) return null
    return { ...base, schema: { table, columns: columns.map(({ name }) => name) } }
  }
  const slices = messages.flatMap(it => (it.kind === 'slice' ? [it.slice] : []))
  const tables = slices.flatMap(slice => seenTables(slice, sight))
  const found = slices.flatMap((slice, i) => seenMessages(slice, sight, firstTransaction(slices.slice(i + 1))))
  const rejected = slices.reduce((sum, slice) => sum + rejectsIn(slice, sight), 0)
  if (tables.length === 0 && rejected === 0 && found.length === 0) return null
  const changes = slices.reduce((sum, slice) => sum + changesIn(slice, sight), 0)
  const isWhole = slices.at(-1)?.position !== null
  return { isWhole, tables, changes, rejected, messages: found, schema: null, slices }
}

function rejectsIn({ messages }: ChangeSlice, { tables }: Sight): number {
  return messages.map(it => rejectOf(it)).filter(it => tables.some(({ name }) => name === it?.table)).length
}

function changesIn(slice: ChangeSlice, { tables }: Sight): number {
  const counted = slice.tables.filter(({ table }) => tables.some(({ name }) => name === table))
  return counted.reduce((sum, { rows }) => sum + rows.rows, 0)
}

/** The changes of slices that were put together; the tables of each stand behind those of the ones before. */
function* changesOf(slices: readonly ChangeSlice[], sight: Sight): Generator<SeenChange> {
  let tables = 0
  for (const [i, slice] of slices.entries()) {
    for (const change of seenChanges(slice, sight, firstTransaction(slices.slice(i + 1)))) {
      yield tables === 0 ? change : { ...change, table: change.table + tables }
    }
    tables += seenTables(slice, sight).length
  }
}
