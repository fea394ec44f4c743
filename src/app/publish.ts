import { ident, sql } from '../core/sql.ts'
import type { Extracted } from '../etl/interface/index.ts'
import { buildGraph, type Graph } from '../plan/graph.ts'
import { holdsStill, type RunContext, type StageContext } from '../run/context.ts'
import { endRun, readDefinitions } from '../run/journal.ts'
import { publishLoad } from '../run/loads.ts'
import { publish, type Published } from '../run/publish.ts'
import { noRuleResults, sumRuleResults } from '../run/rule-results.ts'
import { noteStopped } from '../run/stopped.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { noteStays, type StoppedTable } from './extract.ts'
import { ensureKeyIndexes } from './key-indexes.ts'
import { reconcileStages } from './reconcile.ts'
import { noteCommitted, takePasses, writePasses, type Pass, type Taken } from './stream/tick.ts'
import { tasksOf } from './tasks.ts'

/** What a publish among many small ones looks at and leaves to others. */
export type Pace = Pick<StageContext, 'checked' | 'controls' | 'warehouse' | 'figures'>

/** What one publishing transaction carries. */
export interface Publishing {
  readonly loads: readonly Extracted[]
  readonly stopped: readonly StoppedTable[]
  readonly passes: readonly Pass[]
  /** The run ends with it. Otherwise its figures give way to those of the transaction after it. */
  readonly isLast: boolean
  /** A publish of the same work follows that takes stock: where somebody wrote into a stage, it is that one which mends it. */
  readonly leavesStages?: boolean
  /** What else is to be done in the transaction, before its stages. */
  readonly before?: (tx: Transaction) => Promise<void>
  /** And behind them, just before it commits. */
  readonly after?: (tx: Transaction, taken: readonly Taken[]) => Promise<void>
}

/** What it published. */
export interface PublishedAll extends Published {
  readonly taken: readonly Taken[]
  /** First loads of tables whose changes come as a stream. */
  readonly firstLoads: readonly Extracted[]
}

/** Carries loads and changes through every stage, in one transaction. */
export async function publishAll(
  engine: Engine,
  shared: RunContext,
  { loads, stopped, passes, isLast, before, after, leavesStages }: Publishing,
): Promise<PublishedAll> {
  const { env, run, project } = shared
  const graph = buildGraph(project)
  const startMs = env.clock.monotonicMs()
  const firstLoads = passes.flatMap(({ tables }) => tables.flatMap(({ extracted }) => extracted ?? []))
  const times = await engine.transaction(shared.signal, async tx => {
    const ctx: StageContext = { ...shared, tx }
    await before?.(tx)
    if (!isLast && ctx.figures !== 'sum') await forgetFigures(ctx)
    const { taken, staging } = await takePasses(ctx, passes)
    const done = await publish(ctx, graph, tasksOf(project, loads, staging), await builtOf(ctx, graph))
    if (engine.can.indexes) await ensureKeyIndexes(ctx)
    if (leavesStages !== true) await reconcileStages(ctx, done.changed)
    for (const load of loads) await publishLoad(tx, load.table, load.load, run.id)
    await writePasses(ctx, taken)
    await noteStoppedTables(ctx, { loads, stopped, taken })
    if (isLast || ctx.figures === 'sum') await sumRuleResults(tx, run.id)
    if (isLast) await endRun(tx, run, env.clock.nowMicros())
    await after?.(tx, taken)
    env.crash('run.publish.commit.before')
    return { ...done, taken }
  })
  noteCommitted(run.id, times.taken)
  for (const it of stoppedOf(times.taken)) noteStays(shared.emit, it)
  // The commit itself writes what the stages made: it counts to their time.
  const commitMs = env.clock.monotonicMs() - startMs - times.etlMs - times.warehouseMs
  return { ...times, etlMs: times.etlMs + commitMs, firstLoads }
}

/** What the datasets were last built from. Once everything is built from the config of now, only a publish of ours changes it. */
async function builtOf(ctx: StageContext, { nodes }: Graph): Promise<ReadonlyMap<string, string>> {
  const now = new Map(nodes.map(node => [node.id, node.hash]))
  let found: ReadonlyMap<string, string> = now
  await holdsStill(ctx, `built ${[...now].join(' ')}`, async () => {
    found = await readDefinitions(ctx.tx)
    return nodes.every(node => node.stage === 'interface' || found.get(node.id) === node.hash)
  })
  return found
}

/** Ticks look at it once, unless a table stops. */
async function noteStoppedTables(
  ctx: StageContext,
  { loads, stopped, taken }: Pick<Publishing, 'loads' | 'stopped'> & { readonly taken: readonly Taken[] },
): Promise<void> {
  const all = [...stopped, ...stoppedOf(taken)]
  const known = `stopped ${taken.map(({ table }) => `${table.config.source}.${table.config.name}`).join(' ')}`
  if (all.length === 0 && loads.length === 0 && ctx.checked?.has(known) === true) return
  const followed = taken.filter(({ changes }) => changes.stopped === null).map(({ table }) => ({ table: table.config }))
  await noteStopped(ctx.tx, ctx, { loads: [...loads, ...followed], stopped: all })
  ctx.checked?.add(known)
}

/**
 * A live run has the figures of its last transaction that took them, those of profiles, rules and stages: at several a second
 * the tables of all would outgrow the data.
 */
async function forgetFigures({ tx, run, controls, checked }: StageContext): Promise<void> {
  const taken = controls === 'changes' ? ['rule_result'] : ['rule_result', 'profile', 'stage_control']
  if (controls === 'changes' && checked?.has(noRuleResults) === true) return
  for (const name of taken) await tx.execute(sql`delete from ${ident('naru', name)} where run = ${run.id}`)
  checked?.add(noRuleResults)
}

/** Tables that a pass found to be of another shape than their contract takes: they are left as they were staged. */
export function stoppedOf(taken: readonly Taken[]): readonly StoppedTable[] {
  return taken.flatMap(({ table, changes }) =>
    changes.stopped === null ? [] : [{ table: table.config, error: changes.stopped }],
  )
}
