import { isNaruError } from '../../core/errors.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { Emit } from '../../core/events.ts'
import type { InterfaceContext } from '../../etl/interface/index.ts'
import type { Bus } from '../../services/bus/contract.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { openProjectBus } from '../bus.ts'
import { stopsStream, stopsTable } from '../faults.ts'
import { Lags } from './lags.ts'
import type { OpenProject } from '../project.ts'
import { needImage, noteStays, type StoppedTable } from '../extract.ts'
import type { AdapterImplementation } from '../registry.ts'
import type { SelectedSource } from '../selection.ts'
import { catchUp, loadTables } from './first-load.ts'
import { drainStream, type Draining, type Steps } from './backlog.ts'
import {
  isLive,
  joinTables,
  releaseTopic,
  lostTables,
  openStream,
  type OpenStream,
  type StreamsGiven,
  type StreamTable,
} from './session.ts'
import { streamsOf } from './streams.ts'
import type { Pass } from './tick.ts'

/** How often a run connects to the log of a source again when its adapter does not say. */
const retriesDefault = 3

/** The streams of one run: opened when they are drained, closed with the run. */
export interface RunStreams {
  readonly given: Omit<StreamsGiven, 'bus'> & { readonly open: OpenProject }
  readonly opened: OpenStream[]
  bus: Bus | null
  releaseTopics(): Promise<void>
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
    releaseTopics: async () => {
      for (const stream of streams.opened) await releaseTopic(stream, open)
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
 * topic in the transaction that ends the run.
 */
export async function drainStreams(
  streams: RunStreams,
  ctx: InterfaceContext,
  selected: readonly SelectedSource[],
  steps: Steps,
): Promise<Drained> {
  const draining: (Draining & { readonly unfit: readonly StoppedTable[] })[] = []
  const stopped: StoppedTable[] = []
  // The tables of a source share a stream, whichever of them are asked for.
  const wanted = new Set(streamsOf(selected.map(({ source, tables }) => ({ ...source, tables }))).map(keyOf))
  for (const def of streamsOf(selected.map(({ source }) => source)).filter(it => wanted.has(keyOf(it)))) {
    streams.bus ??= await openProjectBus(streams.given.open, ctx.emit)
    const given: StreamsGiven = { ...streams.given, bus: streams.bus }
    const asked = selected.find(({ source }) => source.name === def.source.name)?.tables ?? []
    const stream = await openStream(given, def).catch(async (error: unknown) => {
      stopped.push(
        ...(await heldBy(
          ctx,
          error,
          def.tables.filter(table => asked.some(it => it.name === table.name)),
        )),
      )
      return null
    })
    if (stream === null) continue
    streams.opened.push(stream)
    await new Lags().ask(stream, { env: streams.given.open.env, emit: ctx.emit, signal: ctx.signal, isRun: true })
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
      const upTo = await drainStream(one, { ...steps, isAlone: steps.isAlone && isAlone, signal: ctx.signal })
      for (const table of tables) {
        if (table.extracted === null) continue
        await catchUp(ctx, stream, { table, upTo })
        stopped.push(...(await stoppedInside(ctx, table)))
      }
      stopped.push(...unfit)
      // What stopped in a step is met once more, and told, by the transaction that ends the run.
      const lost = lostTables(stream).filter(({ table }) => tables.some(it => it.config === table))
      stopped.push(...lost)
      const left = fit.filter(it => !lost.some(({ table }) => table === it.config))
      const going = left.filter(it => (it.extracted === null ? it.at?.state === 'live' : isFit(it)))
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

/** A table that was read as a whole, and stopped at changes behind its rows, is in no pass that would tell of it. */
async function stoppedInside(
  ctx: InterfaceContext,
  { config: table, stopped: error }: StreamTable,
): Promise<readonly StoppedTable[]> {
  if (!stopsTable(error)) return []
  await needImage(ctx, table, error)
  noteStays(ctx.emit, { table, error })
  return [{ table, error }]
}

/** An application has the topic open: the tables of this stream stay as they are, if each has an image that stages go on with. Throws any other error. */
async function heldBy(
  ctx: InterfaceContext,
  error: unknown,
  tables: readonly SourceTableDef[],
): Promise<readonly StoppedTable[]> {
  if (!isNaruError(error, 'BUS_HELD')) throw error
  for (const table of tables) await needImage(ctx, table, error)
  return tables.map(table => ({ table, error }))
}

/** The tables of a stream that only a person can mend: they stay as they are. Throws any other error. */
function stoppedBy(error: unknown, tables: OpenStream['tables']): readonly StoppedTable[] {
  if (!stopsStream(error)) throw error
  for (const table of tables) table.stopped = error
  return tables.map(({ config }) => ({ table: config, error }))
}

function isFit({ at, stopped }: StreamTable): boolean {
  return at !== null && stopped === null
}

function keyOf({ source, technique }: ReturnType<typeof streamsOf>[number]): string {
  return `${source.name} ${technique}`
}
