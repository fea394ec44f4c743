import path from 'node:path'
import zlib from 'node:zlib'
import type { Env } from '../../../core/env.ts'
import { fail, systemCodeOf } from '../../../core/errors.ts'
import { durableWrite, syncFolder } from '../../../core/files.ts'

/** Who has a place in a topic: a reader that keeps it himself and only says what he needs, or a subscriber whose cursor is here. */
export type Placed = 'reader' | 'subscriber'

/** The places of one topic: a file for each, `places/<name>.<who>`, with the number of the first message that is still needed. */
export class Places {
  readonly #env: Env
  readonly #topic: string
  readonly #folder: string
  /** As they stand in the files or were told since; `null` for a file that cannot be read. */
  readonly #needed: Map<string, number | null>
  #writing: Promise<void> = Promise.resolve()

  private constructor(given: { env: Env; topic: string; folder: string }, needed: Map<string, number | null>) {
    this.#env = given.env
    this.#topic = given.topic
    this.#folder = given.folder
    this.#needed = needed
  }

  static async open(env: Env, topic: string, topicFolder: string): Promise<Places> {
    await env.files.mkdir(path.join(topicFolder, 'places'), { recursive: true, mode: 0o700 })
    return Places.look(env, topic, topicFolder)
  }

  /** As they are now, for who writes none: what is removed meanwhile may be there or not. */
  static async look(env: Env, topic: string, topicFolder: string): Promise<Places> {
    const folder = path.join(topicFolder, 'places')
    const needed = new Map<string, number | null>()
    for (const name of (await unlessGone(env.files.readdir(folder))) ?? []) {
      if (!/\.(reader|subscriber)$/.test(name)) continue
      const bytes = await unlessGone(env.files.readFile(path.join(folder, name)))
      if (bytes !== null) needed.set(name, parse(bytes))
    }
    return new Places({ env, topic, folder }, needed)
  }

  /** The first message that somebody needs; 0 while a place cannot be read. */
  needed(): number {
    return Math.min(...[...this.#needed.values()].map(it => it ?? 0), Number.MAX_SAFE_INTEGER)
  }

  /** Everyone of a kind with the first message that is needed; 0 while a place cannot be read. */
  all(who: Placed): readonly (readonly [name: string, needed: number])[] {
    const end = `.${who}`
    return [...this.#needed]
      .filter(([file]) => file.endsWith(end))
      .map(([file, needed]) => [file.slice(0, -end.length), needed ?? 0] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** `undefined` for a name without a place. Throws `BUS_CURSOR_DAMAGED`. */
  get(name: string, who: Placed): number | undefined {
    const needed = this.#needed.get(`${name}.${who}`)
    if (needed !== null) return needed
    const file = path.join(this.#folder, `${name}.${who}`)
    throw fail('BUS_CURSOR_DAMAGED', { topic: this.#topic, name, file })
  }

  /** Durable when it resolves. Calls at once are done one after the other: they would write one temporary file. */
  set(name: string, who: Placed, needed: number): Promise<void> {
    const done = this.#writing.then(() => this.#write(`${name}.${who}`, needed))
    this.#writing = done.catch(() => {})
    return done
  }

  /** Told, and on disk with a later `set`: a crash before needs more than it must. */
  advance(name: string, who: Placed, needed: number): void {
    this.#needed.set(`${name}.${who}`, needed)
  }

  async #write(file: string, needed: number): Promise<void> {
    const text = String(needed)
    // Before it is written as well: what is needed from now on must not be removed meanwhile.
    this.#needed.set(file, Math.min(needed, this.#needed.get(file) ?? needed))
    await durableWrite(this.#env, path.join(this.#folder, file), `${text} ${zlib.crc32(text)}\n`)
    this.#needed.set(file, needed)
  }

  async remove(name: string, who: Placed): Promise<void> {
    const file = `${name}.${who}`
    await this.#env.files.rm(path.join(this.#folder, file), { force: true })
    await syncFolder(this.#env, this.#folder)
    this.#needed.delete(file)
  }
}

async function unlessGone<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** `null` when these are not the bytes of a place. */
function parse(bytes: Buffer): number | null {
  const [, text, sum] = /^(\d{1,16}) (\d+)\n$/.exec(bytes.toString()) ?? []
  return text === undefined || zlib.crc32(text) !== Number(sum) ? null : Number(text)
}
