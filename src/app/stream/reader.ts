import path from 'node:path'
import type { Env } from '../../core/env.ts'
import { fail, isNaruError, type NaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import { knownError } from '../../core/known-error.ts'
import type {
  CapturedTable,
  CaptureLag,
  Captures,
  ChangeStream,
  LostTable,
} from '../../services/adapter/contract-capture.ts'
import type { Position, Topic } from '../../services/bus/contract.ts'
import type { DiskWatch } from '../disk.ts'
import { mayPass } from '../faults.ts'
import { aboutSource, pauseOf } from '../retry.ts'
import { LogWriter, newestHead } from './log-writer.ts'
import { pump, type Kept } from './pump.ts'
import { idle, ReaderState, streamEnded, type ReaderStatus } from './reader-state.ts'
import { outlast, waitForSpace } from './space.ts'
import { troubleOf } from './trouble.ts'

/** Longest pause before the source is connected again. */
const longestPauseMs = 30_000

/** What a reader is given. */
export interface ReaderGiven {
  readonly env: Env
  readonly emit: Emit
  /** Name of the source, for people. */
  readonly source: string
  readonly captures: Captures
  readonly topic: Topic
  readonly tables: readonly CapturedTable[]
  /** Those of them that are not read, and why. */
  readonly lost?: ReadonlyMap<string, NaruError>
  readonly spillDir: string
  /** Called with what `install` gave, before anything of it is used. */
  readonly installed?: (position: string) => Promise<void>
  /** How often it connects again in a row; for ever unless given. */
  readonly retries?: number
  /** The disk that the topic is on: nothing is read while it is nearly full. */
  readonly disk: DiskWatch
}

/** Reads the changes of one source into its topic, and confirms to the source what is on disk there. */
export interface StreamReader {
  /** Name of the log: see `MessageHead`. */
  readonly log: string
  status(): ReaderStatus
  /** The place from which the changes of every table of this reader are in the topic. Throws what stopped the reader. */
  opened(signal: AbortSignal): Promise<Position>
  /** Resolves when the source was read to `position` (its own words). Throws what stopped the reader. */
  reached(position: string, signal: AbortSignal): Promise<Position>
  /** The same, or when it has written so many `bytes`, whichever is first. */
  grown(to: { readonly position: string; readonly bytes: number }, signal: AbortSignal): Promise<Position>
  /** Called after whatever changed the status. */
  onChange(listener: () => void): () => void
  lag(signal: AbortSignal): Promise<CaptureLag | null>
  /** Ends the connection, for this reason where there is one, and every wait. What was confirmed stays; never throws. */
  stop(why?: NaruError): Promise<void>
}

/**
 * Starts to read. Where it goes on is what the newest message of the topic says: there is no other record of it. After a
 * failure that may pass it pauses and connects again; any other one (`POSITION_LOST`) stops it, and the status says why.
 */
export async function startReader(given: ReaderGiven): Promise<StreamReader> {
  const newest = await newestHead(given.topic)
  return new SourceReader(given, new LogWriter(given.env, given.topic, newest))
}

/** Reads from when it is made until it is stopped, or stops by itself. */
class SourceReader implements StreamReader {
  readonly log: string
  readonly #given: ReaderGiven
  readonly #writer: LogWriter
  readonly #state: ReaderState
  readonly #ending = new AbortController()
  readonly #running: Promise<void>
  #stream: ChangeStream | null = null
  #openedAt: Position | null = null
  /** The source gave the stream at least once: before that a position says nothing of whether its changes come to us. */
  #isGiven = false

  constructor(given: ReaderGiven, writer: LogWriter) {
    this.#given = given
    this.#writer = writer
    this.log = writer.log
    this.#state = new ReaderState(given.source, {
      position: writer.goesOn,
      ...(given.lost === undefined ? {} : { lost: given.lost }),
    })
    this.#running = this.#run().catch((error: unknown) =>
      this.#state.set({ state: 'stopped', error: knownError(error) }),
    )
  }

  status(): ReaderStatus {
    return this.#state.now
  }

  onChange(listener: () => void): () => void {
    return this.#state.onChange(listener)
  }

  opened(signal: AbortSignal): Promise<Position> {
    return this.#state.until(() => (this.#isGiven ? this.#openedAt : null), signal)
  }

  reached(position: string, signal: AbortSignal): Promise<Position> {
    return this.#state.until(() => (this.#isAt(position) ? this.status().complete : null), signal)
  }

  grown({ position, bytes }: Parameters<StreamReader['grown']>[0], signal: AbortSignal): Promise<Position> {
    const isThere = (): boolean => this.#isAt(position) || (this.#isGiven && this.status().bytes >= bytes)
    return this.#state.until(() => (isThere() ? this.status().complete : null), signal)
  }

  async lag(signal: AbortSignal): Promise<CaptureLag | null> {
    return this.#stream === null ? null : this.#stream.lag(signal)
  }

  async stop(why?: NaruError): Promise<void> {
    this.#ending.abort(streamEnded(this.#given.source))
    await this.#stream?.close()
    await this.#running
    if (why !== undefined) this.#stopFor(why)
    // Who waits is told; why is no trouble of the source.
    else if (this.status().state !== 'stopped') this.#state.set({ state: 'stopped', error: null })
  }

  get #isSession(): boolean {
    return this.#given.retries === undefined
  }

  #isAt(position: string): boolean {
    const { position: now } = this.status()
    const isOpened = this.#isGiven && this.#openedAt !== null
    return isOpened && now !== null && this.#given.captures.compare(now, position) >= 0
  }

  /** Until it is stopped, or meets what does not pass, or has met too often in a row what may pass. */
  async #run(): Promise<void> {
    let lastCode: string | null = null
    for (let failed = 0; ; failed++) {
      const before = this.status().position
      try {
        return await this.#readOn()
      } catch (error) {
        if (this.#ending.signal.aborted) return
        const known = knownError(error)
        if (this.status().position !== before) failed = 0
        // What was read and is not in the topic is read again: the newest message says where.
        if (this.#isSpace(known)) await this.#writer.stepBack()
        const pauseMs = this.#pauseFor(known, failed)
        if (pauseMs === null) return this.#stopFor(known)
        const isNew = failed === 0 || known.code !== lastCode
        lastCode = known.code
        await this.#pause(known, pauseMs, isNew)
        if (this.#ending.signal.aborted) return
        this.#state.set({ state: 'connecting' })
      }
    }
  }

  /** Connects, and reads until that fails. */
  async #readOn(): Promise<void> {
    const { env, captures, spillDir, tables: all } = this.#given
    const from = await this.#beginAgain()
    await env.files.mkdir(spillDir, { recursive: true })
    const tables = all.filter(table => !this.status().lost.has(table.name))
    const stream = await captures.open({ tables, from, spillDir }, this.#ending.signal)
    this.#stream = stream
    this.#isGiven = true
    const space = { ...this.#given, state: this.#state, isSession: this.#isSession, signal: this.#ending.signal }
    try {
      this.#state.set({ state: 'reading', error: null, trouble: null })
      await pump(stream, {
        writer: this.#writer,
        ready: () => waitForSpace(space, stream),
        onKept: kept => this.#confirm(stream, kept),
        signal: this.#ending.signal,
      })
    } catch (error) {
      // While there is no space the source stays connected, and whoever sends to it is answered.
      if (isNaruError(error, 'DISK_FULL') && this.#isSession) await outlast(space, stream, error)
      throw error
    } finally {
      this.#stream = null
      await stream.close()
      this.#lose(stream.lost ?? [])
    }
  }

  /** What was read of a transaction that is not whole comes again: said before anything that follows it. */
  async #beginAgain(): Promise<string> {
    const { captures, installed } = this.#given
    const tables = await this.#tablesGiven()
    const position = await captures.install(tables, this.#ending.signal)
    await installed?.(position)
    const from = this.#writer.goesOn ?? position
    const place = await this.#writer.append({ kind: 'opened', tables: tables.map(table => table.name) }, from)
    this.#openedAt ??= place
    this.#state.set({ complete: place, changed: place, position: from, bytes: this.#writer.bytes })
    return from
  }

  /** The tables without those that the source gives no changes of any more. Throws why when none is left. */
  async #tablesGiven(): Promise<readonly CapturedTable[]> {
    const followed = this.#given.tables.map(table => ({
      ...table,
      isFollowed: table.isFollowed === true || this.#openedAt !== null,
    }))
    // Once lost is lost: what somebody puts back lacks the changes between.
    this.#lose((await this.#given.captures.lost?.(followed, this.#ending.signal)) ?? [])
    const { lost } = this.status()
    const tables = followed.filter(table => !lost.has(table.name))
    const [none] = tables.length === 0 ? lost.values() : []
    if (none !== undefined) throw none
    return tables
  }

  #lose(found: readonly LostTable[]): void {
    if (found.length === 0) return
    const { source } = this.#given
    const errors = found.map(
      ({ table, problem }) => [table, fail('STREAM_TABLE_LOST', { source, table, problem })] as const,
    )
    this.#state.set({ lost: new Map([...errors, ...this.status().lost]) })
  }

  /** The source hears of what is on disk. */
  async #confirm(stream: ChangeStream, { place, position, hasChanges }: Kept): Promise<void> {
    const { bytes } = this.#writer
    this.#state.set({ complete: place, position, bytes, ...(hasChanges ? { changed: place } : {}) })
    await stream.confirm(position)
    this.#given.env.crash('stream.confirm.after')
    this.#state.set({ confirmed: position })
  }

  #isSpace({ code }: NaruError): boolean {
    return code === 'DISK_FULL' && this.#isSession
  }

  /** Milliseconds before it connects again; `null` when it does not. */
  #pauseFor(error: NaruError, failed: number): number | null {
    const { env, retries = Infinity } = this.#given
    // Whoever waits for nothing may wait until a password is put right; often asked, an account would be locked.
    const isLogin = error.code === 'SOURCE_LOGIN' && this.#isSession
    // Opened again, it goes on without the table; while it was opened, none was left.
    const isOfTable = error.code === 'STREAM_TABLE_LOST' && this.status().state !== 'connecting'
    if (!(this.#isSpace(error) || isLogin || isOfTable || mayPass(error)) || failed >= retries) return null
    return isLogin ? longestPauseMs : pauseOf(env, failed, longestPauseMs)
  }

  async #pause(known: NaruError, pauseMs: number, isNew: boolean): Promise<void> {
    const { env, emit, source } = this.#given
    const trouble = troubleOf(env, known, { before: this.status().trouble, pauseMs })
    this.#state.set({ state: 'waiting', error: known, trouble })
    const text = `${aboutSource(source, known.message)}; connecting again, first in ${(pauseMs / 1000).toFixed(1)} s`
    if (isNew) emit({ kind: 'note', level: 'warn', text, code: known.code, cause: known.message })
    await env.clock.sleep(pauseMs, this.#ending.signal).catch(() => {})
  }

  #stopFor(error: NaruError): void {
    const trouble = troubleOf(this.#given.env, error, { before: this.status().trouble, pauseMs: null })
    this.#state.set({ state: 'stopped', error, trouble })
  }
}

/** The reader of a stream that must not be read: nothing is asked of its source, and nothing is confirmed. */
export function stoppedReader(env: Pick<Env, 'clock'>, error: NaruError): StreamReader {
  const trouble = troubleOf(env, error, { before: null, pauseMs: null })
  const refuse = (): Promise<never> => Promise.reject(error)
  return {
    log: '',
    status: () => ({ ...idle, state: 'stopped', error, trouble }),
    opened: refuse,
    reached: refuse,
    grown: refuse,
    onChange: () => () => {},
    lag: () => Promise.resolve(null),
    stop: () => Promise.resolve(),
  }
}

/** Folder of a stream for what does not fit into memory. */
export function spillDirOf(stateDir: string, topic: string): string {
  return path.join(stateDir, 'spill', topic)
}
