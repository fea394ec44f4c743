import { isUtf8 } from 'node:buffer'
import { buffersOf } from '../../../../core/batch.ts'
import type { BufferPool } from '../../../../core/buffer-pool.ts'
import type { ChangeSlice } from '../../../../core/change-slice.ts'
import type { Clock } from '../../../../core/env.ts'
import { fail, isNaruError, messageOf, systemCodeOf } from '../../../../core/errors.ts'
import type { CaptureLag, ChangeStream, LostTable, SchemaChange } from '../../contract-capture.ts'
import { sourceError } from '../errors.ts'
import type { Target } from '../target.ts'
import { BrokenStream } from './broken-stream.ts'
import type { ChangeDecoder } from './decoder.ts'
import type { Found } from './decoder-steps.ts'
import type { BufferedTransactions } from './buffered.ts'
import { parsePosition } from './position.ts'
import { NeedsText } from './relation.ts'
import { lost } from './slot.ts'
import type { Watch } from './watch.ts'
import type { ReplicationWire } from './wire.ts'

/** Between two signs of life that only move the position. */
const SIGN_MS = 1_000
/** The same while it is young: a run that has just opened it waits for where the log ends, and nothing else may come. */
const YOUNG_SIGN_MS = 50
const YOUNG_MS = 5_000
/** Longest silence of ours while the source is connected; the contract allows ten seconds. */
const SILENCE_MS = 5_000
/** A source that is so far ahead is not followed but caught up with: slices may fill. */
const BEHIND_MICROS = 1_000_000n
const BEHIND_LINGER_MS = 100
/** Of such a source bytes gather for a moment when there were fewer than these. */
const GATHER_BYTES = 16 * 1024
const GATHER_MS = 5

/** What an open stream is made of. */
export interface StreamParts {
  readonly wire: ReplicationWire
  readonly decoder: ChangeDecoder
  readonly buffered: BufferedTransactions
  readonly watch: Watch
  readonly pool: BufferPool
  readonly clock: Clock
  readonly target: Target
  readonly lingerMs: number
  readonly silenceMs: number
  readonly signal: AbortSignal
  /** The next stream must ask for text. */
  readonly needsText: () => void
  readonly closed: () => void
}

/** Changes from a replication slot. Everything happens within `next`, so that whoever does not ask is not flooded. */
export class LogStream implements ChangeStream {
  readonly #parts: StreamParts
  #given: ChangeSlice | null = null
  #givenMs: number
  #signMs: number
  readonly #openedMs: number
  #givenLsn: bigint
  #readyMs: number | null = null
  #isHeard = false
  #isClosed = false
  #running: Promise<unknown> = Promise.resolve()
  readonly #onAbort = (): void => this.#parts.wire.wake()

  constructor(parts: StreamParts) {
    this.#parts = parts
    this.#givenMs = parts.clock.monotonicMs()
    this.#openedMs = this.#givenMs
    this.#signMs = this.#givenMs - SIGN_MS
    // The first sign of life says that the stream runs: it is given as soon as the source is heard.
    this.#givenLsn = -1n
    parts.signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  next(): Promise<ChangeSlice | SchemaChange> {
    const next = this.#next().catch(error => {
      throw streamError(error, this.#parts.target)
    })
    this.#running = next.catch(() => undefined)
    return next
  }

  async confirm(position: string): Promise<void> {
    const { wire, target } = this.#parts
    const parsed = parsePosition(position)
    if (parsed === null) throw lost(target, `"${position}" is no position of a log of PostgreSQL`)
    wire.confirm(parsed.lsn)
  }

  lag(signal: AbortSignal): Promise<CaptureLag> {
    return this.#parts.watch.lag(signal)
  }

  get lost(): readonly LostTable[] {
    return this.#parts.watch.lost
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#parts.closed()
    const { wire, buffered, watch, signal } = this.#parts
    signal.removeEventListener('abort', this.#onAbort)
    await wire.close()
    await this.#running
    await watch.close()
    await buffered.close().catch(() => undefined) // the next stream empties the folder
  }

  async #next(): Promise<ChangeSlice | SchemaChange> {
    this.#recycle()
    const { clock } = this.#parts
    const began = clock.monotonicMs()
    for (;;) {
      this.#assertAlive()
      const found = this.#step()
      switch (found.kind) {
        case 'slice':
          return this.#give(found.slice)
        case 'schema':
          return found.change
        case 'more': {
          const gone = this.#gone()
          if (gone !== null) return gone
          const slice = await this.#more(found.bytes, began)
          if (slice !== null) return slice
          break
        }
        default:
          await this.#act(found)
      }
    }
  }

  /** A table that was dropped, or that the log does not tell rightly any more, once everything before it was given. */
  #gone(): SchemaChange | null {
    const { decoder, watch } = this.#parts
    const gone = decoder.isIdle ? watch.takeGone() : null
    return gone === null ? null : decoder.gone(gone)
  }

  async #act(found: Exclude<Found, { readonly kind: 'slice' | 'schema' | 'more' }>): Promise<void> {
    const { decoder, buffered, wire, watch, signal } = this.#parts
    switch (found.kind) {
      case 'started':
        return
      case 'keepalive':
        this.#isHeard = true
        if (found.isReplyWanted) wire.tell(false)
        return
      case 'types':
        decoder.types = await watch.types(signal)
        return
      case 'spill':
        return buffered.spill()
      case 'replay':
        return decoder.replay(await buffered.next(found.xid))
      case 'failed':
        throw Object.assign(new Error(found.error.message), { code: found.error.code })
      case 'ended':
        throw new Error('Connection terminated: the server ended the stream')
    }
  }

  /** Takes what has come, or waits for it; a slice when one is due before. */
  async #more(bytes: number, began: number): Promise<ChangeSlice | null> {
    const { wire, decoder, clock, silenceMs } = this.#parts
    const chunk = wire.take(bytes)
    if (chunk !== null) {
      decoder.feed(chunk)
      if (chunk.length < GATHER_BYTES && decoder.behindMicros > BEHIND_MICROS) wire.gather(GATHER_MS)
      return null
    }
    if (wire.error !== null) throw wire.error
    const now = clock.monotonicMs()
    const due = this.#dueMs(now)
    if (due <= now) return this.#give(decoder.cut())
    await wire.wait(Math.min(due - now, SILENCE_MS))
    this.#assertAlive()
    if (!wire.hasBytes && clock.monotonicMs() - Math.max(began, wire.heardMs) > silenceMs) {
      throw new Error(`timeout expired: nothing came for ${silenceMs} ms`)
    }
    return null
  }

  /** When the next slice is due although nothing more comes. */
  #dueMs(now: number): number {
    const { decoder, lingerMs } = this.#parts
    if (decoder.isReady) {
      const linger = decoder.behindMicros > BEHIND_MICROS ? Math.max(lingerMs, BEHIND_LINGER_MS) : lingerMs
      return (this.#readyMs ??= now) + linger
    }
    if (!this.#isHeard) return Infinity
    const signMs = now - this.#openedMs < YOUNG_MS ? YOUNG_SIGN_MS : SIGN_MS
    if (decoder.isIdle && decoder.lsn > this.#givenLsn) return this.#signMs + signMs
    return this.#givenMs + SILENCE_MS
  }

  #give(slice: ChangeSlice): ChangeSlice {
    const { decoder, clock } = this.#parts
    this.#given = slice
    this.#givenMs = clock.monotonicMs()
    if (slice.tables.length === 0) this.#signMs = this.#givenMs
    this.#givenLsn = decoder.lsn
    this.#readyMs = null
    this.#isHeard = false
    return slice
  }

  #recycle(): void {
    for (const { rows } of this.#given?.tables ?? []) this.#parts.pool.give(buffersOf(rows))
    this.#given = null
  }

  #step(): Found {
    try {
      return this.#parts.decoder.step()
    } catch (error) {
      if (error instanceof NeedsText) this.#parts.needsText()
      throw error
    }
  }

  #assertAlive(): void {
    const { signal, watch } = this.#parts
    if (signal.aborted) throw fail('CANCELLED', { what: 'reading changes' }, { cause: signal.reason })
    if (watch.error !== null) throw watch.error
  }
}

/** Server errors after which a position is of no use any more: log that was removed, a slot or a publication that is gone. */
const LOST =
  /requested WAL segment .* has already been removed|can no longer (?:get|access)|invalidat|publication ".*" does not exist|replication slot ".*" does not exist/

/** Turns whatever ended a stream into an error of the table. */
export function streamError(error: unknown, target: Target): Error {
  if (isNaruError(error)) return error
  const { source, address } = target
  const problem = messageOf(error)
  if (error instanceof BrokenStream || error instanceof RangeError) {
    return fail('SOURCE_PROTOCOL', { source, address, problem }, { cause: error })
  }
  if (error instanceof NeedsText) return fail('SOURCE_READ', { source, table: 'its log', problem }, { cause: error })
  if (systemCodeOf(error) !== undefined && LOST.test(problem)) return lost(target, problem)
  return sourceError(error, target, 'its log')
}

/** How texts are looked at: a database in SQL_ASCII takes any bytes, all others vouch for them. */
export function textCheck(encoding: string): ((bytes: Buffer) => boolean) | null {
  return encoding === 'SQL_ASCII' ? isUtf8 : null
}
