import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { durableWrite, syncFolder } from '../../../core/files.ts'
import { machineError } from '../../../core/known-error.ts'
import type { ReadOptions } from '../../../core/implementation.ts'
import { acquireLease, type Lease } from '../../../core/lease-files.ts'
import type { Bus, BusOpening, OpenBus, Position, Topic, TopicLook, TopicSettings } from '../contract.ts'
import { createSegment, listSegments } from './files.ts'
import type { log } from './index.ts'
import { Log } from './log.ts'
import { checkName, isName } from './names.ts'
import { Places } from './places.ts'
import { LogTopic } from './topic.ts'

/** Opens the bus below `stateDir`; what removals that were killed left there is cleared away. */
export const openBus: OpenBus = async given => {
  const folder = path.join(given.stateDir, 'bus')
  await given.env.files.mkdir(folder, { recursive: true, mode: 0o700 })
  for (const name of await given.env.files.readdir(folder)) {
    if (name.startsWith(REMOVED)) await given.env.files.rm(path.join(folder, name), { recursive: true, force: true })
  }
  return new LogBus(given, folder)
}

/** Who has a topic open for a moment, as `naru check` does, is waited for. */
const HELD_MS_MAX = 1_000
const LOOK_AGAIN_MS = 50
/** Begins the name of a folder whose topic is removed. */
const REMOVED = '.removed-'
/** Begins the name of the file with the last number that a topic which was removed may have given. */
const BEHIND = '.behind-'
/** More messages than a file of any size has: so many are passed over, because one that is damaged does not say how many it gave. */
const GAP = 2 ** 30

interface OpenTopic {
  readonly topic: LogTopic
  readonly lease: Lease
}

class LogBus implements Bus {
  readonly kind = 'log'
  readonly #given: BusOpening
  readonly #env: Env
  readonly #folder: string
  readonly #open = new Map<string, Promise<OpenTopic>>()
  /** Topics whose removal goes on. */
  readonly #removing = new Set<string>()
  #isClosed = false

  constructor(given: BusOpening, folder: string) {
    this.#given = given
    this.#env = given.env
    this.#folder = folder
  }

  async openTopic(name: string, settings: TopicSettings): Promise<Topic> {
    this.#check()
    checkName('the topic', name)
    const known = await this.#open.get(name)
    if (known !== undefined && !known.topic.isBroken) {
      await known.topic.keepOnly(settings.keepBytes)
      return known.topic
    }
    if (known !== undefined) await this.#closeTopic(name)
    // Two calls at once: both find what the first of them opens.
    let opening = this.#open.get(name)
    if (opening === undefined) {
      opening = this.#openFolder(name, settings)
      this.#open.set(name, opening)
      opening.catch(() => this.#open.delete(name))
    }
    return (await opening).topic
  }

  async lookAt(name: string): Promise<TopicLook | null> {
    this.#check()
    checkName('the topic', name)
    const known = await this.#open.get(name)
    if (known !== undefined && !known.topic.isBroken) return known.topic
    if (!(await this.topics()).includes(name)) return null
    const { env, tell } = this.#given
    const { segmentBytes, maxMessageBytes } = this.#given.options as ReadOptions<typeof log.options>
    const folder = path.join(this.#folder, name)
    try {
      const found = await Log.look({ env, topic: name, folder, segmentBytes, tell })
      const places = await Places.look(env, name, folder)
      return new LogTopic({ env, name, log: found, places, maxMessageBytes, keepBytes: Infinity, tell })
    } catch (error) {
      // Removed this moment.
      if (systemCodeOf(error) === 'ENOENT') return null
      if (isNaruError(error)) throw error
      const problem = messageOf(error)
      throw machineError(error) ?? fail('BUS_READ', { topic: name, file: folder, problem }, { cause: error })
    }
  }

  async topics(): Promise<readonly string[]> {
    this.#check()
    return (await this.#folders()).filter(name => !this.#removing.has(name))
  }

  async #folders(): Promise<readonly string[]> {
    try {
      return (await this.#env.files.readdir(this.#folder)).filter(isName).sort()
    } catch (error) {
      // Somebody removed the folder under us: what that means for each stream is said when it is read.
      if (systemCodeOf(error) === 'ENOENT') return []
      throw error
    }
  }

  async removeTopic(name: string): Promise<void> {
    this.#check()
    checkName('the topic', name)
    this.#removing.add(name)
    try {
      await this.#removeFolder(name)
    } finally {
      this.#removing.delete(name)
    }
  }

  async #removeFolder(name: string): Promise<void> {
    await this.#closeTopic(name)
    const folder = path.join(this.#folder, name)
    const removed = path.join(this.#folder, `${REMOVED}${this.#env.random.uuid()}`)
    const lease = (await this.#folders()).includes(name) ? await this.#take(name, folder) : null
    if (lease === null) return
    await this.#noteBehind(name, folder)
    this.#env.crash('bus.topic.remove.before')
    await this.#env.files.rename(folder, removed)
    await syncFolder(this.#env, this.#folder)
    this.#env.crash('bus.topic.remove.after')
    await this.#env.files.rm(removed, { recursive: true, force: true })
  }

  /** Durable before anything is removed: a topic of this name never gives a position again, whenever we are killed. */
  async #noteBehind(name: string, folder: string): Promise<void> {
    const newest = (await listSegments(this.#env, folder)).at(-1)
    const places = await Places.open(this.#env, name, folder)
    const needed = [...places.all('reader'), ...places.all('subscriber')].map(([, number]) => number)
    const given = Math.max(await this.#behind(name), newest?.first ?? 0, ...needed) + GAP
    await durableWrite(this.#env, path.join(this.#folder, `${BEHIND}${name}`), `${given}\n`)
  }

  /** The last number that topics of this name which were removed may have given; -1 when there was none. */
  async #behind(name: string): Promise<number> {
    const file = path.join(this.#folder, `${BEHIND}${name}`)
    try {
      return Number(await this.#env.files.readFile(file))
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return -1
      throw error
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const name of this.#open.keys()) await this.#closeTopic(name)
  }

  async #openFolder(name: string, { keepBytes, behind = [] }: TopicSettings): Promise<OpenTopic> {
    const { env, tell } = this.#given
    const { segmentBytes, maxMessageBytes } = this.#given.options as ReadOptions<typeof log.options>
    const folder = path.join(this.#folder, name)
    await env.files.mkdir(folder, { recursive: true, mode: 0o700 })
    await syncFolder(env, this.#folder)
    const lease = await this.#take(name, folder)
    try {
      await beginBehind(env, folder, [...behind, String(await this.#behind(name))])
      const opened = await Log.open({ env, topic: name, folder, segmentBytes, tell })
      const places = await Places.open(env, name, folder)
      const topic = new LogTopic({ env, name, log: opened, places, maxMessageBytes, keepBytes, tell })
      await topic.trim()
      return { topic, lease }
    } catch (error) {
      await lease.release()
      throw error
    }
  }

  async #take(name: string, folder: string): Promise<Lease> {
    const { clock } = this.#env
    const untilMs = clock.monotonicMs() + HELD_MS_MAX
    for (;;) {
      try {
        return await acquireLease(this.#env, folder, 'topic', 'another process')
      } catch (error) {
        if (!isNaruError(error, 'RUN_HELD')) throw error
        if (clock.monotonicMs() >= untilMs)
          throw fail('BUS_HELD', { what: `topic "${name}"`, holder: messageOf(error) }, { cause: error })
      }
      await clock.sleep(LOOK_AGAIN_MS)
    }
  }

  async #closeTopic(name: string): Promise<void> {
    const open = await this.#open.get(name)?.catch((error: unknown) => {
      // Whoever opened it was told.
      if (systemCodeOf(error) === undefined && !isNaruError(error)) throw error
      return undefined
    })
    this.#open.delete(name)
    await open?.topic.close()
    await open?.lease.release()
  }

  #check(): void {
    if (this.#isClosed) throw fail('BUS_CLOSED', { what: 'the bus' })
  }
}

/** A segment without a message says where the log goes on. */
async function beginBehind(env: Env, folder: string, behind: readonly Position[]): Promise<void> {
  const follows = Math.max(-1, ...behind.map(Number))
  if (follows < 0 || (await listSegments(env, folder)).length > 0) return
  const salt = Buffer.from(env.random.bytes(4)).readUInt32LE()
  const { handle } = await createSegment(env, folder, { first: follows + 1, follows, salt })
  await handle.close()
}
