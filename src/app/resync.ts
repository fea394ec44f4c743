import type { Engine } from '../services/engine/contract.ts'
import type { SourceDef, SourceTableDef } from '../config/model.ts'
import type { Turns } from './live/turns.ts'
import type { OpenProject } from './project.ts'
import { lastRun } from '../run/journal.ts'
import { openSource } from './extract.ts'
import { prepare } from './run-frame.ts'
import { inTurn } from './resync/in-turn.ts'
import { rejectedRows, rejectsAside, settleRejects } from './stream/rejected.ts'
import { streamsOf } from './stream/streams.ts'
import { askedOf, type Resynced, type ResyncOptions } from './resync/request.ts'
import { resyncSource } from './resync/source.ts'
import { resyncTable } from './resync/table.ts'
import { requireSecrets } from './secrets.ts'
import { handOver } from './server/hand-over.ts'
import { writing } from './writing.ts'

/**
 * Reads tables of a stream again and compares them with what is here: what differs goes through every stage as inserts,
 * updates and deletes, in one publishing transaction. The table is never empty meanwhile, and broken off it changed
 * nothing. Repeating it finds nothing new. Handed to the server when one runs, which reads beside its ticks.
 */
export async function resync(open: OpenProject, options: ResyncOptions): Promise<Resynced> {
  const { emit, signal, selector, range, where, rejected } = options
  const { source } = askedOf(open, options)
  if (options.adapters === undefined) {
    const part = { ...(range && { range }), ...(where !== undefined && { where }), ...(rejected && { rejected }) }
    const job = { kind: 'resync' as const, selector, ...part }
    const handed = await handOver(open, job, { emit, signal })
    if (handed !== null) return handed as Resynced
  }
  requireSecrets(open.secret, open.project, [source])
  return writing(open, { command: 'naru resync', signal, emit }, engine => resyncOn(open, engine, options, null))
}

/** A resync on an engine that is open. In a server `turns` do what must not meet a tick. */
export async function resyncOn(
  open: OpenProject,
  engine: Engine,
  asked: ResyncOptions,
  turns: Turns | null,
): Promise<Resynced> {
  const { source, table } = askedOf(open, asked)
  const { signal } = asked
  if (table === null) {
    const all = streamsOf([source]).flatMap(def => def.tables)
    return inTurn(engine, all, signal, () => resyncSource(open, engine, { source, options: asked, turns }))
  }
  return inTurn(engine, [table], signal, () =>
    asked.rejected === true
      ? resyncAside(open, engine, { source, table, asked, turns })
      : resyncTable(open, engine, { source, table, options: asked, turns }),
  )
}

/** Called in the turn of the table: who is before it may leave other rows set aside than there were when it was asked. */
async function resyncAside(
  open: OpenProject,
  engine: Engine,
  given: {
    readonly source: SourceDef
    readonly table: SourceTableDef
    readonly asked: ResyncOptions
    readonly turns: Turns | null
  },
): Promise<Resynced> {
  const { source, table, asked, turns } = given
  const { signal } = asked
  const where = await rejectedCondition(open, engine, given)
  if (where === null) return nothingSetAside(open, engine, asked)
  const before = await engine.transaction(signal, tx => rejectsAside(tx, table))
  const done = await resyncTable(open, engine, { source, table, options: { ...asked, where }, turns })
  return { ...done, setAside: await engine.transaction(signal, tx => settleRejects(tx, table, before)) }
}

/** Rows that were set aside, as a condition as any other; `null` when there are none. */
async function rejectedCondition(
  open: OpenProject,
  engine: Engine,
  {
    source,
    table,
    asked,
  }: { readonly source: SourceDef; readonly table: SourceTableDef; readonly asked: ResyncOptions },
): Promise<string | null> {
  const adapter = await openSource(open, source, asked.adapters)
  await adapter.close() // it is asked how it writes SQL, and nothing else
  return engine.transaction(asked.signal, async tx => {
    await prepare(tx, engine)
    return rejectedRows(tx, adapter, table)
  })
}

async function nothingSetAside(open: OpenProject, engine: Engine, asked: ResyncOptions): Promise<Resynced> {
  const { id } = await engine.transaction(asked.signal, tx => lastRun(tx, open.env.clock.nowMicros()))
  const none = { table: asked.selector, inserted: 0, updated: 0, deleted: 0, touched: 0 }
  return { run: id, tables: [none], gap: null, setAside: { rows: 0, first: [], gone: 0 } }
}
