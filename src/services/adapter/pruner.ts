import { isNaruError } from '../../core/errors.ts'

/** How a system deletes changes that are confirmed, over a connection of its own. */
export interface Pruning<P> {
  /** Deletes up to the position, a few rows at a time; opens the connection where there is none. */
  prune(position: P, signal: AbortSignal): Promise<void>
  /** True when everything up to `position` is among what goes with `wanted`. */
  covers(wanted: P, position: P): boolean
  /** Lets go of the connection at once, after a failure. */
  destroy(): void
  close(): Promise<void>
  /** What the failure says, without secrets. */
  textOf(error: unknown): string
}

/**
 * Deletes what is confirmed while the stream goes on. What a broken pruner left, the next one deletes. Never throws: a
 * failure is told by `trouble` until one goes well.
 */
export class Pruner<P> {
  readonly #pruning: Pruning<P>
  #wanted: P | null = null
  #running: Promise<void> | null = null
  readonly #closing = new AbortController()
  trouble: string | null = null

  constructor(pruning: Pruning<P>) {
    this.#pruning = pruning
  }

  want(position: P): void {
    if (this.#wanted !== null && this.#pruning.covers(this.#wanted, position)) return
    this.#wanted = position
    this.#running ??= this.#run().finally(() => (this.#running = null))
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
    await this.#pruning.close()
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    try {
      let done: P | null = null
      while (this.#wanted !== null && this.#wanted !== done && !signal.aborted) {
        done = this.#wanted
        await this.#pruning.prune(done, signal)
      }
      this.trouble = null
    } catch (error) {
      this.#pruning.destroy()
      this.#wanted = null // the next confirmation tries again
      if (!isNaruError(error, 'CANCELLED'))
        this.trouble = `what is confirmed could not be deleted: ${this.#pruning.textOf(error)}`
    }
  }
}
