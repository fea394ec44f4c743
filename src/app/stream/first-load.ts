import { fail, type NaruError } from '../../core/errors.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { firstChangeLine, type Extracted, type InterfaceContext } from '../../etl/interface/index.ts'
import { abandonOpen } from '../../run/loads.ts'
import type { Adapter, Snapshot } from '../../services/adapter/contract.ts'
import { applyChanges } from '../../etl/staging/index.ts'
import { stagingNames } from '../../run/tables.ts'
import { forgetStreamPlace, writeStreamPlaces, type StreamPlace } from '../../run/streams.ts'
import type { Position } from '../../services/bus/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { extractSource, type SourceExtract, type StoppedTable } from '../extract.ts'
import { takeChanges, type TakenTable } from './land.ts'
import { notingViews } from './read-again.ts'
import type { OpenStream, StreamTable } from './session.ts'
import { firstUnseen } from './unseen.ts'

/** Bytes of changes that are applied in one step while nobody sees the rows. */
const stepBytes = 16 * 1024 * 1024

/** Tables that were read as a whole. */
interface FirstLoads {
  /** With the changes up to here, every key of them has its right value. */
  readonly upTo: Position
  /** Tables that keep their last image, because their shape in the source is none that their contract takes. */
  readonly stopped: readonly StoppedTable[]
}

/**
 * Reads the tables whose place is noted and whose rows are not there: in chunks, each committed with its record, so that a
 * broken load goes on. Then the source is asked how far it is now: every chunk was read before that, so once the changes up
 * to there are applied every key has its right value. Gives the place in the topic that this takes, also for tables that
 * were read before and are not there yet; `null` when nothing is to be read, or the hours of the source are over.
 */
export async function loadTables(
  ctx: InterfaceContext,
  stream: OpenStream,
  tables: readonly StreamTable[],
): Promise<FirstLoads | null> {
  const loading = tables.filter(
    it => it.at !== null && it.at.state !== 'live' && it.extracted === null && it.stopped === null,
  )
  // What ended behind their reading is done again.
  const isLeft = tables.some(it => it.extracted !== null && !it.isCaughtUp)
  if (loading.length === 0 && !isLeft) return null
  const keyed = loading.filter(it => it.config.append !== true).map(it => it.config)
  const asked = { tables: keyed, range: null, chunkControls: false }
  const loads: Extracted[] = []
  const stopped: StoppedTable[] = []
  const add = (got: SourceExtract): void => {
    loads.push(...got.loads)
    stopped.push(...got.stopped)
  }
  const views: NonNullable<Snapshot['includes']>[] = []
  if (keyed.length > 0) add(await extractSource(ctx, notingViews(stream.adapter, views), stream.def.source, asked))
  for (const table of loading.filter(it => it.config.append === true)) add(await readLog(ctx, stream, table))
  for (const { table, error } of stopped) {
    const of = loading.find(it => it.config.name === table.name)
    if (of !== undefined) of.stopped = error
  }
  for (const load of loads) {
    const table = loading.find(it => it.config.name === load.table.name)
    if (table === undefined) continue
    table.extracted = load
    table.known = load.table
    if (table.config.append === true) continue
    if (views.length === 0) await noteView(stream.adapter, views, ctx.signal)
    if (views.length > 0) table.hidden = { sees: id => views.every(includes => includes(id)), lines: 0n }
  }
  if (loads.length === 0 && stopped.length === 0 && !isLeft) return null
  const head = await stream.captures.head(ctx.signal)
  return { upTo: await stream.reader.reached(head, ctx.signal), stopped }
}

/** A load that had all of its rows already was read in no view of now: any later one has what those had. */
async function noteView(
  adapter: Adapter,
  views: NonNullable<Snapshot['includes']>[],
  signal: AbortSignal,
): Promise<void> {
  const snapshot = await notingViews(adapter, views).tables?.openSnapshot(signal)
  await snapshot?.close()
}

/**
 * Reads a table without a key in one view, and notes which transactions the view has: by that, and not by keys, its rows and
 * its changes meet. What an earlier reading left is begun anew: its view is gone. Nothing is read under a view that does not
 * tell: that stops the table, and no other.
 */
async function readLog(ctx: InterfaceContext, stream: OpenStream, table: StreamTable): Promise<SourceExtract> {
  const { config, at } = table
  await ctx.commit(tx => abandonOpen(tx, config))
  const views: NonNullable<Snapshot['includes']>[] = []
  const asked = { tables: [config], range: null, chunkControls: false }
  const unable = fail('APPEND_UNABLE', { table: `${config.source}.${config.name}` })
  const reading = extractSource(ctx, notingViews(stream.adapter, views, unable), stream.def.source, asked)
  const got = await reading.catch((error: unknown) => {
    if (error !== unable) throw error
    return stoppedAlone(ctx, config, unable)
  })
  const sees = views.at(-1)
  if (got.loads.length === 0 || at === null || sees === undefined) return got
  const place = await firstUnseen(stream, at, it => !sees(it), ctx.signal)
  if (place === null) throw fail('RESYNC_CHANGED', { table: `${config.source}.${config.name}` })
  table.at = { ...at, place }
  table.hidden = { sees, lines: firstChangeLine }
  const text = `${config.source}.${config.name} has no key: it is an append log, in which each change of a row is a row; it is not compared with its source`
  ctx.emit({ kind: 'note', level: 'info', text, code: 'APPEND_LOG' })
  return got
}

function stoppedAlone(ctx: InterfaceContext, table: SourceTableDef, error: NaruError): SourceExtract {
  const text = `${error.message}; it is not read, and the others go on. ${error.fix}`
  ctx.emit({ kind: 'note', level: 'warn', text, code: error.code, cause: error.message })
  return { loads: [], waiting: [], stopped: [{ table, error }] }
}

/**
 * Applies the changes up to a place of the topic to rows that nobody sees yet, step by step: each commits with the place of
 * the table, so that a crash repeats at most a step. No history is kept of them: it begins when the table becomes visible.
 * When the table turns out to have columns that its rows were read without, or rows that no change tells of, its place and
 * its load are forgotten (`at` is `null` then): it is new to its stream, which is to be opened anew before it is read.
 */
export async function catchUp(
  ctx: InterfaceContext,
  stream: OpenStream,
  { table, upTo }: { readonly table: StreamTable; readonly upTo: Position },
): Promise<void> {
  while (table.at !== null && table.stopped === null && stream.topic.compare(table.at.place, upTo) < 0) {
    table.at = await ctx.commit(tx => catchUpStep({ ...ctx, tx }, stream, { table, upTo }))
  }
  if (table.at !== null) return
  table.extracted = null
  table.hidden = null
}

/** Gives where the table is then; `null` when it has to be read again. */
async function catchUpStep(
  ctx: InterfaceContext & { readonly tx: Transaction },
  stream: OpenStream,
  { table, upTo }: { readonly table: StreamTable; readonly upTo: Position },
): Promise<StreamPlace | null> {
  const { tx } = ctx
  const [taken] = await takeChanges(tx, {
    topic: stream.topic,
    log: stream.reader.log,
    tables: [hiddenTable(table)],
    upTo,
    bytes: stepBytes,
    signal: ctx.signal,
    emit: ctx.emit,
  })
  if (taken === undefined) return table.at
  if (taken.needsReload) {
    await abandonOpen(tx, table.config)
    await forgetStreamPlace(tx, table.config)
    ctx.env.crash('stream.step.commit.before')
    return null
  }
  if (taken.staged !== null) {
    const image = stagingNames(table.known).landing
    await applyChanges(ctx, { ...taken.staged, image, past: null })
  }
  table.stopped = taken.stopped
  if (table.config.append === true && table.hidden !== null && taken.lines > table.hidden.lines)
    table.hidden.lines = taken.lines
  const next = { ...taken.at, state: 'catching-up' as const }
  await writeStreamPlaces(tx, [{ table: table.config, at: next }], ctx.run.id)
  ctx.env.crash('stream.step.commit.before')
  return next
}

/** A table that nobody sees yet: its changes belong to the load that read it. */
export function hiddenTable({ config, known, at, extracted, hidden }: StreamTable): TakenTable {
  const load = extracted?.load ?? 0n
  if (at === null) throw fail('INTERNAL', { what: `${config.source}.${config.name} has no place in its stream` })
  const lines = hidden?.lines ?? 0n
  return { config, known, at, ...(hidden && { sees: hidden.sees }), load: () => Promise.resolve({ load, lines }) }
}
