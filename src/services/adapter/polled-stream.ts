import type { ChangeSlice } from '../../core/change-slice.ts'
import type { Clock } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import type { CaptureLag, ChangeStream, SchemaChange } from './contract-capture.ts'

/** A change table as a poll sees it. One call at a time, but for `confirm` and `lag`. */
export interface ChangeFeed {
  /** What came since the last call, or `null`. `isDue`: a slice without changes is wanted then, as a sign of life. */
  poll(isDue: boolean, signal: AbortSignal): Promise<ChangeSlice | SchemaChange | null>
  confirm(position: string): Promise<void>
  lag(signal: AbortSignal): Promise<CaptureLag>
  close(): Promise<void>
}

/** Longest silence of a stream: who waits until it has passed a head of the source waits so long at most. */
const SIGN_MS = 1_000

/** A stream that asks its source every `pollMs` while nothing comes, and at once again while something does. */
export class PolledStream implements ChangeStream {
  readonly #feed: ChangeFeed
  readonly #clock: Clock
  readonly #pollMs: number
  readonly #closing = new AbortController()
  readonly #signal: AbortSignal
  #givenMs: number
  #running: Promise<unknown> = Promise.resolve()
  /** A feed whose poll broke off may stand behind changes that it never gave: nothing more is read of it. */
  #failed: { readonly error: unknown } | null = null

  constructor(
    feed: ChangeFeed,
    given: { readonly clock: Clock; readonly pollMs: number; readonly signal: AbortSignal },
  ) {
    this.#feed = feed
    this.#clock = given.clock
    this.#pollMs = given.pollMs
    this.#signal = AbortSignal.any([given.signal, this.#closing.signal])
    this.#givenMs = given.clock.monotonicMs() - SIGN_MS
  }

  next(): Promise<ChangeSlice | SchemaChange> {
    const next = this.#next()
    this.#running = next.catch(() => {})
    return next
  }

  confirm(position: string): Promise<void> {
    return this.#feed.confirm(position)
  }

  lag(signal: AbortSignal): Promise<CaptureLag> {
    return this.#feed.lag(signal)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
    await this.#feed.close()
  }

  async #next(): Promise<ChangeSlice | SchemaChange> {
    for (;;) {
      if (this.#signal.aborted) throw fail('CANCELLED', { what: 'reading changes' }, { cause: this.#signal.reason })
      const isDue = this.#clock.monotonicMs() - this.#givenMs >= SIGN_MS
      const found = await this.#poll(isDue)
      if (found !== null) {
        this.#givenMs = this.#clock.monotonicMs()
        return found
      }
      await this.#clock.sleep(this.#pollMs, this.#signal).catch(error => {
        if (!this.#signal.aborted) throw error
      })
    }
  }

  async #poll(isDue: boolean): Promise<ChangeSlice | SchemaChange | null> {
    if (this.#failed !== null) throw this.#failed.error
    try {
      return await this.#feed.poll(isDue, this.#signal)
    } catch (error) {
      this.#failed = { error }
      throw error
    }
  }
}
