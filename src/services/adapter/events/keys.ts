import path from 'node:path'
import { sha256, type Env } from '../../../core/env.ts'
import { isDiskFull, isNaruError, systemCodeOf } from '../../../core/errors.ts'
import { durableWrite } from '../../../core/files.ts'

/** Number of an event: they count on, over every restart. */
export type EventNumber = number

interface Kept {
  readonly number: EventNumber
  readonly expiresMs: number
}

/** Bytes at the end of the file that hold its last lines. */
const TAIL_BYTES = 4096
/** Lines of keys that expired, before the file is written anew. */
const STALE_LINES = 50_000

/**
 * The idempotency keys of events, in a file: a line for each, written before the event goes into the durable log. At the next
 * open the place in the log says which lines count: those of events that are in it. So there is no moment in which a crash
 * loses an event or takes one twice.
 */
export class Keys {
  readonly #env: Env
  readonly #file: string
  readonly #kept: Map<string, Kept>
  #lines: number
  #last: EventNumber
  /** Lines of events that are in no log are still there: nothing is added before they are gone. */
  #isStale = false
  /** Lines of refused events could not be taken back: until the next open nothing is added. */
  #broken: Error | null = null

  private constructor(given: { readonly env: Env; readonly file: string }, kept: Map<string, Kept>, last: EventNumber) {
    this.#env = given.env
    this.#file = given.file
    this.#kept = kept
    this.#lines = kept.size
    this.#last = last
  }

  /** Keys of events up to `inLog`, which is what the durable log has. */
  static async open(env: Env, file: string, inLog: EventNumber): Promise<Keys> {
    await env.files.mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    const nowMs = Number(env.clock.nowMicros() / 1000n)
    const kept = new Map<string, Kept>()
    let last = inLog
    for (const { number, expiresMs, hash } of linesIn(await textOf(env, file))) {
      last = Math.max(last, number)
      if (number <= inLog && expiresMs > nowMs) kept.set(hash, { number, expiresMs })
    }
    const keys = new Keys({ env, file }, kept, last)
    // On a full disk who sends is told so with each event, instead of nobody listening.
    await keys.#rewrite().catch((error: unknown) => {
      if (!isDiskFull(error) && !isNaruError(error, 'DISK_FULL')) throw error
      keys.#isStale = true
    })
    return keys
  }

  /** The number of the newest event that may be in the durable log. */
  get last(): EventNumber {
    return this.#last
  }

  get size(): number {
    return this.#kept.size
  }

  /** True when an event with this key was taken, and the key is still kept. */
  has(key: string, nowMs: number): boolean {
    const kept = this.#kept.get(hashOf(key))
    return kept !== undefined && kept.expiresMs > nowMs
  }

  /** Durable when it resolves; the events are in no log yet. When it throws, nothing of them stays. */
  async add(
    events: readonly { readonly key: string; readonly number: EventNumber }[],
    expiresMs: number,
  ): Promise<void> {
    if (this.#broken !== null) throw this.#broken
    if (this.#isStale) await this.#rewrite()
    const added = events.map(({ key, number }) => ({ hash: hashOf(key), number, expiresMs }))
    const handle = await this.#env.files.open(this.#file, 'a', 0o600)
    try {
      const { size } = await handle.stat()
      try {
        await handle.appendFile(added.map(lineOf).join(''))
        await handle.datasync()
      } catch (error) {
        // Their numbers are given to others: a line that stayed would count an event as taken that was refused.
        await handle.truncate(size).catch((failed: Error) => (this.#broken = failed))
        throw error
      }
    } finally {
      await handle.close()
    }
    for (const { hash, number } of added) this.#kept.set(hash, { number, expiresMs })
    this.#last = Math.max(this.#last, ...added.map(it => it.number))
    this.#lines += added.length
  }

  /** Forgets what expired: keys are kept in the order of their times. */
  async expire(nowMs: number): Promise<void> {
    for (const [hash, { expiresMs }] of this.#kept) {
      if (expiresMs > nowMs) break
      this.#kept.delete(hash)
    }
    if (this.#lines > this.#kept.size + STALE_LINES) await this.#rewrite()
  }

  async #rewrite(): Promise<void> {
    const lines = [...this.#kept].map(([hash, kept]) => lineOf({ hash, ...kept }))
    // Last, so that the end of the file tells the newest number.
    lines.push(lineOf({ hash: '-', number: this.#last, expiresMs: 0 }))
    await durableWrite(this.#env, this.#file, lines.join(''))
    this.#lines = lines.length
    this.#isStale = false
  }
}

/** The newest number in the file, without reading all of it. */
export async function lastNumber(env: Env, file: string): Promise<EventNumber> {
  try {
    const handle = await env.files.open(file, 'r')
    try {
      const { size } = await handle.stat()
      const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES))
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, size - bytes.length)
      return linesIn(bytes.toString('latin1', 0, bytesRead)).reduce((most, { number }) => Math.max(most, number), 0)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return 0
    throw error
  }
}

interface Line extends Kept {
  readonly hash: string
}

function lineOf({ number, expiresMs, hash }: Line): string {
  return `${String(number).padStart(16, '0')} ${String(expiresMs).padStart(16, '0')} ${hash}\n`
}

/** A line that was broken off is of an event that nobody was told of. */
function linesIn(text: string): readonly Line[] {
  const found = text.matchAll(/^(\d{16}) (\d{16}) (-|[0-9a-f]{32})\n/gm)
  return [...found].map(([, number, expiresMs, hash]) => ({
    number: Number(number),
    expiresMs: Number(expiresMs),
    hash: hash as string,
  }))
}

async function textOf(env: Env, file: string): Promise<string> {
  try {
    return await env.files.readFile(file, 'latin1')
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return ''
    throw error
  }
}

function hashOf(key: string): string {
  return sha256(key).slice(0, 32)
}
