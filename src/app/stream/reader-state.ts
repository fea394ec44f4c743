import { fail, type NaruError } from '../../core/errors.ts'
import type { Position } from '../../services/bus/contract.ts'
import type { LiveTrouble } from './trouble.ts'

/** What a reader is doing, for people. */
export interface ReaderStatus {
  /** `stopped` without an error: somebody stopped it. */
  readonly state: 'connecting' | 'reading' | 'waiting' | 'stopped'
  readonly error: NaruError | null
  /** The same as the status of the server tells it, until it goes well again. */
  readonly trouble: LiveTrouble | null
  /** Position of the source that is in the durable log. */
  readonly position: string | null
  /** Position that the source was told it may forget. */
  readonly confirmed: string | null
  /** Everything up to this message of the topic ends whole transactions. */
  readonly complete: Position | null
  /** The same up to the newest message that is more than a sign of life. */
  readonly changed: Position | null
  /** Bytes that this reader has written, about up to `complete`. */
  readonly bytes: number
  /** Tables whose changes the source gives no more, and why: the others are read on. */
  readonly lost: ReadonlyMap<string, NaruError>
}

/** A status before anything was read. */
export const idle: ReaderStatus = {
  state: 'connecting',
  error: null,
  trouble: null,
  position: null,
  confirmed: null,
  complete: null,
  changed: null,
  bytes: 0,
  lost: new Map(),
}

/** The status of a reader, and who waits for it. */
export class ReaderState {
  readonly #source: string
  readonly #listeners = new Set<() => void>()
  #now: ReaderStatus

  constructor(source: string, from: Partial<ReaderStatus>) {
    this.#source = source
    this.#now = { ...idle, ...from }
  }

  get now(): ReaderStatus {
    return this.#now
  }

  set(change: Partial<ReaderStatus>): void {
    this.#now = { ...this.#now, ...change }
    for (const listener of this.#listeners) listener()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves with what `get` gives that is not `null`, looked at with each change. Throws what stopped the reader, or `CANCELLED`. */
  until<T>(get: () => T | null, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const value = get()
        if (value !== null) done(() => resolve(value))
        else if (this.#now.state === 'stopped') done(() => reject(this.#now.error ?? streamEnded(this.#source)))
        else if (signal.aborted) done(() => reject(fail('CANCELLED', { what: `a wait for source "${this.#source}"` })))
      }
      const done = (settle: () => void): void => {
        this.#listeners.delete(check)
        signal.removeEventListener('abort', check)
        settle()
      }
      this.#listeners.add(check)
      signal.addEventListener('abort', check, { once: true })
      check()
    })
  }
}

/** Why a stream ends that somebody stops: no trouble of its source. */
export function streamEnded(source: string): NaruError {
  return fail('CANCELLED', { what: `the stream of source "${source}"` })
}
