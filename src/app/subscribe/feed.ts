import { rejectOf } from '../../core/change-reject.ts'
import type { Env } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import type { Position, Subscription } from '../../services/bus/contract.ts'
import { decodeMessage, type StreamMessage } from '../stream/message.ts'
import { seenChanges, seenTables, type SeenChange, type SeenTable, type Sight } from './rows.ts'

/** A set of changes that a subscriber was given: what the source said at once, or a part of a large transaction. */
export interface FedSet {
  /** What is acknowledged: this set and all before it. */
  readonly position: Position
  /** How often it was given since the server began. */
  readonly attempts: number
  /** False in the middle of a large transaction, which goes on in the next set. */
  readonly isWhole: boolean
  readonly tables: readonly SeenTable[]
  readonly changes: number
  /** Changes that could not be taken from the source. */
  readonly rejected: number
  /** The table has another shape in the source from here on. */
  readonly schema: { readonly table: string; readonly columns: readonly string[] } | null
}

/** The changes of a subscriber, in order. Its methods are called one after the other. */
export interface Feed {
  /** The next set; `null` when there is none within the time. */
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

/** A feed of this process, over the subscriber's cursor. */
export class LocalFeed implements Feed {
  readonly #env: Env
  readonly #subscription: Subscription
  readonly #sight: Sight
  readonly #onClose: (isLeft: boolean) => Promise<void>
  #rows: Generator<SeenChange> | null = null
  /** The newest set that was given and not acknowledged. */
  #given: Position | null = null
  /** What was passed over behind everything that is acknowledged. */
  #passed: Position | null = null
  #passedAt = 0

  constructor(given: {
    readonly env: Env
    readonly subscription: Subscription
    readonly sight: Sight
    readonly onClose: (isLeft: boolean) => Promise<void>
  }) {
    this.#env = given.env
    this.#subscription = given.subscription
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
        const { messages, attempts } = await this.#subscription.next({ messages: 1, signal: until })
        const message = messages[0]
        if (message === undefined) continue
        const set = this.#seen(decodeMessage(message.value), message.position, attempts)
        if (set !== null) {
          this.#given = message.position
          return set
        }
        await this.#pass(message.position)
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
    await this.#subscription.acknowledge(position)
    if (this.#given !== null && position >= this.#given) this.#given = null
  }

  async release(afterMs: number): Promise<void> {
    this.#rows = null
    this.#given = null
    this.#passed = null
    await this.#subscription.release(afterMs)
  }

  async close(): Promise<void> {
    await this.#onClose(this.#given !== null)
  }

  /** What of a message the subscriber sees; `null` when it is nothing. */
  #seen(message: StreamMessage, position: Position, attempts: number): FedSet | null {
    const { tables } = this.#sight
    const base = { position, attempts, isWhole: true, tables: [], changes: 0, rejected: 0, schema: null }
    if (message.kind === 'opened') return null
    if (message.kind === 'schema') {
      const { table, columns } = message.change
      if (!tables.some(it => it.name === table)) return null
      return { ...base, schema: { table, columns: columns.map(({ name }) => name) } }
    }
    const { slice } = message
    const shown = seenTables(slice, this.#sight)
    const rejects = slice.messages.map(it => rejectOf(it)).filter(it => tables.some(({ name }) => name === it?.table))
    if (shown.length === 0 && rejects.length === 0) return null
    this.#rows = seenChanges(slice, this.#sight)
    const names = shown.map(({ table }) => table)
    const counted = slice.tables.filter(({ table }) => names.includes(table))
    const changes = counted.reduce((sum, { rows }) => sum + rows.rows, 0)
    return { ...base, isWhole: slice.position !== null, tables: shown, changes, rejected: rejects.length }
  }

  /** What the subscriber does not see holds nothing back, unless something before it waits for its answer. */
  async #pass(position: Position | null): Promise<void> {
    if (position !== null) this.#passed = position
    if (this.#given !== null || this.#passed === null) return
    const now = this.#env.clock.monotonicMs()
    if (position !== null && now < this.#passedAt + passMs) return
    this.#passedAt = now
    await this.#subscription.acknowledge(this.#passed)
    this.#passed = null
  }
}
