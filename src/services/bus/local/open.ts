import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { syncFolder } from '../../../core/files.ts'
import type { ReadOptions } from '../../../core/implementation.ts'
import { acquireLease, type Lease } from '../../../core/lease-files.ts'
import type { Bus, BusOpening, OpenBus, Topic, TopicSettings } from '../contract.ts'
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

/** Begins the name of a folder whose topic is removed. */
const REMOVED = '.removed-'

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

  async topics(): Promise<readonly string[]> {
    this.#check()
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
    await this.#closeTopic(name)
    const folder = path.join(this.#folder, name)
    const removed = path.join(this.#folder, `${REMOVED}${this.#env.random.uuid()}`)
    const lease = (await this.topics()).includes(name) ? await this.#take(name, folder) : null
    if (lease === null) return
    this.#env.crash('bus.topic.remove.before')
    await this.#env.files.rename(folder, removed)
    await syncFolder(this.#env, this.#folder)
    this.#env.crash('bus.topic.remove.after')
    await this.#env.files.rm(removed, { recursive: true, force: true })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const name of this.#open.keys()) await this.#closeTopic(name)
  }

  async #openFolder(name: string, { keepBytes }: TopicSettings): Promise<OpenTopic> {
    const { env, tell } = this.#given
    const { segmentBytes, maxMessageBytes } = this.#given.options as ReadOptions<typeof log.options>
    const folder = path.join(this.#folder, name)
    await env.files.mkdir(folder, { recursive: true, mode: 0o700 })
    await syncFolder(env, this.#folder)
    const lease = await this.#take(name, folder)
    try {
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
    try {
      return await acquireLease(this.#env, folder, 'topic', 'another process')
    } catch (error) {
      if (!isNaruError(error, 'RUN_HELD')) throw error
      throw fail('BUS_HELD', { what: `topic "${name}"`, holder: messageOf(error) }, { cause: error })
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
