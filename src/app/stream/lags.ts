import { withDeadline, type Env } from '../../core/env.ts'
import type { Emit } from '../../core/events.ts'
import { knownError } from '../../core/known-error.ts'
import type { CaptureLag, Refused } from '../../services/adapter/contract-capture.ts'
import { percentilesOf, type Percentiles } from '../percentiles.ts'
import type { OpenStream } from './session.ts'
import { alarmOf, dropped, guardingOf, type Guarding } from './guard.ts'

/** How often a source is asked what it keeps for us. */
const askMs = 5_000
/** Longest wait for its answer. */
const answerMs = 10_000
/** Answers that the percentiles are of: the last hour. */
const windowSize = 720

/** What is known of one stream. */
interface Known {
  lag: CaptureLag | null
  readonly bytes: number[]
  readonly tables: Map<string, number[]>
  isAlarm: boolean
  isPaused: boolean
  /** What the guard is to remove, and could not. */
  isLeft: boolean
  /** The guard has removed it: nothing is kept any more. */
  isDropped: boolean
  /** It does not answer, which was told. */
  isSilent: boolean
  /** Answers to senders of which it was told. */
  readonly refusals: Set<number>
}

interface Asking {
  readonly env: Env
  readonly emit: Emit
  readonly signal: AbortSignal
  /** In a run the stream is read to its end anyway: nothing is paused for it. */
  readonly isRun?: boolean
}

/**
 * What sources keep for us, asked from time to time, also while their reader is not connected: their disks fill when we do not
 * come along. What is too much is told, once, and guarded as the config of the source says.
 */
export class Lags {
  readonly #known = new Map<string, Known>()

  /** As the source said last; `null` before that. */
  of(stream: OpenStream): CaptureLag | null {
    return this.#of(stream).lag
  }

  /** Bytes that the source kept for us, over the last answers. */
  percentiles(stream: OpenStream): Percentiles | null {
    return percentilesOf(this.#of(stream).bytes)
  }

  /** Bytes that a table of the stream has yet to take, over the same time: of the source, and of the durable log. */
  ofTable(stream: OpenStream, table: string): Percentiles | null {
    return percentilesOf(this.#of(stream).tables.get(table) ?? [])
  }

  /** The last of them; `null` before there is one. */
  nowOfTable(stream: OpenStream, table: string): number | null {
    return this.#of(stream).tables.get(table)?.at(-1) ?? null
  }

  /** The guard lets nothing else be read of the source until its stream has caught up. */
  isPaused(source: string): boolean {
    return [...this.#known].some(([key, { isPaused }]) => isPaused && key.startsWith(`${source} `))
  }

  /** Asks until the signal ends it; `onFound` is called after each round. Never throws. */
  async keepAsking(
    given: Asking & { readonly streams: () => readonly OpenStream[]; readonly onFound: () => void },
  ): Promise<void> {
    const { env, signal } = given
    while (!signal.aborted) {
      for (const stream of given.streams()) await this.ask(stream, given)
      given.onFound()
      await env.clock.sleep(askMs, signal).catch(() => {})
    }
  }

  /** Asks once, and does what the config says about the answer. Never throws. */
  async ask(stream: OpenStream, asking: Asking): Promise<void> {
    const { env, signal, emit } = asking
    const { source } = stream.def
    const known = this.#of(stream)
    this.#tellRefusals(stream, known, emit)
    if (known.isLeft) return this.#remove(stream, known, asking)
    if (known.isDropped) return
    try {
      const limit = { what: `source "${source.name}"`, ms: answerMs, signal }
      const lag = await withDeadline(env, limit, until => lagOf(stream, until))
      // Where nobody can say it without a connection, the last answer stands.
      if (lag === null) return
      known.isSilent = false
      known.lag = lag
      noteBytes(stream, known, lag)
      const guarding = guardingOf(stream.def, lag, known.isPaused)
      this.#tell(stream, known, { lag, guarding, emit })
      await this.#guard(stream, known, { guarding, asking })
    } catch (error) {
      // A reader that is not connected tells itself why.
      if (signal.aborted || known.isSilent || stream.reader.status().state !== 'reading') return
      known.isSilent = true
      const { message, code } = knownError(error)
      const text = `source "${source.name}" does not say what it keeps for us: ${message}`
      emit({ kind: 'note', level: 'warn', text, code, cause: message })
    }
  }

  #tell(
    { def }: OpenStream,
    known: Known,
    { lag, guarding, emit }: { readonly lag: CaptureLag; readonly guarding: Guarding; readonly emit: Emit },
  ): void {
    const found = alarmOf(def, lag, guarding)
    // A reader that cannot go on says so itself, and from where on changes are missed.
    const alarm = found?.code === 'POSITION_LOST' ? null : found
    const wasAlarm = known.isAlarm
    known.isAlarm = alarm !== null
    if (alarm !== null && !wasAlarm) {
      emit({ kind: 'note', level: 'error', text: `${alarm.message}. ${alarm.fix}`, code: alarm.code })
    } else if (found === null && wasAlarm) {
      const text = `source "${def.source.name}" no longer keeps too much for us`
      emit({ kind: 'note', level: 'info', text, code: 'STREAM_LAG' })
    }
  }

  async #guard(
    stream: OpenStream,
    known: Known,
    { guarding, asking }: { readonly guarding: Guarding; readonly asking: Asking },
  ): Promise<void> {
    const { name } = stream.def.source
    const { emit, isRun = false } = asking
    const wasPaused = known.isPaused
    known.isPaused = guarding.kind === 'pause' && !isRun
    if (known.isPaused !== wasPaused) {
      const text = known.isPaused
        ? `source "${name}": the guard pauses whatever else is read of it, until its stream has caught up`
        : `source "${name}": its stream has caught up, and the guard lets it be read again`
      emit({ kind: 'note', level: 'warn', text, code: 'GUARD_PAUSED' })
    }
    if (guarding.kind !== 'drop') return
    const error = dropped(stream.def, guarding.problem, stream.reader.status().position)
    await stream.reader.stop(error)
    const text = `${error.message}. ${error.fix}`
    emit({ kind: 'note', level: 'error', text, code: error.code, cause: error.message })
    await this.#remove(stream, known, asking)
  }

  /** Removes what keeps the changes; what cannot be removed now is tried again at the next turn, and told once. */
  async #remove({ def, captures }: OpenStream, known: Known, { emit, signal }: Asking): Promise<void> {
    try {
      // Those that were left out of the config are told by themselves: they are nobody's to remove but a person's.
      const remotes = def.tables.map(table => table.remote)
      await captures.remove(signal, remotes)
      known.isLeft = false
      known.isDropped = true
    } catch (error) {
      if (!signal.aborted && !known.isLeft) {
        const { message, code } = knownError(error)
        const text = `source "${def.source.name}": the guard could not remove what keeps its changes (${def.technique}): ${message}; it is tried again`
        emit({ kind: 'note', level: 'error', text, code, cause: message })
      }
      known.isLeft = true
    }
  }

  /** Each kind of answer is told once: a sender that has the wrong key sends again and again. */
  #tellRefusals({ def, captures }: OpenStream, known: Known, emit: Emit): void {
    for (const { status, last } of captures.refused?.() ?? []) {
      if (known.refusals.has(status)) continue
      known.refusals.add(status)
      const text = `source "${def.source.name}" answers ${status} to a sender: ${last}; further ones are counted in naru status`
      emit({ kind: 'note', level: 'warn', text, code: 'EVENT_REFUSED' })
    }
  }

  #of({ def }: OpenStream): Known {
    const key = `${def.source.name} ${def.technique}`
    const known = this.#known.get(key) ?? {
      lag: null,
      bytes: [],
      tables: new Map(),
      isAlarm: false,
      isPaused: false,
      isLeft: false,
      isDropped: false,
      isSilent: false,
      refusals: new Set<number>(),
    }
    this.#known.set(key, known)
    return known
  }
}

function noteBytes({ tables, topic, reader }: OpenStream, known: Known, { bytes }: CaptureLag): void {
  if (bytes === null) return
  const note = (figures: number[], figure: number): void => {
    figures.push(figure)
    if (figures.length > windowSize) figures.shift()
  }
  note(known.bytes, Number(bytes))
  const { changed } = reader.status()
  // Behind the last change there are only signs of life, and nothing that a table has yet to take.
  const behind = (place: string): number =>
    changed !== null && topic.compare(place, changed) >= 0 ? 0 : topic.behind(place).bytes
  for (const { config, at } of tables) {
    if (at === null) continue
    const figures = known.tables.get(config.name) ?? []
    known.tables.set(config.name, figures)
    note(figures, Number(bytes) + behind(at.place))
  }
}

/** Over the stream's own connection where there is one, else over another. */
async function lagOf({ reader, captures }: OpenStream, signal: AbortSignal): Promise<CaptureLag | null> {
  const { position } = reader.status()
  return (await reader.lag(signal)) ?? (await captures.lag?.(position, signal)) ?? null
}

/** Answers that senders got instead of being taken. */
export function refusedOf({ captures }: OpenStream): readonly Refused[] {
  return captures.refused?.() ?? []
}
