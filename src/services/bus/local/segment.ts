import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { fail, messageOf } from '../../../core/errors.ts'
import type { TopicMessage } from '../contract.ts'
import {
  HEAD_BYTES,
  RECORD_BYTES,
  decodeHead,
  decodeRecord,
  mayBeRecord,
  messageAt,
  type RecordHead,
  type SegmentHead,
} from './format.ts'

/** A handle of a file, as `Env` gives it. */
export type FileHandle = Awaited<ReturnType<Env['files']['open']>>

/** One file of a topic. */
export interface Segment {
  readonly first: number
  readonly file: string
  /** Bytes that are on disk for good. */
  bytes: number
}

/** A record that was read, and where its file has it. */
export interface Found {
  readonly at: number
  readonly head: RecordHead
  readonly message: TopicMessage
}

/** Reads at once when records are searched behind damage. */
const SEARCH_BYTES = 1024 * 1024

/** Reads the records of one segment. */
export class SegmentReader {
  /** `null` when both halves are damaged: nothing of the segment can be read. */
  readonly head: SegmentHead | null
  readonly #handle: FileHandle
  readonly #topic: string
  readonly #file: string

  private constructor(handle: FileHandle, head: SegmentHead | null, topic: string, file: string) {
    this.#handle = handle
    this.head = head
    this.#topic = topic
    this.#file = file
  }

  /** `null` when the file is gone. */
  static async open(env: Env, topic: string, file: string): Promise<SegmentReader | null> {
    let handle: FileHandle
    try {
      handle = await env.files.open(file, 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw readFailed(topic, file, error)
    }
    try {
      return new SegmentReader(handle, decodeHead(await readAt(handle, 0, HEAD_BYTES)), topic, file)
    } catch (error) {
      await handle.close()
      throw readFailed(topic, file, error)
    }
  }

  /**
   * Whole records from `at` on that end before `end`, at most `bytes` unless the first is larger. None: what lies there is
   * damaged, and `next` is where its record would end if its head is sound.
   */
  async read(
    at: number,
    end: number,
    bytes: number,
  ): Promise<{ readonly found: readonly Found[]; readonly next: number }> {
    if (this.head === null) return { found: [], next: end }
    let buffer = await this.#read(at, Math.min(Math.max(bytes, RECORD_BYTES), end - at))
    const first = buffer.length < RECORD_BYTES ? null : decodeRecord(buffer, 0, this.head.salt)
    // The length is proven by the checksum of the head, and by the size of the file before memory is taken.
    if (first === null || at + first.bytes > end) return { found: [], next: at }
    if (first.bytes > buffer.length) buffer = await this.#read(at, first.bytes)
    const found = recordsIn(buffer, at, end, this.head.salt)
    const last = found.at(-1)
    return { found, next: last === undefined ? at + first.bytes : last.at + last.head.bytes }
  }

  /** Where the next sound record lies behind damage at `at`, by its number; `end` when there is none. */
  async search(at: number, end: number, numbers: { readonly from: number; readonly until: number }): Promise<number> {
    const { head } = this
    if (head === null) return end
    for (let from = at; from + RECORD_BYTES <= end; from += SEARCH_BYTES) {
      const buffer = await this.#read(from, Math.min(SEARCH_BYTES + RECORD_BYTES, end - from))
      const last = Math.min(SEARCH_BYTES - 8, buffer.length - RECORD_BYTES)
      for (let i = 0; i <= last; i += 8) {
        if (!mayBeRecord(buffer, i, numbers.from, numbers.until)) continue
        if (decodeRecord(buffer, i, head.salt) === null) continue
        if ((await this.read(from + i, end, RECORD_BYTES)).found.length > 0) return from + i
      }
    }
    return end
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  async #read(at: number, bytes: number): Promise<Buffer> {
    try {
      return await readAt(this.#handle, at, bytes)
    } catch (error) {
      throw readFailed(this.#topic, this.#file, error)
    }
  }
}

function recordsIn(buffer: Buffer, at: number, end: number, salt: number): readonly Found[] {
  const found: Found[] = []
  for (let i = 0; i + RECORD_BYTES <= buffer.length;) {
    const head = decodeRecord(buffer, i, salt)
    if (head === null || i + head.bytes > buffer.length || at + i + head.bytes > end) break
    const message = messageAt(buffer, i, head, salt)
    if (message === null) break
    found.push({ at: at + i, head, message })
    i += head.bytes
  }
  return found
}

/** The bytes from `at` on; fewer when the file ends there. */
async function readAt(handle: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(Math.max(bytes, 0))
  let filled = 0
  while (filled < buffer.length) {
    const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, at + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

function readFailed(topic: string, file: string, error: unknown): Error {
  return fail('BUS_READ', { topic, file: path.basename(file), problem: messageOf(error) }, { cause: error })
}
