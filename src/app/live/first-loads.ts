import { fail } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import type { InterfaceContext } from '../../etl/interface/index.ts'
import { noteStopped } from '../../run/stopped.ts'
import { catchUp, loadTables } from '../stream/first-load.ts'
import { joinTables, type OpenStream, type StreamsGiven } from '../stream/session.ts'
import { aboutSource } from '../retry.ts'
import { ToldOnce } from '../told-once.ts'

/** Pause before tables that could not be loaded are tried again. */
const loadPauseMs = 10_000

export interface FirstLoadsGiven {
  readonly streams: StreamsGiven
  /** What reads of tables are given, until the signal. */
  readonly reading: (signal: AbortSignal) => InterfaceContext
  /** Streams that are to be opened anew: a load adds its own when it finds columns that the stream was not opened with. */
  readonly wider: Set<OpenStream>
  /** Tables wait to be published, or a stream to be opened anew. */
  readonly onProgress: () => void
  /** One failed with what is not tried again. */
  readonly onFailed: (error: unknown) => void
}

/** The first loads of one stream. */
interface Loading {
  readonly done: Promise<void>
  /** Ends them: what is read so far stays, and who opens the stream again goes on with it. */
  readonly ending: AbortController
}

/** Loads what the streams of a session do not have yet, beside its ticks: the other tables go on. */
export class FirstLoads {
  readonly #given: FirstLoadsGiven
  readonly #loading = new Map<OpenStream, Loading>()

  constructor(given: FirstLoadsGiven) {
    this.#given = given
  }

  begin(stream: OpenStream): void {
    const ending = new AbortController()
    const signal = AbortSignal.any([this.#given.streams.signal, ending.signal])
    this.#loading.set(stream, { ending, done: this.#bringIn(stream, signal) })
  }

  /** Asks those of a stream to end, so that it can be closed; gives what waits for it. */
  end(stream: OpenStream): () => Promise<void> {
    const loading = this.#loading.get(stream)
    loading?.ending.abort(fail('CANCELLED', { what: `the first loads of source "${stream.def.source.name}"` }))
    this.#loading.delete(stream)
    return async () => loading?.done
  }

  /** Resolves when none is going any more: whoever waits has ended their signal. Never throws. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.#loading.values()].map(({ done }) => done))
  }

  /** Until every table is there, its stream is to be opened anew, or it stopped. Never throws. */
  async #bringIn(stream: OpenStream, signal: AbortSignal): Promise<void> {
    const { wider, streams, onProgress, onFailed } = this.#given
    const told = new ToldOnce()
    while (!signal.aborted) {
      try {
        await this.#load(stream, signal)
        onProgress()
        // With the stream as it is they would meet the same again.
        if (wider.has(stream) || !stream.tables.some(isLeft)) return
      } catch (error) {
        if (signal.aborted) return
        const known = knownError(error)
        // Why a reader stopped is its own state, and no reason for others to stop.
        if (stream.reader.status().error === known) return onProgress()
        if (known.retry !== 'later') return onFailed(error)
        const text = `${aboutSource(stream.def.source.name, known.message)}; its tables are loaded again every ${loadPauseMs / 1000} s`
        if (told.isNew(known.code))
          streams.emit({ kind: 'note', level: 'warn', text, code: known.code, cause: known.message })
      }
      told.endRound()
      await streams.open.env.clock.sleep(loadPauseMs, signal).catch(() => {})
    }
  }

  async #load(stream: OpenStream, signal: AbortSignal): Promise<void> {
    const { streams, reading, wider } = this.#given
    const ctx = reading(signal)
    await joinTables({ ...streams, signal }, stream, { tables: stream.tables, run: ctx.run })
    const loaded = await loadTables(ctx, stream, stream.tables)
    const stopped = loaded?.stopped ?? []
    if (stopped.length > 0) {
      const { project } = streams.open
      await ctx.commit(tx => noteStopped(tx, { project, run: ctx.run }, { loads: [], stopped }))
    }
    for (const table of stream.tables) {
      if (table.extracted === null || table.isCaughtUp || loaded === null) continue
      await catchUp(ctx, stream, { table, upTo: loaded.upTo })
      if (table.at === null) wider.add(stream)
      else table.isCaughtUp = true
    }
  }
}

function isLeft({ at, extracted, stopped }: OpenStream['tables'][number]): boolean {
  return at?.state !== 'live' && extracted === null && stopped === null
}
