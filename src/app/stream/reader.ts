import path from 'node:path'
import { bufferPool } from '../../core/buffer-pool.ts'
import { codes } from '../../core/codes.ts'
import type { Env } from '../../core/env.ts'
import { fail, isNaruError, type NaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import { knownError } from '../../core/known-error.ts'
import type { Position, Topic } from '../../services/bus/contract.ts'
import type { CapturedTable, CaptureLag, Captures, ChangeStream } from '../../services/adapter/contract-capture.ts'
import type { LiveTrouble } from '../live-status.ts'
import type { DiskWatch } from '../disk.ts'
import { decodeHead, encodeMessage, type MessageHead, type StreamMessage } from './message.ts'
import { troubleOf } from './trouble.ts'

/** Slices that wait for the disk at the same time: they share its writes. */
const inFlightMax = 8
/** Pause before the source is connected again, doubled up to the longest. */
const firstPauseMs = 500
const longestPauseMs = 30_000
/** How often it is looked whether there is space on the disk again. */
const spaceMs = 1_000

type Item = Awaited<ReturnType<ChangeStream['next']>>

/** What a reader is given. */
export interface ReaderGiven {
  readonly env: Env
  readonly emit: Emit
  /** Name of the source, for people. */
  readonly source: string
  readonly captures: Captures
  readonly topic: Topic
  readonly tables: readonly CapturedTable[]
  readonly spillDir: string
  /** How often it connects again in a row; for ever unless given. */
  readonly retries?: number
  /** The disk that the topic is on: nothing is read while it is nearly full. */
  readonly disk: DiskWatch
}

/** What a reader is doing, for people. */
export interface ReaderStatus {
  /** `stopped` without an error: somebody stopped it. */
  readonly state: 'connecting' | 'reading' | 'waiting' | 'stopped'
  readonly error: NaruError | null
  /** The same as the status of the server tells it, until it goes well again. */
  readonly trouble: LiveTrouble | null
  /** Position of the source that is in the durable log. */
  readonly position: string | null
  /** Position that the source was told it may forget. */
  readonly confirmed: string | null
  /** Everything up to this message of the topic ends whole transactions. */
  readonly complete: Position | null
  /** The same up to the newest message that is more than a sign of life. */
  readonly changed: Position | null
  /** Bytes that this reader has written, about up to `complete`. */
  readonly bytes: number
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
  const { env, topic, captures } = given
  const last = await topic.last()
  const newest: MessageHead | null = last === null ? null : decodeHead(last.value)
  const isSession = given.retries === undefined
  const log = newest?.log ?? env.random.uuid()
  const ending = new AbortController()
  // Memory of messages, used again once they are on disk.
  const pool = bufferPool()
  const listeners = new Set<() => void>()
  let stream: ChangeStream | null = null
  let openedAt: Position | null = null
  /** The source gave the stream at least once: before that a position says nothing of whether its changes come to us. */
  let isGiven = false
  let goesOn = newest?.goesOn ?? null
  let bytes = 0
  let status: ReaderStatus = {
    state: 'connecting',
    error: null,
    trouble: null,
    position: goesOn,
    confirmed: null,
    complete: null,
    changed: null,
    bytes: 0,
  }
  const set = (change: Partial<ReaderStatus>): void => {
    status = { ...status, ...change }
    for (const listener of listeners) listener()
  }

  const append = async (message: StreamMessage): Promise<Position> => {
    const value = encodeMessage(message, pool.take)
    const position = await topic.append([{ key: null, value }])
    if (message.kind === 'slice') pool.give([value.buffer as ArrayBuffer])
    env.crash('stream.append.after')
    bytes += value.byteLength
    return position
  }

  /** What was read of a transaction that is not whole comes again: said before anything that follows it. */
  const beginAgain = async (): Promise<string> => {
    const followed = given.tables.map(table => ({
      ...table,
      isFollowed: table.isFollowed === true || openedAt !== null,
    }))
    const position = await captures.install(followed, ending.signal)
    const from = goesOn ?? position
    goesOn = from
    const place = await append({ kind: 'opened', log, goesOn: from, tables: given.tables.map(table => table.name) })
    openedAt ??= place
    set({ complete: place, changed: place, position: from, bytes })
    return from
  }

  const readOn = async (): Promise<void> => {
    const from = await beginAgain()
    await env.files.mkdir(given.spillDir, { recursive: true })
    const request = { tables: given.tables, from, spillDir: given.spillDir }
    const opened = await captures.open(request, ending.signal)
    stream = opened
    isGiven = true
    try {
      set({ state: 'reading', error: null, trouble: null })
      await pump(opened)
    } catch (error) {
      // While there is no space the source stays connected, and whoever sends to it is answered.
      if (isNaruError(error, 'DISK_FULL') && isSession) await outlast(opened, error)
      throw error
    } finally {
      stream = null
      await opened.close()
    }
  }

  /** A session waits until there is space again; a run ends with the error. */
  const waitForSpace = async (from: ChangeStream): Promise<void> => {
    const { error } = await given.disk.look()
    if (error === null) return
    if (!isSession) throw error
    await outlast(from, error)
    from.hold?.(false)
    set({ state: 'reading', error: null, trouble: null })
  }

  /** At least one look long: a limit that the system does not tell of (a quota) is found out by trying. */
  const outlast = async (from: ChangeStream, error: NaruError): Promise<void> => {
    from.hold?.(true)
    const text = `source "${given.source}" waits for disk: ${error.message}`
    given.emit({ kind: 'note', level: 'warn', text, code: error.code })
    for (let isLow = true; isLow && !ending.signal.aborted;) {
      const trouble = troubleOf(env, error, { before: status.trouble, pauseMs: spaceMs })
      set({ state: 'waiting', error, trouble })
      await env.clock.sleep(spaceMs, ending.signal).catch(() => {})
      isLow = (await given.disk.look()).level !== 'well'
    }
    if (ending.signal.aborted) return
    given.emit({ kind: 'note', level: 'info', text: `source "${given.source}" is read again`, code: error.code })
  }

  /** Slices are written while the next one is read; the source hears of each when it is on disk. */
  const pump = async (from: ChangeStream): Promise<void> => {
    const failing = new AbortController()
    const inFlight = new Set<Promise<void>>()
    let order: Promise<void> = Promise.resolve()
    let hasChanges = false
    const kept = async (item: Item, written: Promise<Position>, before: Promise<void>): Promise<void> => {
      const [place] = await Promise.all([written, before])
      const { position } = item
      hasChanges ||= position === null || 'kind' in item || item.tables.length > 0
      if (position === null) return
      set({ complete: place, position, bytes, ...(hasChanges ? { changed: place } : {}) })
      hasChanges = false
      await from.confirm(position)
      env.crash('stream.confirm.after')
      set({ confirmed: position })
    }
    try {
      for (;;) {
        await waitForSpace(from)
        const item = await raced(from.next(), failing.signal, ending.signal)
        const { position } = item
        if (position !== null) goesOn = position
        const head = { log, goesOn: goesOn as string }
        const written = append(
          'kind' in item ? { ...head, kind: 'schema', change: item } : { ...head, kind: 'slice', slice: item },
        )
        const before = order
        order = kept(item, written, before)
        const done = order.catch((error: unknown) => failing.abort(error)).finally(() => inFlight.delete(done))
        inFlight.add(done)
        while (inFlight.size >= inFlightMax) await Promise.race(inFlight)
      }
    } finally {
      await Promise.all(inFlight)
    }
  }

  const stopFor = (error: NaruError): void => {
    const trouble = troubleOf(env, error, { before: status.trouble, pauseMs: null })
    set({ state: 'stopped', error, trouble })
  }

  const run = async (): Promise<void> => {
    let lastCode: string | null = null
    for (let failed = 0; ; failed++) {
      const before = status.position
      try {
        return await readOn()
      } catch (error) {
        if (ending.signal.aborted) return
        const known = knownError(error)
        if (status.position !== before) failed = 0
        // Whoever waits for nothing may wait until a password is put right; often asked, an account would be locked.
        const isLogin = known.code === 'SOURCE_LOGIN' && isSession
        const isSpace = known.code === 'DISK_FULL' && isSession
        // What was read and is not in the topic is read again: the newest message says where.
        if (isSpace) goesOn = await placeOf(topic)
        if (!(isSpace || isLogin || mayPass(known)) || failed >= (given.retries ?? Infinity)) {
          return stopFor(known)
        }
        const pauseMs = isLogin ? longestPauseMs : Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failed, 10))
        set({ state: 'waiting', error: known, trouble: troubleOf(env, known, { before: status.trouble, pauseMs }) })
        const isNew = failed === 0 || known.code !== lastCode
        lastCode = known.code
        const text = `source "${given.source}": ${known.message}; connecting again, first in ${(pauseMs / 1000).toFixed(1)} s`
        if (isNew) given.emit({ kind: 'note', level: 'warn', text, code: known.code })
        await env.clock.sleep(pauseMs, ending.signal).catch(() => {})
        if (ending.signal.aborted) return
        set({ state: 'connecting' })
      }
    }
  }

  const running = run().catch((error: unknown) => set({ state: 'stopped', error: knownError(error) }))

  const until = <T>(get: () => T | null, signal: AbortSignal): Promise<T> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const value = get()
        if (value !== null) done(() => resolve(value))
        else if (status.state === 'stopped') done(() => reject(status.error ?? (ending.signal.reason as NaruError)))
        else if (signal.aborted) done(() => reject(fail('CANCELLED', { what: `a wait for source "${given.source}"` })))
      }
      const done = (settle: () => void): void => {
        listeners.delete(check)
        signal.removeEventListener('abort', check)
        settle()
      }
      listeners.add(check)
      signal.addEventListener('abort', check, { once: true })
      check()
    })

  const isAt = (position: string): boolean =>
    isGiven && status.position !== null && openedAt !== null && captures.compare(status.position, position) >= 0

  return {
    log,
    status: () => status,
    opened: signal => until(() => (isGiven ? openedAt : null), signal),
    reached: (position, signal) => until(() => (isAt(position) ? status.complete : null), signal),
    grown: (to, signal) =>
      until(() => (isAt(to.position) || (isGiven && status.bytes >= to.bytes) ? status.complete : null), signal),
    onChange: listener => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    lag: async signal => (stream === null ? null : stream.lag(signal)),
    stop: async why => {
      ending.abort(fail('CANCELLED', { what: `the stream of source "${given.source}"` }))
      await stream?.close()
      await running
      if (why !== undefined) stopFor(why)
      // Who waits is told; why is no trouble of the source.
      else if (status.state !== 'stopped') set({ state: 'stopped', error: null })
    },
  }
}

async function placeOf(topic: Topic): Promise<string | null> {
  const last = await topic.last()
  return last === null ? null : decodeHead(last.value).goesOn
}

/** Errors of the source that may pass by themselves; a disk of ours that is full is not emptied by asking the source again. */
function mayPass(error: NaruError): boolean {
  return isNaruError(error) && codes[error.code].retry === 'later' && /^(SOURCE|CAPTURE)_|^DEADLINE$/.test(error.code)
}

/** The promise, or what aborts one of the signals first. */
async function raced<T>(promise: Promise<T>, ...signals: readonly AbortSignal[]): Promise<T> {
  const leaving = new AbortController()
  const aborted = new Promise<never>((_, reject) => {
    for (const signal of signals) {
      if (signal.aborted) reject(signal.reason as Error)
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true, signal: leaving.signal })
    }
  })
  promise.catch(() => {})
  try {
    return await Promise.race([promise, aborted])
  } finally {
    leaving.abort()
  }
}

/** Folder of a stream for what does not fit into memory. */
export function spillDirOf(stateDir: string, topic: string): string {
  return path.join(stateDir, 'spill', topic)
}
