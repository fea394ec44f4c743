import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { fail, isDiskFull, isNaruError, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { TopicMessage } from '../contract.ts'
import { createSegment, removeSegment, writeAll } from './files.ts'
import { HEAD_BYTES, encodeRecord, recordBytes, type Pending } from './format.ts'
import type { ReadableLog } from './reader.ts'
import { lookAt, nameOf, recover, type Recovered } from './recover.ts'
import { SegmentReader, type FileHandle, type Recent, type Segment } from './segment.ts'

/** What a log is opened with. */
export interface LogSettings {
  readonly env: Env
  readonly topic: string
  readonly folder: string
  readonly segmentBytes: number
  readonly tell: (note: { readonly code: string; readonly text: string }) => void
}

/** Bytes of one write: appends that wait share it up to here. */
const WRITE_BYTES = 8 * 1024 * 1024

/** Messages that wait to be on disk, in order. */
interface Append {
  readonly messages: readonly Pending[]
  /** How many are in a write already. */
  taken: number
  readonly resolve: (number: number) => void
  readonly reject: (error: unknown) => void
}

interface Write {
  readonly messages: readonly Pending[]
  readonly bytes: number
  /** Every append of which it has messages, and how many are in it up to the end of those. */
  readonly parts: { readonly append: Append; end: number }[]
}

/** The segments of one topic and the one task that appends to them. */
export class Log implements ReadableLog {
  readonly segments: Segment[]
  /** Somebody only looks: nothing is appended, nothing comes, and nothing is written. */
  readonly isLook: boolean
  readonly #given: LogSettings
  readonly #waiting: Append[] = []
  readonly #wakes = new Set<() => void>()
  readonly #damages = new Set<string>()
  #active: Recovered['active']
  #newest: number
  #next: number
  #last: Recovered['last']
  #recent: Recent | null = null
  #work: Promise<void> | null = null
  #broken: Error | null = null
  /** A disk that was full, in this turn: whoever appends may not have heard of it yet. */
  #full: Error | null = null

  private constructor(given: LogSettings, found: Omit<Recovered, 'cut'>, isLook: boolean) {
    this.#given = given
    this.isLook = isLook
    this.segments = found.segments
    this.#active = found.active
    this.#newest = found.newest
    this.#next = found.next
    this.#last = found.last
  }

  /** Opens what is in the folder; cuts off and tells a broken end. */
  static async open(given: LogSettings): Promise<Log> {
    const found = await recover(given.env, given.topic, given.folder)
    if (found.cut !== null) {
      const { segment, bytes } = found.cut
      const note = fail('BUS_END_CUT', { topic: given.topic, file: nameOf(segment), bytes })
      given.tell({ code: note.code, text: note.message })
    }
    return new Log(given, found, false)
  }

  /** What is in the folder at this moment, for who only reads: it changes nothing there. */
  static async look(given: LogSettings): Promise<Log> {
    return new Log(given, { ...(await lookAt(given.env, given.topic, given.folder)), active: null }, true)
  }

  get newest(): number {
    return this.#newest
  }

  get recent(): Recent | null {
    return this.#recent
  }

  /** Where the next record will lie; `null` when it begins a segment. */
  get end(): { readonly segment: Segment; readonly at: number } | null {
    const segment = this.segments.at(-1)
    return this.#active === null || segment === undefined ? null : { segment, at: segment.bytes }
  }

  /** Why nothing can be appended any more; `null` while it can. */
  get broken(): Error | null {
    return this.#broken
  }

  /** Resolves with the number of the last message once all are on disk. */
  append(messages: readonly Pending[]): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== null) return reject(this.#broken)
      if (this.#full !== null) return reject(this.#full)
      this.#waiting.push({ messages, taken: 0, resolve, reject })
      this.#work ??= this.#writeAll().finally(() => (this.#work = null))
    })
  }

  /** The newest message that can be read. */
  async last(): Promise<TopicMessage | null> {
    const place = this.#last
    if (place === null) return null
    const reader = await this.openSegment(place.segment)
    try {
      const read = await reader?.read(place.at, place.segment.bytes, place.bytes)
      const message = read?.found[0]?.message
      if (message !== undefined) return message
      const problem = 'the newest message is damaged or gone'
      throw fail('BUS_READ', { topic: this.#given.topic, file: nameOf(place.segment), problem })
    } finally {
      await reader?.close()
    }
  }

  /** Resolves once there are messages from `number` on; throws when the signal aborts, or nothing will come any more. */
  async waitFor(number: number, signal: AbortSignal): Promise<void> {
    while (this.#newest < number) {
      signal.throwIfAborted()
      if (this.#broken !== null) throw this.#broken
      await new Promise<void>(resolve => {
        const wake = (): void => {
          this.#wakes.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#wakes.add(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    }
  }

  /** Removes the oldest segments while there are more bytes than `keepBytes` and nobody needs their messages before `needed`. */
  async trim(keepBytes: number, needed: number): Promise<void> {
    const { env } = this.#given
    let bytes = this.bytes()
    for (;;) {
      const [oldest, after] = this.segments
      // The newest message stays: a writer goes on from it.
      if (oldest === undefined || after === undefined || bytes <= keepBytes || after.first > needed) return
      if (this.#last === null || this.#last.segment.first <= oldest.first) return
      env.crash('bus.segment.remove.before')
      await removeSegment(env, oldest)
      env.crash('bus.segment.remove.after')
      this.segments.shift()
      bytes -= oldest.bytes
    }
  }

  bytes(): number {
    return this.segments.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  openSegment(segment: Segment): Promise<SegmentReader | null> {
    return SegmentReader.open(this.#given.env, this.#given.topic, segment.file)
  }

  async foundDamage(segment: Segment, at: number): Promise<void> {
    const { env, folder, topic, tell } = this.#given
    // Setting it aside is for who has the topic open.
    if (this.isLook) return
    const key = `${segment.first}:${at}`
    if (this.#damages.has(key)) return
    this.#damages.add(key)
    const kept = path.join(folder, 'damaged', nameOf(segment))
    await env.files.mkdir(path.dirname(kept), { recursive: true, mode: 0o700 })
    try {
      // A second name: the bytes stay when the segment is removed, and cost nothing.
      await env.files.link(segment.file, kept)
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST')
        throw fail('BUS_READ', { topic, file: kept, problem: messageOf(error) }, { cause: error })
    }
    const note = fail('BUS_DAMAGED', { topic, file: nameOf(segment), at, kept })
    tell({ code: note.code, text: note.message })
  }

  /** Waits for what is being written; every other append is refused with `reason`. */
  async close(reason: Error): Promise<void> {
    this.#refuse(reason)
    await this.#work
    const active = this.#active
    this.#active = null
    await active?.handle.close()
  }

  async #writeAll(): Promise<void> {
    // Those who append again because the last write was answered do so in this turn, and share the next.
    await Promise.resolve()
    while (this.#waiting.length > 0 && this.#broken === null) {
      const write = this.#takeWrite()
      try {
        const first = await this.#write(write)
        for (const { append, end } of write.parts) {
          if (append.taken === append.messages.length) append.resolve(first + end - 1)
        }
      } catch (error) {
        this.#failed(write, error)
      }
    }
  }

  /** The messages of as many waiting appends as fit into one write. */
  #takeWrite(): Write {
    const messages: Pending[] = []
    const parts: Write['parts'] = []
    let bytes = 0
    for (let append = this.#waiting[0]; append !== undefined; append = this.#waiting[0]) {
      const message = append.messages[append.taken] as Pending
      const more = recordBytes(message)
      if (bytes > 0 && bytes + more > WRITE_BYTES) break
      if (parts.at(-1)?.append !== append) parts.push({ append, end: 0 })
      bytes += more
      append.taken += 1
      ;(parts.at(-1) as Write['parts'][0]).end = messages.push(message)
      if (append.taken === append.messages.length) this.#waiting.shift()
    }
    return { messages, bytes, parts }
  }

  /** Puts one write on disk and gives the number of its first message. */
  async #write({ messages, bytes }: Write): Promise<number> {
    const { env } = this.#given
    const { segment, handle, salt } = await this.#room(bytes)
    const buffer = Buffer.allocUnsafeSlow(bytes)
    const micros = env.clock.nowMicros()
    const first = this.#next
    let lastAt = 0
    let at = 0
    for (const [i, message] of messages.entries()) {
      lastAt = at
      at = encodeRecord(buffer, at, message, { number: first + i, micros, salt })
    }
    env.crash('bus.append.write')
    await this.#put(handle, buffer, segment.bytes)
    env.crash('bus.append.after')
    this.#last = { segment, at: segment.bytes + lastAt, bytes: bytes - lastAt }
    // One write at most: a reader at the end has it at once, any other reads the file.
    this.#recent = bytes <= WRITE_BYTES ? { segment, at: segment.bytes, bytes: buffer, salt } : null
    segment.bytes += bytes
    this.#next = first + messages.length
    this.#newest = this.#next - 1
    this.#wakeAll()
    return first
  }

  async #put(handle: FileHandle, buffer: Buffer, at: number): Promise<void> {
    const { env, folder } = this.#given
    try {
      await writeAll(handle, buffer, at)
    } catch (error) {
      if (!isDiskFull(error)) throw this.#break(error)
      // Nothing of it counts: the next write begins where this one did.
      await this.#takeBack(handle, at)
      throw fail('DISK_FULL', { path: folder }, { cause: error })
    }
    env.crash('bus.append.sync')
    // After a failed sync the system may hold pages for written that are not: it is never asked a second time.
    await handle.datasync().catch((error: unknown) => Promise.reject(this.#break(error)))
  }

  /** On disk before anything else is written: the refused bytes must not come back behind a power cut. */
  async #takeBack(handle: FileHandle, at: number): Promise<void> {
    try {
      await handle.truncate(at)
      await handle.sync()
    } catch (error) {
      throw this.#break(error)
    }
  }

  /** The segment that takes so many bytes more. */
  async #room(
    bytes: number,
  ): Promise<{ readonly segment: Segment; readonly handle: FileHandle; readonly salt: number }> {
    const { env, folder, segmentBytes } = this.#given
    const segment = this.segments.at(-1)
    const isFull = segment !== undefined && segment.bytes > HEAD_BYTES && segment.bytes + bytes > segmentBytes
    if (segment !== undefined && this.#active !== null && !isFull) {
      return { segment, handle: this.#active.handle, salt: this.#active.salt }
    }
    env.crash('bus.segment.roll.before')
    const salt = Buffer.from(env.random.bytes(4)).readUInt32LE()
    const made = await noteDiskFull(folder, () =>
      createSegment(env, folder, { first: this.#next, follows: this.#newest, salt }),
    )
    env.crash('bus.segment.roll.after')
    await this.#active?.handle.close()
    this.#active = { handle: made.handle, salt }
    this.segments.push(made.segment)
    return { ...made, salt }
  }

  #failed({ parts }: Write, error: unknown): void {
    const known = isNaruError(error) ? error : this.#break(error)
    for (const { append } of parts) append.reject(known)
    // The rest of an append whose begin failed.
    const last = parts.at(-1)?.append
    if (this.#waiting[0] === last) this.#waiting.shift()
    if (isNaruError(known, 'DISK_FULL')) this.#refuseBehind(known)
  }

  /** What was to come behind messages that are not there must not be there without them. */
  #refuseBehind(reason: Error): void {
    for (const append of this.#waiting.splice(0)) append.reject(reason)
    this.#full = reason
    this.#given.env.clock.after(0, () => (this.#full = null))
  }

  /** From now on nothing is appended: what is on disk is not certain any more. */
  #break(error: unknown): Error {
    const { topic } = this.#given
    this.#broken ??= fail('BUS_WRITE', { topic, problem: messageOf(error) }, { cause: error })
    this.#refuse(this.#broken)
    return this.#broken
  }

  #refuse(reason: Error): void {
    this.#broken ??= reason
    for (const append of this.#waiting.splice(0)) append.reject(reason)
    this.#wakeAll()
  }

  #wakeAll(): void {
    for (const wake of this.#wakes) wake()
  }
}
