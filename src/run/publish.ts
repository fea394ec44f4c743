import type { Graph, GraphNode, Stage } from '../plan/graph.ts'
import { holdsStill, rowsChanged, type ChangeSet, type StageContext } from './context.ts'
import { ident } from '../core/sql.ts'
import { forgetDefinitions, writeDefinition } from './journal.ts'

/** What a task hands to the tasks after it: the change set of its stage, whatever its shape. */
export type TaskResult = unknown

/** Does one node's work inside the publishing transaction. Registered by `app`, which knows the stages. */
export type Task = (ctx: StageContext, node: GraphNode, given: TaskInput) => Promise<TaskResult>

export interface TaskInput {
  /** What an earlier node handed on; `undefined` when it was not part of this run. */
  resultOf(id: string): TaskResult
  /** The definition changed since the dataset was last built: it has to be built anew from what is upstream. */
  readonly rebuild: boolean
}

export interface Published {
  readonly etlMs: number
  readonly warehouseMs: number
  /** Rows of staging that came, changed or went: 0 when nothing was new. */
  readonly rowsStaged: number
  /** The same over the tables after staging: rows out of quarantine move here although nothing new was read. */
  readonly rowsMoved: number
  /** Tables and views of which a row came, changed or went, as `schema.name`. */
  readonly changed: ReadonlySet<string>
}

const warehouseStages: ReadonlySet<Stage> = new Set(['dimension', 'fact', 'summary'])

/** Runs every node of the graph in order, in one transaction: a load is visible in all its tables or in none. */
export async function publish(
  ctx: StageContext,
  graph: Graph,
  tasks: Readonly<Partial<Record<Stage, Task>>>,
  built: ReadonlyMap<string, string>,
): Promise<Published> {
  const results = new Map<string, TaskResult>()
  const times = { etlMs: 0, warehouseMs: 0 }
  const rows = { staged: 0, moved: 0 }
  const moved = new Set<string>()
  ctx.env.crash('run.publish.begin')
  const kept = graph.nodes.map(node => node.id)
  await holdsStill(ctx, `definitions ${kept.join(' ')}`, async () => {
    await forgetDefinitions(ctx.tx, kept)
    return true
  })
  for (const node of graph.nodes) {
    const task = tasks[node.stage]
    if (task === undefined || (ctx.warehouse === 'later' && warehouseStages.has(node.stage))) continue
    ctx.signal.throwIfAborted()
    const rebuild = built.get(node.id) !== node.hash && (await isThere(ctx, node))
    const beganMs = ctx.env.clock.monotonicMs()
    ctx.emit({ kind: 'step', step: node.id, state: 'begin' })
    const result = await task(ctx, node, { resultOf: id => results.get(id), rebuild })
    results.set(node.id, result)
    if (built.get(node.id) !== node.hash) await writeDefinition(ctx.tx, node.id, node.hash, ctx.run)
    const ms = ctx.env.clock.monotonicMs() - beganMs
    const changed = isChangeSet(result) ? rowsChanged(result) : undefined
    ctx.emit({ kind: 'step', step: node.id, state: 'end', ms, ...(changed === undefined ? {} : { rows: changed }) })
    if (node.writes !== null && isChangeSet(result) && (result.scope === 'all' || rowsChanged(result) > 0))
      moved.add(node.writes)
    if (node.stage === 'staging') rows.staged += changed ?? 0
    else if (node.stage !== 'profiling') rows.moved += changed ?? 0
    times[warehouseStages.has(node.stage) ? 'warehouseMs' : 'etlMs'] += ms
  }
  return { ...times, rowsStaged: rows.staged, rowsMoved: rows.moved, changed: moved }
}

/** True when the dataset of a node exists: made from another definition, or from one that left the config since. */
async function isThere(ctx: StageContext, node: GraphNode): Promise<boolean> {
  return node.writes !== null && (await ctx.tx.exists(ident(...node.writes.split('.'))))
}

function isChangeSet(result: TaskResult): result is ChangeSet {
  return typeof result === 'object' && result !== null && 'inserted' in result && 'deleted' in result
}
