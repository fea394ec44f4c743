import { withDeadline } from '../../core/env.ts'
import { fail, isNaruError } from '../../core/errors.ts'
import { ident, sql } from '../../core/sql.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import { spareOthers } from '../../etl/interface/index.ts'
import type { RunContext } from '../../run/context.ts'
import { findLoad } from '../../run/loads.ts'
import { columnList, equalKeys, stagingLayout, stagingNames } from '../../run/tables.ts'
import type { Position } from '../../services/bus/contract.ts'
import type { Engine, Transaction } from '../../services/engine/contract.ts'
import { giveSpaceBack } from '../give-space-back.ts'
import type { SessionAtRest, Turns } from '../live/turns.ts'
import type { OpenProject } from '../project.ts'
import { publishAll } from '../publish.ts'
import { begin, cancelled, interfaceOf, recordFailure } from '../run-frame.ts'
import type { ReadAgain } from '../stream/read-again.ts'
import { drainStreams, openRunStreams } from '../stream/run-streams.ts'
import { isLive, type OpenStream, type StreamTable } from '../stream/session.ts'
import { stepsOf } from '../stream/steps.ts'
import { dropTouched } from '../stream/touched.ts'
import { differencesOf } from './found.ts'
import type { Resynced, ResyncOptions } from './request.ts'

/** After so long it is told that the stream is still on its way. */
const reachMs = 30_000

/** A table that was read again, to be compared with its image. */
export interface Comparing {
  readonly source: SourceDef
  readonly table: SourceTableDef
  readonly again: ReadAgain
  readonly options: ResyncOptions
}

/** Brings the table to where its source is, then compares: nothing else writes meanwhile. */
export async function compareAlone(open: OpenProject, engine: Engine, given: Comparing): Promise<Resynced> {
  const { source, table, options } = given
  const { signal, emit } = options
  const streams = openRunStreams({ ...options, open, engine })
  const inRun = async (shared: RunContext): Promise<Resynced> => {
    const ctx = interfaceOf(engine, shared, false)
    const { take } = stepsOf(open, engine, {
      emit,
      publish: (pass, pace) => {
        const publishing = { loads: [], stopped: [], passes: [pass], isLast: false, leavesStages: true }
        return publishAll(engine, { ...shared, ...pace }, publishing)
      },
    })
    const steps = { take, isAlone: true, stepBytes: options.stepBytes }
    const { passes, stopped } = await drainStreams(streams, ctx, [{ source, tables: [table] }], steps)
    if (streams.opened.length === 0 && stopped[0] !== undefined) throw stopped[0].error
    await publishAll(engine, shared, { loads: [], stopped: [], passes, isLast: false, leavesStages: true })
    open.env.crash('resync.drained')
    const stream = streams.opened[0]
    if (stream === undefined) throw fail('INTERNAL', { what: `${table.source}.${table.name} has no stream` })
    const done = await publishDifferences(engine, shared, { ...given, stream })
    if ((await engine.checkpoint(0)) === 'done') await streams.releaseTopics()
    await giveSpaceBack(engine, { emit, signal })
    return done
  }
  try {
    return await ownRun(open, engine, options, inRun)
  } finally {
    await streams.close()
  }
}

/**
 * The same with a session, whose ticks go on until the table is where its source is; they wait for the comparison itself. Throws
 * why the stream stopped; one that its source does not answer is waited for.
 */
export async function compareBetween(
  open: OpenProject,
  engine: Engine,
  given: Comparing & { readonly topic: string; readonly turns: Turns },
): Promise<Resynced> {
  const { turns, options, topic, table } = given
  const between = <T>(work: (session: SessionAtRest | null) => Promise<T>): Promise<T> =>
    turns.between('naru resync', options.signal, work)
  for (;;) {
    const found = await between(async session =>
      session === null
        ? { done: await compareAlone(open, engine, given) }
        : { stream: session.streams.find(it => it.topic.name === topic) },
    )
    if (found.done !== undefined) return found.done
    const { stream } = found
    if (stream === undefined) throw changed(table)
    const place = await placeOfSource(open, stream, options)
    if (place === null) continue
    const done = await between(async session => {
      if (session?.streams.includes(stream) !== true) return null
      const now = tableIn(stream, table)
      if (!(await session.reach(stream, { table: now, place })) && isLive(now)) return null
      const inRun = (shared: RunContext): Promise<Resynced> => publishDifferences(engine, shared, { ...given, stream })
      return session.betweenRuns(() => ownRun(open, engine, options, inRun))
    })
    if (done !== null) return done
  }
}

/** The place in the topic of where the source is now; `null` when its stream was closed meanwhile, because another one is to be. */
async function placeOfSource(
  { env }: OpenProject,
  { captures, reader, def }: OpenStream,
  { signal, emit }: ResyncOptions,
): Promise<Position | null> {
  const isClosed = (): boolean => {
    const { state, error } = reader.status()
    return state === 'stopped' && error === null && !signal.aborted
  }
  try {
    const head = await captures.head(signal)
    for (;;) {
      const limit = { what: `the stream of source "${def.source.name}"`, ms: reachMs, signal }
      try {
        return await withDeadline(env, limit, until => reader.reached(head, until))
      } catch (error) {
        if (!isNaruError(error, 'DEADLINE') || isClosed()) throw error
        const why = reader.status().error?.message ?? 'it is read'
        const text = `${def.source.name} was read again, and is compared once its stream is there as well: ${why}`
        emit({ kind: 'note', level: 'warn', text, code: error.code })
      }
    }
  } catch (error) {
    if (isClosed()) return null
    throw error
  }
}

/** Does it in a run of its own; why that failed is kept. */
async function ownRun(
  open: OpenProject,
  engine: Engine,
  options: ResyncOptions,
  work: (shared: RunContext) => Promise<Resynced>,
): Promise<Resynced> {
  const shared = await begin(open, engine, options)
  try {
    return await work(shared)
  } catch (error) {
    const known = options.signal.aborted ? cancelled(shared.run.id, error) : error
    await recordFailure(engine, shared, known)
    throw known
  }
}

/** Publishes what differs of the keys that the stream left alone. */
async function publishDifferences(
  engine: Engine,
  shared: RunContext,
  { table, again, options, stream }: Comparing & { readonly stream: OpenStream },
): Promise<Resynced> {
  const { signal, emit } = options
  const now = tableIn(stream, table)
  if (now.stopped !== null) throw now.stopped
  const state = await engine.transaction(signal, tx => findLoad(tx, again.extracted.load))
  if (state?.state !== 'accepted' || now.at?.state !== 'live') throw changed(table)
  let touched: number | null = null
  const before = async (tx: Transaction): Promise<void> => {
    touched = await dropTouched(tx, { stream, table: now, again, signal, emit })
    await keepWanted(tx, again, options.where)
  }
  // What is wrong with other tables waits for their own turn: it takes nothing back of this one.
  const own = { ...shared, controls: 'changes' } as const
  await publishAll(engine, own, { loads: [again.extracted], stopped: [], passes: [], isLast: true, before })
  shared.env.crash('run.publish.commit.after')
  const differing = await differencesOf(engine, table, again.extracted.load, signal)
  return { run: shared.run.id, tables: [{ table: `${table.source}.${table.name}`, ...differing, touched }], gap: null }
}

function tableIn({ tables }: OpenStream, { source, name }: SourceTableDef): StreamTable {
  const found = tables.find(it => it.config.name === name)
  if (found === undefined) throw fail('INTERNAL', { what: `${source}.${name} has no stream` })
  return found
}

function changed({ source, name }: SourceTableDef): Error {
  return fail('RESYNC_CHANGED', { table: `${source}.${name}` })
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
