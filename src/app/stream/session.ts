import { isNaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { readingOf, type Extracted } from '../../etl/interface/index.ts'
import { abandonOpen, imageHasColumns, rememberedTable } from '../../run/loads.ts'
import { forgetLeftOut, readStreamPlace, writeStreamPlaces, type StreamPlace } from '../../run/streams.ts'
import type { RunInfo } from '../../run/context.ts'
import type { Captures } from '../../services/adapter/contract-capture.ts'
import type { Adapter, ReadsTables, Snapshot } from '../../services/adapter/contract.ts'
import type { Bus, Topic } from '../../services/bus/contract.ts'
import type { Engine, Transaction } from '../../services/engine/contract.ts'
import { diskWatch, type DiskWatch } from '../disk.ts'
import { openSource } from '../extract.ts'
import type { OpenProject } from '../project.ts'
import type { AdapterImplementation } from '../registry.ts'
import { tableFaults } from '../table-faults.ts'
import { spillDirOf, startReader, type StreamReader } from './reader.ts'
import { capturedTable, capturesOf, topicOf, type StreamDef } from './streams.ts'
import { lostLog, stoppedReader } from './trouble.ts'

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
  /** Of an append log whose rows nobody sees yet: the view that they were read in, and the lines that it has so far. */
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
  const tables = await engine.transaction(signal, async tx => {
    await leaveOut(tx, def, emit)
    return Promise.all(def.tables.map(table => streamTable(tx, table)))
  })
  const lost = await lostLog(topic, { source: def.source.name, tables })
  const adapter = await openSource(open, def.source, given.adapters)
  try {
    const captures = capturesOf(adapter, def)
    if (lost !== null) {
      for (const table of tables) table.stopped = lost
      const close = async (): Promise<void> => {
        await adapter.close()
        // An empty one beside the files that are brought back would be one log too many.
        if (!wasThere) await bus.removeTopic(name)
      }
      return { def, adapter, captures, topic, reader: stoppedReader(open.env, lost), tables, close }
    }
    await findNewColumns(adapter, tables, signal)
    const reader = await startReader({
      env: open.env,
      emit,
      source: def.source.name,
      captures,
      topic,
      tables: tables.map(table => ({ ...capturedTable(table.known), isFollowed: table.at !== null })),
      disk: given.disk ?? diskWatch(open),
      spillDir: spillDirOf(open.stateDir, name),
      ...(given.retries === undefined ? {} : { retries: given.retries }),
    })
    const close = async (): Promise<void> => {
      await reader.stop()
      await adapter.close()
    }
    return { def, adapter, captures, topic, reader, tables, close }
  } catch (error) {
    await adapter.close()
    throw error
  }
}

async function leaveOut(tx: Transaction, { source, technique, tables }: StreamDef, emit: Emit): Promise<void> {
  const names = tables.map(table => table.name)
  for (const name of await forgetLeftOut(tx, { source: source.name, technique, tables: names })) {
    const text = `${source.name}.${name} is in the configuration no more: its changes are not followed, and should it come back, it is read again`
    emit({ kind: 'note', level: 'warn', text, code: 'STREAM_TABLE_LEFT' })
  }
}

/** Rows of other columns than those that are asked for now have no values for them: such a table is new to its stream. */
async function streamTable(tx: Transaction, config: SourceTableDef): Promise<StreamTable> {
  const known = await rememberedTable(tx, config)
  const at = await readStreamPlace(tx, config)
  return {
    config,
    known,
    at: at?.state !== 'live' || (await imageHasColumns(tx, known)) ? at : null,
    load: null,
    extracted: null,
    hidden: null,
    isCaughtUp: false,
    stopped: null,
  }
}

/**
 * A contract that takes new columns in wants them from the stream as well, from the first change on. Columns that are new
 * to a table that is there already have to be read for its rows: its place is forgotten.
 */
async function findNewColumns(adapter: Adapter, tables: readonly StreamTable[], signal: AbortSignal): Promise<void> {
  const evolving = tables.filter(table => table.config.contract?.added === 'evolve')
  if (evolving.length === 0 || adapter.tables === undefined) return
  const snapshot = await snapshotOrNothing(adapter.tables, signal)
  if (snapshot === null) return
  try {
    for (const table of evolving) {
      const wider = await widerTable(snapshot, table)
      const isWider = wider.columns.some(column => !table.known.columns.some(it => it.name === column.name))
      if (!isWider) continue
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
    if (!signal.aborted && isNaruError(error) && /^SOURCE_|^DEADLINE$/.test(error.code)) return null
    throw error
  }
}

/** What is wrong with the shape of a table is found by who reads it: it stops that table alone. */
async function widerTable(snapshot: Snapshot, { config, known }: StreamTable): Promise<SourceTableDef> {
  try {
    return readingOf(config, known, await snapshot.look(config.remote), null).table
  } catch (error) {
    if (isNaruError(error) && tableFaults.includes(error.code)) return known
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
export async function keepPlaces(stream: OpenStream, { held }: Pick<OpenProject, 'held'>): Promise<void> {
  const { topic, tables, reader } = stream
  if (reader.status().error !== null && isNaruError(reader.status().error, 'STREAM_LOG_GONE')) return
  const places = tables.map(table => table.at?.place).filter(place => place !== undefined)
  const needed = [...(held ?? [])].flatMap(it => (it.topic === topic.name ? [it.place] : []))
  const first = [...places, ...needed].toSorted((a, b) => topic.compare(a, b)).at(0)
  if (first !== undefined) await topic.keep(engineReader, first)
}

/** True when rows of the table are visible and follow the stream. */
export function isLive(table: StreamTable): boolean {
  return table.at?.state === 'live' && table.stopped === null
}
