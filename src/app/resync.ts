import { fail } from '../core/errors.ts'
import type { Emit } from '../core/events.ts'
import { microsText } from '../core/cell-text.ts'
import { ident, sql, type Sql } from '../core/sql.ts'
import type { SourceDef, SourceTableDef } from '../config/model.ts'
import { spareOthers, type InterfaceContext } from '../etl/interface/index.ts'
import { lastRun } from '../run/journal.ts'
import { readStopped } from '../run/stopped.ts'
import { findLoad } from '../run/loads.ts'
import { readStreamPlace, streamTechnique, type StreamPlace } from '../run/streams.ts'
import { columnList, equalKeys, stagingLayout, stagingNames } from '../run/tables.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { openSource } from './extract.ts'
import { giveSpaceBack } from './give-space-back.ts'
import type { OpenProject } from './project.ts'
import type { AdapterImplementation } from './registry.ts'
import {
  begin,
  cancelled,
  interfaceOf,
  prepare,
  publishAll,
  recordFailure,
  runOn,
  type RunOptions,
} from './run-project.ts'
import { requireSecrets } from './secrets.ts'
import { handOver } from './server/hand-over.ts'
import type { Alone } from './server/work.ts'
import { drainToldOnce, forgetStreams, isToldOnce } from './stream/forget.ts'
import { beginReadAgain, readAgain, type Part, type ReadAgain } from './stream/read-again.ts'
import { drainStreams, openRunStreams } from './stream/run-streams.ts'
import { stepsOf } from './stream/steps.ts'
import { streamsOf, topicOf, type StreamDef } from './stream/streams.ts'
import { dropTouched } from './stream/touched.ts'
import { writing } from './writing.ts'

/** What is to be read again. */
export interface ResyncRequest extends Part {
  /** `source`: the stream is installed anew and every table of it is read. `source.table`: the table, or a part of it. */
  readonly selector: string
}

export interface ResyncOptions extends ResyncRequest {
  readonly emit: Emit
  readonly signal: AbortSignal
  /** Other adapters than the package's own: for tests. */
  readonly adapters?: Readonly<Record<string, AdapterImplementation>>
  /** About how many bytes of a stream one transaction takes: what bounds its memory. */
  readonly stepBytes?: number
}

/** What differed in one table. */
export interface ResyncedTable {
  readonly table: string
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
  /** Keys that the stream changed while the table was read: they are as it says. `null` when nothing could be compared, because the table was emptied at once. */
  readonly touched: number | null
}

export interface Resynced {
  readonly run: bigint
  readonly tables: readonly ResyncedTable[]
  /** What no stream told, when it was installed anew; `null` otherwise. */
  readonly gap: string | null
}

/**
 * Reads tables of a stream again and compares them with what is here: what differs goes through every stage as inserts,
 * updates and deletes, in one publishing transaction. The table is never empty meanwhile, and broken off it changed
 * nothing. Repeating it finds nothing new. Handed to the server when one runs, which reads beside its ticks.
 */
export async function resync(open: OpenProject, options: ResyncOptions): Promise<Resynced> {
  const { emit, signal, selector, range, where } = options
  const { source } = askedOf(open, options)
  if (options.adapters === undefined) {
    const job = { kind: 'resync' as const, selector, ...(range && { range }), ...(where !== undefined && { where }) }
    const handed = await handOver(open, job, { emit, signal })
    if (handed !== null) return handed as Resynced
  }
  requireSecrets(open.secret, open.project, [source])
  return writing(open, { command: 'naru resync', signal, emit }, engine => resyncOn(open, engine, options, atOnce))
}

/** Nothing else writes: without a server. */
const atOnce: Alone = (_what, _signal, work) => work()

/** A resync on an engine that is open: `alone` does what must not meet a tick. */
export async function resyncOn(
  open: OpenProject,
  engine: Engine,
  options: ResyncOptions,
  alone: Alone,
): Promise<Resynced> {
  const { source, table } = askedOf(open, options)
  if (table === null) return resyncSource(open, engine, { source, options, alone })
  await refuseToldOnce(open, source, table, options)
  await engine.transaction(options.signal, tx => prepare(tx, engine))
  const held = open.held ?? new Set()
  const ctx = await readingContext(open, engine, options)
  const from = await beginReadAgain(ctx, table)
  if (from === null) return alone('naru resync', options.signal, () => runFor(open, engine, [table], options))
  const hold = { topic: topicOf({ source, technique: technique(table) }), place: from.place }
  held.add(hold)
  try {
    const adapter = await openSource(open, source, options.adapters)
    let again: ReadAgain
    try {
      again = await readAgain(ctx, adapter, { source, table, from, part: options })
    } finally {
      await adapter.close()
    }
    open.env.crash('resync.read.after')
    return await alone('naru resync', options.signal, () => compare(open, engine, { source, table, again, options }))
  } finally {
    held.delete(hold)
  }
}

interface Asked {
  readonly source: SourceDef
  readonly table: SourceTableDef | null
}

function askedOf({ project }: OpenProject, { selector, range, where }: ResyncRequest): Asked {
  const refuse = (problem: string): Error => fail('RESYNC_UNABLE', { asked: selector, problem })
  const isPart = range !== undefined || where !== undefined
  for (const source of project.sources) {
    const streamed = source.tables.filter(table => streamTechnique(table) !== null)
    if (source.name === selector) {
      if (isPart) throw refuse('a part is one of a table, written source.table')
      if (streamed.length === 0) throw refuse('it has no table that follows a stream')
      return { source, table: null }
    }
    const table = source.tables.find(it => `${source.name}.${it.name}` === selector)
    if (table === undefined) continue
    const how = table.change.technique
    if (table.append === true)
      throw refuse(`it has no key by which rows could be compared; naru resync ${source.name} begins its log anew`)
    if (streamTechnique(table) === null) throw refuse(`it is read by ${how}, and naru run reads it; a part with --from`)
    if (range !== undefined && where !== undefined) throw refuse('a part is a range or a condition, not both')
    return { source, table }
  }
  const names = project.sources.flatMap(it => [it.name, ...it.tables.map(table => `${it.name}.${table.name}`)])
  throw refuse(`the config has ${names.join(', ')}`)
}

/** Where events arrive there is nothing to read. */
async function refuseToldOnce(
  open: OpenProject,
  source: SourceDef,
  table: SourceTableDef,
  { adapters }: ResyncOptions,
): Promise<void> {
  const adapter = await openSource(open, source, adapters)
  await adapter.close()
  if (adapter.tables === undefined) throw fail('RESYNC_TOLD_ONCE', { table: `${table.source}.${table.name}` })
}

function technique(table: SourceTableDef): StreamDef['technique'] {
  const found = streamTechnique(table)
  if (found === null) throw fail('INTERNAL', { what: `${table.source}.${table.name} has no stream` })
  return found
}

/** Beside the ticks there is no run of its own: what is read belongs to the newest one. */
async function readingContext(open: OpenProject, engine: Engine, options: ResyncOptions): Promise<InterfaceContext> {
  const { emit, signal } = options
  const { env, project, secret } = open
  const run = await engine.transaction(signal, tx => lastRun(tx, env.clock.nowMicros()))
  return interfaceOf(engine, { env, project, run, signal, emit, secret }, false)
}

/** Brings the table to where its source is, then compares: nothing else writes meanwhile. */
async function compare(
  open: OpenProject,
  engine: Engine,
  given: Asked & { readonly table: SourceTableDef; readonly again: ReadAgain; readonly options: ResyncOptions },
): Promise<Resynced> {
  const { source, table, again, options } = given
  const { signal, emit } = options
  const name = `${table.source}.${table.name}`
  const shared = await begin(open, engine, options)
  const streams = openRunStreams({ ...options, open, engine })
  try {
    const ctx = interfaceOf(engine, shared, false)
    const { take } = stepsOf(open, engine, {
      emit,
      publish: (pass, pace) => {
        const publishing = { loads: [], stopped: [], passes: [pass], isLast: false, leavesStages: true }
        return publishAll(engine, { ...shared, ...pace }, publishing)
      },
    })
    const steps = { take, isAlone: true, stepBytes: options.stepBytes }
    const { passes } = await drainStreams(streams, ctx, [{ source, tables: [table] }], steps)
    await publishAll(engine, shared, { loads: [], stopped: [], passes, isLast: false, leavesStages: true })
    open.env.crash('resync.drained')
    const stream = streams.opened[0]
    const now = stream?.tables.find(it => it.config.name === table.name)
    if (stream === undefined || now === undefined) throw fail('INTERNAL', { what: `${name} has no stream` })
    if (now.stopped !== null) throw now.stopped
    const state = await engine.transaction(signal, tx => findLoad(tx, again.extracted.load))
    if (state?.state !== 'accepted' || now.at?.state !== 'live') throw fail('RESYNC_CHANGED', { table: name })
    let touched: number | null = null
    const before = async (tx: Parameters<typeof dropTouched>[0]): Promise<void> => {
      touched = await dropTouched(tx, { stream, table: now, again, signal, emit })
      await keepWanted(tx, again, options.where)
    }
    // What is wrong with other tables waits for their own turn: it takes nothing back of this one.
    const own = { ...shared, controls: 'changes' } as const
    await publishAll(engine, own, { loads: [again.extracted], stopped: [], passes: [], isLast: true, before })
    open.env.crash('run.publish.commit.after')
    if ((await engine.checkpoint(0)) === 'done') await streams.keepPlaces()
    const differing = await differences(engine, table, again.extracted.load, signal)
    await giveSpaceBack(engine, { emit, signal })
    return { run: shared.run.id, tables: [{ table: name, ...differing, touched }], gap: null }
  } catch (error) {
    const known = signal.aborted ? cancelled(shared.run.id, error) : error
    await recordFailure(engine, shared, known)
    throw known
  } finally {
    await streams.close()
  }
}

/** What the config or the condition wants to stay as it is does not differ. */
async function keepWanted(tx: Transaction, { extracted }: ReadAgain, where: string | undefined): Promise<void> {
  const { table, swept } = extracted
  const { change, key } = table
  if (swept && where !== undefined) await spareOthers(tx, table, where)
  if (change.technique !== 'status') return
  const { image, landing } = stagingNames(table)
  // The flag of a claimed row is set back at the source, which is no change of the row.
  const flag = ident(change.flag.column)
  await tx.execute(sql`
    update ${landing} l set ${flag} = s.${flag} from ${image} s where ${equalKeys('l', 's', key)}`)
  if (change.deletes.kind !== 'keep') return
  const names = stagingLayout(table).map(column => column.name)
  await tx.execute(sql`
    insert into ${landing} (${columnList(names)}) select ${columnList(names, 's')} from ${image} s
    where not exists (select 1 from ${landing} l where ${equalKeys('s', 'l', key)})`)
}

/** What a load changed, from the marks that it left. */
async function differences(
  engine: Engine,
  table: SourceTableDef,
  load: bigint,
  signal: AbortSignal,
): Promise<Pick<ResyncedTable, 'inserted' | 'updated' | 'deleted'>> {
  const { image, past } = stagingNames(table)
  const [row] = await engine.transaction(signal, tx =>
    tx.rows(sql`
      select (select count(*) from ${image} where ${ident('_load')} = ${load}) as written,
        (select count(*) from ${past} where "_until" = ${load} and "_op" = 'u') as updated,
        (select count(*) from ${past} where "_until" = ${load} and "_op" = 'd') as deleted`),
  )
  const [written, updated, deleted] = ['written', 'updated', 'deleted'].map(name => Number(row?.[name])) as [
    number,
    number,
    number,
  ]
  return { inserted: written - updated, updated, deleted }
}

/**
 * Installs the streams of a source anew, and reads their tables: each is compared with its image when it is there. In a server
 * only the forgetting stands alone: its session finds tables without a place, and reads them beside the ticks of the others.
 */
async function resyncSource(
  open: OpenProject,
  engine: Engine,
  { source, options, alone }: { readonly source: SourceDef; readonly options: ResyncOptions; readonly alone: Alone },
): Promise<Resynced> {
  const { signal, emit } = options
  await engine.transaction(signal, tx => prepare(tx, engine))
  const streams = streamsOf([source])
  const tables = streams.flatMap(def => def.tables)
  const placesOf = (): Promise<readonly (StreamPlace | null)[]> =>
    engine.transaction(signal, tx => Promise.all(tables.map(table => readStreamPlace(tx, table))))
  const before = await placesOf()
  const known = await newestLoad(engine, signal)
  const anew = new Set(
    await alone('naru resync', signal, async () => {
      const whole = await drainToldOnce(streams, tables => runOn(open, engine, asked(tables, options)))
      return forgetStreams(open, engine, { source, streams, whole, options })
    }),
  )
  open.env.crash('resync.forget.after')
  if (alone !== atOnce) await untilRead(open, { engine, source, tables, options })
  const done =
    alone === atOnce
      ? await runFor(open, engine, tables, options)
      : await foundSince(open, engine, { tables, known, options })
  const after = await placesOf()
  const gap = tables
    .flatMap((table, i) => (anew.has(table) ? [gapOf(table, before[i] ?? null, after[i] ?? null)] : []))
    .join('; ')
  emit({ kind: 'note', level: 'warn', text: gap, code: 'STREAM_ANEW' })
  return { ...done, gap }
}

/** How often it is looked at whether the session has read the tables. */
const lookMs = 250

/**
 * Waits for the session to read the tables, or to stop them because of their shape: it tells itself what stands in its way,
 * and tries again.
 */
async function untilRead(
  { env }: OpenProject,
  given: {
    readonly engine: Engine
    readonly source: SourceDef
    readonly tables: readonly SourceTableDef[]
    readonly options: ResyncOptions
  },
): Promise<void> {
  const { engine, source, tables, options } = given
  const isDone = (): Promise<boolean> =>
    engine.transaction(options.signal, async tx => {
      const stopped = (await readStopped(tx)).map(it => it.table)
      for (const table of tables) {
        if (stopped.includes(`${table.source}.${table.name}`)) continue
        if ((await readStreamPlace(tx, table))?.state !== 'live') return false
      }
      return true
    })
  const text = `the tables of ${source.name} are read beside the changes of other sources; naru status shows how far they are`
  options.emit({ kind: 'note', level: 'info', text })
  while (!(await isDone())) await env.clock.sleep(lookMs, options.signal)
}

async function newestLoad(engine: Engine, signal: AbortSignal): Promise<bigint> {
  const [row] = await engine.transaction(signal, tx =>
    tx.rows(sql`select coalesce(max(load), 0) as load from naru.load`),
  )
  return BigInt(row?.['load'] as bigint)
}

/** What the session found when it read the tables. */
async function foundSince(
  open: OpenProject,
  engine: Engine,
  given: { readonly tables: readonly SourceTableDef[]; readonly known: bigint; readonly options: ResyncOptions },
): Promise<Resynced> {
  const { tables, known, options } = given
  const run = await engine.transaction(options.signal, tx => lastRun(tx, open.env.clock.nowMicros()))
  return { run: run.id, tables: await foundIn(engine, tables, sql`load > ${known}`, options.signal), gap: null }
}

/** What differed in the tables that were read as a whole by one of these loads. */
async function foundIn(
  engine: Engine,
  tables: readonly SourceTableDef[],
  which: Sql,
  signal: AbortSignal,
): Promise<readonly ResyncedTable[]> {
  const found: ResyncedTable[] = []
  for (const table of tables) {
    const load = await engine.transaction(signal, async tx => {
      const [row] = await tx.rows(sql`
        select max(load) as load from naru.load where source = ${table.source} and "table" = ${table.name}
          and state = 'published' and ${which} and scope = 'all'`)
      return (row?.['load'] ?? null) as bigint | null
    })
    if (load === null) continue
    const name = `${table.source}.${table.name}`
    found.push({ table: name, ...(await differences(engine, table, load, signal)), touched: 0 })
  }
  return found
}

/** A run of these tables: those that have no place in their stream are read as a whole. */
async function runFor(
  open: OpenProject,
  engine: Engine,
  tables: readonly SourceTableDef[],
  options: ResyncOptions,
): Promise<Resynced> {
  const { run, stopped } = await runOn(open, engine, asked(tables, options))
  const [first] = stopped
  if (first !== undefined && stopped.length === tables.length) throw first.error
  return { run, tables: await foundIn(engine, tables, sql`published_run = ${run}`, options.signal), gap: null }
}

function asked(tables: readonly SourceTableDef[], { emit, signal, adapters, stepBytes }: ResyncOptions): RunOptions {
  const selectors = tables.map(table => `${table.source}.${table.name}`)
  return {
    selectors,
    hashControls: false,
    emit,
    signal,
    ...(adapters && { adapters }),
    ...(stepBytes && { stepBytes }),
  }
}

function gapOf(table: SourceTableDef, before: StreamPlace | null, after: StreamPlace | null): string {
  const name = `${table.source}.${table.name}`
  if (before === null) return `${name}: it had no place in a stream; it follows one now`
  const at = before.committedMicros === null ? '' : ` (committed ${microsText(before.committedMicros, true)})`
  const to = after?.sourcePosition ?? 'the place that its next run notes'
  const between = `${name}: what changed between ${before.sourcePosition ?? before.place}${at} and ${to}`
  if (isToldOnce(table)) return `${between} is not told: its rows are not read`
  if (table.append === true) return `${between} is not told: its log begins anew with the rows of its source`
  return `${between} was found by comparing: rows are right, versions between are not told`
}
