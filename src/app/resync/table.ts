import { fail, isNaruError } from '../../core/errors.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import type { InterfaceContext } from '../../etl/interface/index.ts'
import { lastRun } from '../../run/journal.ts'
import { abandonOpen } from '../../run/loads.ts'
import { forgetStopped, readStopped } from '../../run/stopped.ts'
import { forgetStreamPlace, streamTechnique } from '../../run/streams.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { openSource } from '../extract.ts'
import { isTableGone } from '../faults.ts'
import type { Turns } from '../live/turns.ts'
import type { OpenProject } from '../project.ts'
import { interfaceOf, prepare } from '../run-frame.ts'
import { beginReadAgain, readAgain, type ReadAgain } from '../stream/read-again.ts'
import { topicOf } from '../stream/streams.ts'
import { compareAlone, compareBetween } from './compare.ts'
import { readFirst } from './first-read.ts'
import type { Resynced, ResyncOptions } from './request.ts'

interface Given {
  readonly source: SourceDef
  readonly table: SourceTableDef
  readonly options: ResyncOptions
  /** `null` outside a server. */
  readonly turns: Turns | null
}

/** Reads one table again, or a part of it, beside whatever goes on, and compares it with its image. */
export async function resyncTable(open: OpenProject, engine: Engine, given: Given): Promise<Resynced> {
  const { source, table, options, turns } = given
  await refuseWithoutTables(open, given)
  await engine.transaction(options.signal, tx => prepare(tx, engine))
  if (await isNotedLost(engine, given)) await beginAnew(engine, given)
  const ctx = await readingContext(open, engine, options)
  const from = await beginReadAgain(ctx, table)
  const first = (): Promise<Resynced> => readFirst(open, { engine, tables: [table], options, since: 0n, turns })
  if (from === null) return first()
  const topic = topicFor(given)
  const hold = { topic, place: from.place }
  const held = open.held ?? new Set()
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
    const comparing = { source, table, again, options }
    if (turns === null) return await compareAlone(open, engine, comparing)
    return await compareBetween(open, engine, { ...comparing, topic, turns })
  } catch (error) {
    // Nobody had found it yet.
    if (!isNaruError(error, 'STREAM_TABLE_LOST')) throw error
    await beginAnew(engine, given)
    return await first()
  } finally {
    held.delete(hold)
  }
}

async function isNotedLost(engine: Engine, { table, options }: Given): Promise<boolean> {
  const name = `${table.source}.${table.name}`
  const stopped = await engine.transaction(options.signal, tx => readStopped(tx))
  return stopped.some(it => it.table === name && isTableGone(it.code))
}

/** A table that its stream does not give any more begins anew in it, as one that is new. */
async function beginAnew(engine: Engine, { table, options, turns }: Given): Promise<void> {
  const { signal } = options
  const forget = (): Promise<void> =>
    engine.transaction(signal, async tx => {
      await forgetStreamPlace(tx, table)
      await abandonOpen(tx, table)
      await forgetStopped(tx, table)
    })
  await (turns === null ? forget() : turns.alone('naru resync', signal, forget))
}

/** Where events arrive there is nothing to read. */
async function refuseWithoutTables(open: OpenProject, { source, table, options }: Given): Promise<void> {
  const adapter = await openSource(open, source, options.adapters)
  await adapter.close()
  if (adapter.tables === undefined) throw fail('RESYNC_TOLD_ONCE', { table: `${table.source}.${table.name}` })
}

function topicFor({ source, table }: Given): string {
  const technique = streamTechnique(table)
  if (technique === null) throw fail('INTERNAL', { what: `${table.source}.${table.name} has no stream` })
  return topicOf({ source, technique })
}

/** What is read again has no run of its own yet: it belongs to the newest one. */
async function readingContext(open: OpenProject, engine: Engine, options: ResyncOptions): Promise<InterfaceContext> {
  const { emit, signal } = options
  const { env, project, secret } = open
  const run = await engine.transaction(signal, tx => lastRun(tx, env.clock.nowMicros()))
  return interfaceOf(engine, { env, project, run, signal, emit, secret }, false)
}
