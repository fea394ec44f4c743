import { isNaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import type { InterfaceContext } from '../../etl/interface/index.ts'
import type { Bus } from '../../services/bus/contract.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { openProjectBus } from '../bus.ts'
import { Lags } from '../live/lags.ts'
import type { OpenProject } from '../project.ts'
import type { StoppedTable } from '../extract.ts'
import type { AdapterImplementation } from '../registry.ts'
import type { SelectedSource } from '../run-project.ts'
import { catchUp, loadTables } from './first-load.ts'
import { drainStream, type Draining, type Steps } from './backlog.ts'
import {
  isLive,
  joinTables,
  keepPlaces,
  openStream,
  type OpenStream,
  type StreamsGiven,
  type StreamTable,
} from './session.ts'
import { streamsOf } from './streams.ts'
import type { Pass } from './tick.ts'
import { streamFaults } from './trouble.ts'

/** How often a run connects to the log of a source again when its adapter does not say. */
const retriesDefault = 3

/** The streams of one run: opened when they are drained, closed with the run. */
export interface RunStreams {
  readonly given: Omit<StreamsGiven, 'bus'> & { readonly open: OpenProject }
  readonly opened: OpenStream[]
  bus: Bus | null
  keepPlaces(): Promise<void>
  /** Never throws. */
  close(): Promise<void>
}

export function openRunStreams(given: {
  readonly open: OpenProject
  readonly engine: Engine
  readonly emit: Emit
  readonly signal: AbortSignal
  readonly adapters?: Readonly<Record<string, AdapterImplementation>>
}): RunStreams {
  const { open, engine, emit, signal, adapters } = given
  const streams: RunStreams = {
    given: { open, engine, emit, signal, adapters, retries: retriesDefault },
    opened: [],
    bus: null,
    keepPlaces: async () => {
      for (const stream of streams.opened) await keepPlaces(stream, open)
    },
    close: async () => {
      for (const stream of streams.opened) await stream.close()
      await streams.bus?.close()
    },
  }
  return streams
}

/** What a run takes of its streams. */
interface Drained {
  readonly passes: readonly Pass[]
  readonly stopped: readonly StoppedTable[]
}

/**
 * Reads the streams of the selected tables up to where their sources are now, into their topics, and loads the tables that are
 * new. What one transaction does not hold is taken by `steps` while the source is read on. Gives what is to be taken of each
 * topic in the transaction that ends the run: all of it without `steps`.
 */
export async function drainStreams(
  streams: RunStreams,
  ctx: InterfaceContext,
  selected: readonly SelectedSource[],
  steps?: Steps,
): Promise<Drained> {
  const draining: (Draining & { readonly unfit: readonly StoppedTable[] })[] = []
  const stopped: StoppedTable[] = []
  // The tables of a source share a stream, whichever of them are asked for.
  const wanted = new Set(streamsOf(selected.map(({ source, tables }) => ({ ...source, tables }))).map(keyOf))
  for (const def of streamsOf(selected.map(({ source }) => source)).filter(it => wanted.has(keyOf(it)))) {
    streams.bus ??= await openProjectBus(streams.given.open, ctx.emit)
    const given: StreamsGiven = { ...streams.given, bus: streams.bus }
    const stream = await openStream(given, def)
    streams.opened.push(stream)
    await new Lags().ask(stream, { env: streams.given.open.env, emit: ctx.emit, signal: ctx.signal, isRun: true })
    const asked = selected.find(({ source }) => source.name === def.source.name)?.tables ?? []
    const tables = stream.tables.filter(table => asked.some(it => it.name === table.config.name))
    try {
      const { state, error } = stream.reader.status()
      if (state === 'stopped' && error !== null) throw error
      await joinTables(given, stream, { tables, run: ctx.run })
      const loaded = await loadTables(ctx, stream, tables)
      draining.push({ stream, tables, head: await headOf(stream, ctx.signal), unfit: loaded?.stopped ?? [] })
    } catch (error) {
      stopped.push(...stoppedBy(error, tables))
    }
  }
  const passes: Pass[] = []
  for (const { unfit, ...one } of draining) {
    const { stream, tables } = one
    const fit = tables.filter(table => table.stopped === null)
    try {
      const isAlone = draining.length === 1 && tables.every(isLive)
      const upTo =
        steps === undefined
          ? await stream.reader.reached(one.head, ctx.signal)
          : await drainStream(one, { ...steps, isAlone: steps.isAlone && isAlone, signal: ctx.signal })
      for (const table of tables) if (table.extracted !== null) await catchUp(ctx, stream, { table, upTo })
      stopped.push(...unfit)
      // What stopped in a step is met once more, and told, by the transaction that ends the run.
      const going = fit.filter(it => (it.extracted === null ? it.at?.state === 'live' : isFit(it)))
      passes.push({ stream, tables: going, upTo, bytes: Infinity })
    } catch (error) {
      stopped.push(...stoppedBy(error, tables))
    }
  }
  return { passes, stopped }
}

/** Where the source is. What is not installed any more has no head, and the reader says why. */
async function headOf({ captures, reader }: OpenStream, signal: AbortSignal): Promise<string> {
  try {
    return await captures.head(signal)
  } catch (error) {
    if (isNaruError(error, 'CAPTURE_NOT_READY')) await reader.opened(signal)
    throw error
  }
}

/** The tables of a stream that only a person can mend: they stay as they are. Throws any other error. */
function stoppedBy(error: unknown, tables: OpenStream['tables']): readonly StoppedTable[] {
  if (!isNaruError(error) || !streamFaults.includes(error.code)) throw error
  for (const table of tables) table.stopped = error
  return tables.map(({ config }) => ({ table: config, error }))
}

function isFit({ at, stopped }: StreamTable): boolean {
  return at !== null && stopped === null
}

function keyOf({ source, technique }: ReturnType<typeof streamsOf>[number]): string {
  return `${source.name} ${technique}`
}
