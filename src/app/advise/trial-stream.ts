import { withDeadline, type Env } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import type { CapturedTable, Captures, ChangeStream, SchemaChange } from '../../services/adapter/contract-capture.ts'
import type { ChangeSlice } from '../../core/change-slice.ts'
import { TableCopy, type Difference } from './copy.ts'

/** Longest wait for the stream to pass what the table had when it was compared. */
const CATCH_UP_MS = 60_000

/** What a stream is tried with. */
export interface StreamTrialGiven {
  readonly env: Env
  readonly captures: Captures
  readonly table: CapturedTable
  readonly spillDir: string
  /** Called with what was installed, before anything is read. */
  remember(position: string): Promise<void>
}

/** A technique that gives a stream, with the copy that it keeps. */
export class StreamTrial {
  readonly copy: TableCopy
  readonly #given: StreamTrialGiven
  readonly #stream: ChangeStream
  /** Asked for and not come yet. */
  #next: Promise<ChangeSlice | SchemaChange> | null = null
  #position: string
  #isWhole = true

  private constructor(given: StreamTrialGiven, stream: ChangeStream, position: string) {
    this.#given = given
    this.#stream = stream
    this.#position = position
    this.copy = new TableCopy(given.table)
  }

  /** Installs what the stream needs and opens it: what changes from now on comes. */
  static async open(given: StreamTrialGiven, signal: AbortSignal): Promise<StreamTrial> {
    const { captures, table, spillDir, env } = given
    const from = await captures.install([table], signal)
    await given.remember(from)
    await env.files.mkdir(spillDir, { recursive: true })
    const stream = await captures.open({ tables: [table], from, spillDir }, signal)
    return new StreamTrial(given, stream, from)
  }

  /** Takes what comes until `over`, and stops where a transaction of the source ends. */
  async follow(over: AbortSignal): Promise<void> {
    const stopped = new Promise<null>(resolve => {
      if (over.aborted) resolve(null)
      else over.addEventListener('abort', () => resolve(null), { once: true })
    })
    while (!over.aborted || !this.#isWhole) {
      const slice = this.#isWhole ? await Promise.race([this.#ask(), stopped]) : await this.#ask()
      if (slice === null) return
      await this.#take(slice, () => {})
    }
  }

  /**
   * How the copy differs from a table that was read after `follow` ended. The stream goes on past that moment, and a row
   * that was the table's at any moment on the way is right: the reading lies somewhere on it.
   */
  async compare(truth: TableCopy, signal: AbortSignal): Promise<Map<string, keyof Difference>> {
    const { captures, env } = this.#given
    const found = this.copy.differences(truth)
    const head = await captures.head(signal)
    const settle = (key: string | null): void => {
      for (const it of key === null ? found.keys() : [key]) if (this.copy.agrees(it, truth)) found.delete(it)
    }
    await withDeadline(env, { what: 'the end of the stream', ms: CATCH_UP_MS, signal }, async () => {
      while (captures.compare(this.#position, head) < 0 || !this.#isWhole) await this.#take(await this.#ask(), settle)
    })
    return found
  }

  /** Ends the stream and removes what was installed for it, also when the trial was cut short. */
  async close(): Promise<void> {
    await this.#stream.close()
    await this.#given.env.files.rm(this.#given.spillDir, { recursive: true, force: true })
  }

  #ask(): Promise<ChangeSlice | SchemaChange> {
    if (this.#next === null) {
      this.#next = this.#stream.next()
      this.#next.catch(() => {}) // whoever waits for it is told
    }
    return this.#next
  }

  async #take(slice: ChangeSlice | SchemaChange, tell: (key: string | null) => void): Promise<void> {
    this.#next = null
    if ('kind' in slice) {
      const problem = 'its shape changed while it was followed'
      throw fail('TRIAL_NOT_POSSIBLE', { table: this.#given.table.remote, problem })
    }
    for (const changes of slice.tables) this.copy.apply(changes, tell)
    this.#isWhole = slice.position !== null
    if (slice.position === null) return
    this.#position = slice.position
    await this.#stream.confirm(slice.position)
  }
}
