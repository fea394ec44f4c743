import type { Emit } from '../core/events.ts'
import { fail } from '../core/errors.ts'
import type { SourceTableDef } from '../config/model.ts'
import { laterChanges, refuseReplaced, undoLoads } from '../etl/staging/index.ts'
import { buildGraph } from '../plan/graph.ts'
import type { StageContext } from '../run/context.ts'
import { endRun, readDefinitions } from '../run/journal.ts'
import { findLoad, undoneLoad } from '../run/loads.ts'
import { rememberedTable } from '../run/remembered-columns.ts'
import { publish } from '../run/publish.ts'
import { stagedName } from '../run/tables.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { giveSpaceBack } from './give-space-back.ts'
import type { OpenProject } from './project.ts'
import { reconcileStages } from './reconcile.ts'
import { begin, cancelled, recordFailure } from './run-frame.ts'
import { requireSecrets } from './secrets.ts'
import { handOver } from './server/hand-over.ts'
import { tasksOf } from './tasks.ts'
import { writing } from './writing.ts'

export interface UndoOptions {
  /** Number of the load, as a person wrote it. */
  readonly load: string
  /** Undoes later loads that changed the same rows as well. */
  readonly cascade: boolean
  /** The next run does not read the range of the load again. */
  readonly keepPosition: boolean
  readonly emit: Emit
  readonly signal: AbortSignal
}

export interface Undone {
  readonly run: bigint
  /** Newest first; `rows` of staging that are what they were before all of them. */
  readonly loads: readonly { readonly load: bigint; readonly table: string; readonly rows: number }[]
  readonly keptPosition: boolean
}

/**
 * Takes a published load back, and everything that the stages made of it, in one publishing transaction: after a crash it
 * is done or nothing of it is. It is a run of its own in `naru.run`.
 */
export async function undoLoad(open: OpenProject, options: UndoOptions): Promise<Undone> {
  if (!/^\d{1,18}$/.test(options.load)) throw fail('LOAD_UNKNOWN', { load: options.load, why: 'a load is a number' })
  const { emit, signal, load, cascade, keepPosition } = options
  const handed = await handOver(open, { kind: 'undo', load, cascade, keepPosition }, { emit, signal })
  if (handed !== null) return handed as Undone
  requireSecrets(open.secret, open.project, [])
  return writing(open, { command: 'naru undo', signal, emit }, engine => undoOn(open, engine, options))
}

/** An undo on an engine that is open. */
export async function undoOn(open: OpenProject, engine: Engine, options: UndoOptions): Promise<Undone> {
  const { signal } = options
  const shared = await begin(open, engine, options)
  try {
    const undone = await engine.transaction(signal, tx => undoIn({ ...shared, tx }, options))
    open.env.crash('run.publish.commit.after')
    await engine.checkpoint(0)
    await giveSpaceBack(engine, options)
    return undone
  } catch (error) {
    const known = signal.aborted ? cancelled(shared.run.id, error) : error
    await recordFailure(engine, shared, known)
    throw known
  }
}

async function undoIn(ctx: StageContext, options: UndoOptions): Promise<Undone> {
  const { tx, project, run } = ctx
  const { table, loads } = await loadsToUndo(ctx, options)
  let rows = 0
  const tasks = tasksOf(project, [])
  const staging: typeof tasks.staging = async (stage, node, given) => {
    if (node.writes !== `staging.${stagedName(table)}`) return tasks.staging?.(stage, node, given)
    const changes = await undoLoads(stage, table, loads)
    rows = changes.inserted + changes.updated + changes.deleted
    return changes
  }
  await publish(ctx, buildGraph(project), { ...tasks, staging }, await readDefinitions(tx))
  await reconcileStages(ctx)
  for (const load of loads) await undoneLoad(tx, table, { load, run: run.id, keepPosition: options.keepPosition })
  await endRun(tx, run, ctx.env.clock.nowMicros())
  ctx.env.crash('run.publish.commit.before')
  const name = `${table.source}.${table.name}`
  return { run: run.id, loads: loads.map(load => ({ load, table: name, rows })), keptPosition: options.keepPosition }
}

/** The load, and with `cascade` every later one that stands on its rows, newest first. */
async function loadsToUndo(
  { tx, project }: StageContext,
  { load: text, cascade }: UndoOptions,
): Promise<{ readonly table: SourceTableDef; readonly loads: readonly bigint[] }> {
  const load = BigInt(text)
  const found = await findLoad(tx, load)
  if (found === null) throw fail('LOAD_UNKNOWN', { load: text, why: 'there is no such load' })
  if (found.state !== 'published')
    throw fail('LOAD_UNKNOWN', { load: text, why: `it is ${found.state}, not published` })
  const config = project.sources
    .flatMap(source => source.tables)
    .find(it => it.source === found.source && it.name === found.table)
  const name = `${found.source}.${found.table}`
  if (config === undefined) throw fail('LOAD_UNKNOWN', { load: text, why: `${name} is not in the configuration` })
  const table = await rememberedTable(tx, config)
  await refuseReplaced(tx, table, load)
  const later = await laterChanges(tx, table, load)
  if (later.loads.length === 0) return { table, loads: [load] }
  if (!cascade) throw fail('UNDO_LATER', { load, table: name, loads: later.loads.join(', '), rows: later.rows })
  return { table, loads: await withLater(tx, table, load) }
}

async function withLater(tx: Transaction, table: SourceTableDef, load: bigint): Promise<readonly bigint[]> {
  const all = new Set([load])
  // A set grows while it is walked: what stands on the later ones is visited as well.
  for (const one of all) for (const later of (await laterChanges(tx, table, one)).loads) all.add(later)
  return [...all].sort((a, b) => (a < b ? 1 : -1))
}
