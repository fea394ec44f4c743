import type { ChangeSlice } from '../../../../core/change-slice.ts'
import type { Env } from '../../../../core/env.ts'
import {
  captureDefaults,
  type CaptureLag,
  type CaptureRequest,
  type ChangeStream,
  type SchemaChange,
} from '../../contract-capture.ts'
import type { Target } from '../target.ts'
import type { Dump } from './dump.ts'
import { logError, lost, refusal } from './errors.ts'
import { lagBehind } from './lag.ts'
import type { LogReader } from './log-reader.ts'
import { parsePosition, positionText } from './position.ts'
import type { Sessions } from './sessions.ts'
import type { SliceBuilder } from './slice-builder.ts'

/** A sign of life is given when nothing was for so long. */
const QUIET_MS_MAX = 3_000
/** A new position without changes of ours is given after so long. */
const MOVED_MS = 250
/** Longer than the longest silence of the server: the session decides. */
const FOREVER_MS = 3_600_000

export interface StreamParts {
  readonly env: Env
  readonly target: Target
  readonly request: CaptureRequest
  readonly signal: AbortSignal
  readonly sessions: Sessions
  readonly dump: Dump
  readonly reader: LogReader
  readonly builder: SliceBuilder
}

/** The log as slices: it decodes no more than one slice ahead, and while nobody asks the server waits. */
export class LogStream implements ChangeStream {
  readonly #parts: StreamParts
  readonly #sliceBytes: number
  readonly #lingerMs: number
  readonly #ready: (ChangeSlice | SchemaChange)[] = []
  #given: ChangeSlice | SchemaChange | null = null
  /** When the first change came that no slice has. */
  #since: number | null = null
  #givenAt: number
  #givenOffset = 0
  #confirmed: string
  #isClosed = false
  #failure: Error | null = null

  constructor(parts: StreamParts) {
    this.#parts = parts
    this.#sliceBytes = parts.request.sliceBytes ?? captureDefaults.sliceBytes
    // The first sign of life comes soon, if nothing else does.
    this.#givenAt = parts.env.clock.monotonicMs() - QUIET_MS_MAX + MOVED_MS
    this.#lingerMs = parts.request.lingerMs ?? captureDefaults.lingerMs
    this.#confirmed = parts.request.from
  }

  async next(): Promise<ChangeSlice | SchemaChange> {
    const { builder } = this.#parts
    if (this.#given !== null && !('kind' in this.#given)) builder.recycle(this.#given)
    this.#given = null
    while (this.#ready.length === 0 && this.#failure === null) await this.#work()
    const given = this.#ready.shift()
    if (given === undefined) throw this.#failure
    this.#givenAt = this.#now()
    this.#given = given
    return given
  }

  /** Does a piece of work. What is whole is given away before a failure is told. */
  async #work(): Promise<void> {
    const { reader, target, builder, dump } = this.#parts
    try {
      const slice = await this.#step()
      if (slice !== null) this.#ready.push(slice)
    } catch (error) {
      dump.destroy()
      this.#failure = logError(error, target, positionText(reader.done))
      const hasWhole = builder.hasWhole
      builder.rollback()
      if (hasWhole) this.#ready.push(this.#take())
    }
  }

  /** Gives away what was collected, in the middle of whatever it is. */
  flush(): void {
    this.#ready.push(this.#take())
  }

  /** Tells what became of a table, behind everything that came before. */
  tell(change: SchemaChange): void {
    this.#ready.push(change)
  }

  async confirm(position: string): Promise<void> {
    this.#confirmed = position
  }

  async lag(signal: AbortSignal): Promise<CaptureLag> {
    const { target, sessions } = this.#parts
    const position = parsePosition(this.#confirmed)
    if (position === null) throw lost(target, `"${this.#confirmed}" is no position`)
    try {
      return await lagBehind(await sessions.control(signal), position, signal)
    } catch (error) {
      throw logError(error, target, this.#confirmed)
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#parts.dump.destroy()
    await this.#parts.sessions.close()
  }

  /** Does a piece of work; gives what may be given away after it. */
  async #step(): Promise<ChangeSlice | null> {
    const { dump, reader, builder, signal } = this.#parts
    const message = dump.take()
    if (message === null) return this.#wait()
    if (message.kind === 'error') throw refusal(message.error)
    if (message.kind === 'end') throw new Error('the server ended the sending of its log')
    const working = reader.read(message, signal)
    if (working !== null) await working
    if (builder.hasChanges) this.#since ??= this.#now()
    if (builder.bytes >= this.#sliceBytes) return this.#take()
    return this.#isQuiet() ? this.#take() : null
  }

  /** Everything that came is decoded: what is whole is given away after the linger. */
  async #wait(): Promise<ChangeSlice | null> {
    const { dump, builder, reader, signal } = this.#parts
    const mayGive = builder.hasChanges && !builder.isWithin
    const left = this.#since === null ? 0 : this.#since + this.#lingerMs - this.#now()
    if (mayGive && left <= 0) return this.#take()
    if (this.#isQuiet()) return this.#take()
    const hasMoved = !builder.isWithin && !builder.hasGivenPart && reader.done.offset !== this.#givenOffset
    const isFirst = this.#givenOffset === 0
    const untilMoved = Math.max(1, this.#givenAt + (isFirst ? QUIET_MS_MAX : MOVED_MS) - this.#now())
    const came = await dump.more(mayGive ? left : hasMoved ? untilMoved : FOREVER_MS, signal)
    return came || !(mayGive || hasMoved) ? null : this.#take()
  }

  #take(): ChangeSlice {
    const { reader, builder } = this.#parts
    const position = builder.isWithin ? null : positionText(reader.done)
    const slice = builder.take(position, reader.committedMicros)
    this.#since = null
    this.#givenOffset = reader.done.offset
    return slice
  }

  #isQuiet(): boolean {
    const { builder } = this.#parts
    return !builder.isWithin && !builder.hasGivenPart && this.#now() - this.#givenAt >= QUIET_MS_MAX
  }

  #now(): number {
    return this.#parts.env.clock.monotonicMs()
  }
}
