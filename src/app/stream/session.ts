import { errorTold, fail, isNaruError, toldError, type NaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import { knownError } from '../../core/known-error.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { readingOf, type Extracted } from '../../etl/interface/index.ts'
import { abandonOpen, findOpenLoad } from '../../run/loads.ts'
import { imageHasRows } from '../../run/layouts.ts'
import { rememberedTable } from '../../run/remembered-columns.ts'
import { readStopped } from '../../run/stopped.ts'
import { forgetLeftOut, readStreamPlace, writeStreamPlaces, type StreamPlace } from '../../run/streams.ts'
import type { RunInfo } from '../../run/context.ts'
import type { Captures } from '../../services/adapter/contract-capture.ts'
import type { Adapter, ReadsTables, Snapshot } from '../../services/adapter/contract.ts'
import type { Bus, Topic } from '../../services/bus/contract.ts'
import type { Engine, Transaction } from '../../services/engine/contract.ts'
import { diskWatch, type DiskWatch } from '../disk.ts'
import { openSource, type StoppedTable } from '../extract.ts'
import { isOfSource, stopsTable } from '../faults.ts'
import type { OpenProject } from '../project.ts'
import type { AdapterImplementation } from '../registry.ts'
import { ownerOf, rememberStream } from './installed.ts'
import { hasOtherColumns } from './land.ts'
import { lostLog } from './lost-log.ts'
import { spillDirOf, startReader, stoppedReader, type StreamReader } from './reader.ts'
import { capturedTable, capturesOf, topicOf, type StreamDef } from './streams.ts'

/** Bytes that a topic of changes keeps beyond what its slowest reader needs. */
export const keepBytes = 64 * 1024 * 1024

/** The reader of a topic that the engine is. */
const engineReader = 'engine'

/** A table of a stream on its way into the engine. */
export interface StreamTable {
  readonly config: SourceTableDef
  /** With the columns that earlier loads took in. */
  known: SourceTableDef
  /** `null` until its place is noted. */
  at: StreamPlace | null
  /** The load of its changes in the run that goes on. */
  load: { readonly run: bigint; readonly load: bigint; readonly lines: bigint } | null
  /** Its first load, when that is complete and waits to be published with the changes since. */
  extracted: Extracted | null
  /** Of rows that nobody sees yet: what the views have that they were read in, and of an append log the lines that it has so far. */
  hidden: { readonly sees: (transaction: bigint) => boolean; lines: bigint } | null
  /** Every key of it has its right value with the changes up to its place. */
  isCaughtUp: boolean
  /** Why it goes no further. */
  stopped: Error | null
}

/** A stream that is being read. */
export interface OpenStream {
  readonly def: StreamDef
  readonly adapter: Adapter
  readonly captures: Captures
  readonly topic: Topic
  readonly reader: StreamReader
  readonly tables: readonly StreamTable[]
  /** Ends the reader and the connections of the source. Never throws. */
  close(): Promise<void>
}

export interface StreamsGiven {
  readonly open: Pick<OpenProject, 'project' | 'secret' | 'configDir' | 'stateDir' | 'env'>
  /** The same for all streams of a session; one of its own unless given. */
  readonly disk?: DiskWatch
  readonly engine: Engine
  readonly bus: Bus
  readonly emit: Emit
  readonly signal: AbortSignal
  /** How often a reader connects again in a row; for ever unless given. */
  readonly retries?: number
  readonly adapters?: Readonly<Record<string, AdapterImplementation>> | undefined
}

/**
 * Opens a stream and starts its reader. The tables of `def` share the reader; where each is comes from the engine. When the
 * durable log is not the one that the engine has read from (`STREAM_LOG_GONE`), the reader is stopped from the beginning:
 * nothing is read or confirmed, so that whoever has the log can still bring it back.
 */
export async function openStream(given: StreamsGiven, def: StreamDef): Promise<OpenStream> {
  const { open, engine, bus, emit, signal } = given
  const name = topicOf(def)
  const wasThere = (await bus.topics()).includes(name)
  const topic = await bus.openTopic(name, { keepBytes })
  let adapter: Adapter | null = null
  // An empty one beside the files that are brought back would be one log too many, and at the next start no new one.
  const leaveEmpty = async (): Promise<void> => {
    if (wasThere) return
    await bus.removeTopic(name).catch((error: unknown) => {
      const { message: problem, code } = knownError(error)
      const text = `the durable log ${name} was made just now and is empty; it could not be removed: ${problem}`
      emit({ kind: 'note', level: 'warn', text, code, cause: problem })
    })
  }
  try {
    const { tables, lost } = await engine.transaction(signal, async tx => {
      await leaveOut(tx, def, emit)
      return {
        tables: await Promise.all(def.tables.map(table => streamTable(tx, table))),
        lost: await lostIn(tx, def),
      }
    })
    const logGone = await lostLog(topic, { def, tables })
    const opened = await openSource(open, def.source, given.adapters)
    adapter = opened
    const captures = capturesOf(opened, def)
    if (logGone !== null) {
      for (const table of tables) table.stopped = logGone
      const close = async (): Promise<void> => {
        await opened.close()
        await leaveEmpty()
      }
      return { def, adapter, captures, topic, reader: stoppedReader(open.env, logGone), tables, close }
    }
    await findNewColumns(opened, tables, signal)
    const owner = await ownerOf(open, def.source.name)
    const asked = tables.map(table => ({ ...capturedTable(table.known), isFollowed: table.at !== null, owner }))
    const reader = await startReader({
      env: open.env,
      emit,
      source: def.source.name,
      captures,
      topic,
      tables: asked,
      lost,
      installed: position => rememberStream(open, { def, adapter: opened, captures, tables: asked }, position),
      disk: given.disk ?? diskWatch(open),
      spillDir: spillDirOf(open.stateDir, name),
      ...(given.retries === undefined ? {} : { retries: given.retries }),
    })
    const stopLost = (): void => {
      const now = reader.status().lost
      for (const table of tables) table.stopped ??= now.get(table.config.name) ?? null
    }
    reader.onChange(stopLost)
    stopLost()
    const close = async (): Promise<void> => {
      await reader.stop()
      await opened.close()
    }
    return { def, adapter, captures, topic, reader, tables, close }
  } catch (error) {
    await adapter?.close()
    await leaveEmpty()
    throw error
  }
}

/** Tables that were found to be given no more: somebody may have put them back, but not the changes between. */
async function lostIn(tx: Transaction, { source, tables }: StreamDef): Promise<ReadonlyMap<string, NaruError>> {
  const stopped = (await readStopped(tx)).filter(it => it.code === 'STREAM_TABLE_LOST')
  return new Map(
    tables.flatMap(({ name }) => {
      const found = stopped.find(it => it.table === `${source.name}.${name}`)
      if (found === undefined) return []
      const error = fail('STREAM_TABLE_LOST', { source: source.name, table: name, problem: '' })
      return [[name, errorTold({ ...toldError(error), message: found.text })]]
    }),
  )
}

async function leaveOut(tx: Transaction, { source, technique, tables }: StreamDef, emit: Emit): Promise<void> {
  const names = tables.map(table => table.name)
  for (const name of await forgetLeftOut(tx, { source: source.name, technique, tables: names })) {
    const text = `${source.name}.${name} is in the configuration no more: its changes are not followed, and should it come back, it is read again`
    emit({ kind: 'note', level: 'warn', text, code: 'STREAM_TABLE_LEFT' })
  }
}

/** Rows of other columns than those that are asked for now, or chosen by another condition, lack some: such a table is new to its stream. */
async function streamTable(tx: Transaction, config: SourceTableDef): Promise<StreamTable> {
  const known = await rememberedTable(tx, config)
  const at = await readStreamPlace(tx, config)
  return {
    config,
    known,
    at: at !== null && (await hasRowsFor(tx, known, at)) ? at : null,
    load: null,
    extracted: null,
    hidden: null,
    isCaughtUp: false,
    stopped: null,
  }
}

/** A first load that is not done tells by its own layout; where none is open nothing was read yet, and a new place loses nothing. */
async function hasRowsFor(tx: Transaction, known: SourceTableDef, { state }: StreamPlace): Promise<boolean> {
  return state === 'live' ? imageHasRows(tx, known) : (await findOpenLoad(tx, known))?.fits === true
}

/**
 * A contract that takes new columns in wants them from the stream as well, from the first change on. Columns that are new, or
 * back, in a table that is there already have to be read for its rows: its place is forgotten.
 */
async function findNewColumns(adapter: Adapter, tables: readonly StreamTable[], signal: AbortSignal): Promise<void> {
  const evolving = tables.filter(
    ({ config, known }) => config.contract?.added === 'evolve' || (known.gone ?? []).length > 0,
  )
  if (evolving.length === 0 || adapter.tables === undefined) return
  const snapshot = await snapshotOrNothing(adapter.tables, signal)
  if (snapshot === null) return
  try {
    for (const table of evolving) {
      const wider = await widerTable(snapshot, table)
      if (!hasOtherColumns(wider, table.known, true)) continue
      table.known = wider
      table.at = null
    }
  } finally {
    await snapshot.close()
  }
}

/** A source that cannot be asked holds up no other: its reader meets the same, says so, and asks again. */
async function snapshotOrNothing(tables: ReadsTables, signal: AbortSignal): Promise<Snapshot | null> {
  try {
    return await tables.openSnapshot(signal)
  } catch (error) {
    if (!signal.aborted && isOfSource(error)) return null
    throw error
  }
}

/** What is wrong with the shape of a table is found by who reads it: it stops that table alone. */
async function widerTable(snapshot: Snapshot, { config, known }: StreamTable): Promise<SourceTableDef> {
  try {
    return readingOf(config, known, await snapshot.look(config.remote), null).table
  } catch (error) {
    if (stopsTable(error)) return known
    throw error
  }
}

/**
 * Notes the place of tables that the stream does not have yet: from here on every change of them is in the topic, and what
 * was before is for their first load to read. With `start: 'now'` nothing is read, and the table begins empty.
 */
export async function joinTables(
  given: StreamsGiven,
  stream: OpenStream,
  { tables, run }: { readonly tables: readonly StreamTable[]; readonly run: RunInfo },
): Promise<void> {
  const { engine, signal, emit, open } = given
  const joining = tables.filter(table => table.at === null)
  if (joining.length === 0) return
  const place = await stream.reader.opened(signal)
  const { position } = stream.reader.status()
  open.env.crash('stream.place.commit.before')
  await engine.transaction(signal, async tx => {
    for (const table of joining) {
      const isNow = 'start' in table.config.change && table.config.change.start === 'now'
      const at: StreamPlace = {
        log: stream.reader.log,
        place,
        sourcePosition: position,
        state: isNow ? 'live' : 'loading',
        committedMicros: null,
      }
      // What was read before its place is noted may lack changes that nobody gives again.
      await abandonOpen(tx, table.config)
      await writeStreamPlaces(tx, [{ table: table.config, at }], run.id)
      table.at = at
      const text = `${table.config.source}.${table.config.name}: begins with the changes from ${position ?? 'now'} on; the rows that are there already are not read`
      if (isNow) emit({ kind: 'note', level: 'warn', text, code: 'STREAM_FROM_NOW' })
    }
  })
  open.env.crash('stream.place.commit.after')
}

/** Lets the topic go of what every table has in a checkpoint of the engine, and nobody who reads a table again needs. */
export async function releaseTopic(stream: OpenStream, { held }: Pick<OpenProject, 'held'>): Promise<void> {
  const { topic, tables, reader } = stream
  if (reader.status().error !== null && isNaruError(reader.status().error, 'STREAM_LOG_GONE')) return
  const places = tables.map(table => table.at?.place).filter(place => place !== undefined)
  const needed = [...(held ?? [])].flatMap(it => (it.topic === topic.name ? [it.place] : []))
  const first = [...places, ...needed].toSorted((a, b) => topic.compare(a, b)).at(0)
  if (first !== undefined) await topic.keep(engineReader, first)
}

/** Tables of a stream that its source gives no changes of any more. */
export function lostTables({ tables, reader }: Pick<OpenStream, 'tables' | 'reader'>): readonly StoppedTable[] {
  const { lost } = reader.status()
  return tables.flatMap(({ config }) => {
    const error = lost.get(config.name)
    return error === undefined ? [] : [{ table: config, error }]
  })
}

/** True when rows of the table are visible and follow the stream. */
export function isLive(table: StreamTable): boolean {
  return table.at?.state === 'live' && table.stopped === null
}
