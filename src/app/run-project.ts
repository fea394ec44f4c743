import type { Emit } from '../core/events.ts'
import { errorTold, fail, isNaruError, messageOf, toldError, type Code, type ToldError } from '../core/errors.ts'
import { knownError } from '../core/known-error.ts'
import { ident, sql } from '../core/sql.ts'
import type { SourceDef, SourceTableDef } from '../config/model.ts'
import type { Extracted, InterfaceContext } from '../etl/interface/index.ts'
import { engineTotals } from '../etl/staging/index.ts'
import { buildGraph, type Graph } from '../plan/graph.ts'
import { holdsStill, type StageContext } from '../run/context.ts'
import { noRuleResults, sumRuleResults } from '../run/rule-results.ts'
import { beginRun, endRun, ensureControlTables, failRun, readDefinitions, runTables } from '../run/journal.ts'
import { controlTables as loadTables } from '../run/control-tables.ts'
import { comparisonTable } from '../run/comparisons.ts'
import { streamTables, streamTechnique } from '../run/streams.ts'
import { abandonAccepted, publishLoad, type LoadRange } from '../run/loads.ts'
import { publish, type Published } from '../run/publish.ts'
import { schemas } from '../run/tables.ts'
import { noteStopped } from '../run/stopped.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { giveSpaceBack } from './give-space-back.ts'
import { extractSource, openSource, type SourceExtract, type StoppedTable } from './extract.ts'
import { ensureKeyIndexes } from './key-indexes.ts'
import type { OpenProject } from './project.ts'
import type { AdapterImplementation } from './registry.ts'
import { requireSecrets } from './secrets.ts'
import { handOver } from './server/hand-over.ts'
import { reconcileStages, stageControlTable } from './reconcile.ts'
import { keepEvidence, lookupIndexes, stageTables, tasksOf } from './tasks.ts'
import type { Compared } from './stream/compare.ts'
import { compareAfterRun } from './stream/compare-run.ts'
import { drainStreams, openRunStreams, type RunStreams } from './stream/run-streams.ts'
import { stepsOf } from './stream/steps.ts'
import { passed, takePasses, writePasses, type Pass, type Taken } from './stream/tick.ts'
import { techniques } from './techniques.ts'
import { writing } from './writing.ts'

export interface RunOptions {
  /** Sources or source.tables to read; all when empty. What depends on them always follows. */
  readonly selectors: readonly string[]
  readonly hashControls: boolean
  /** Compares every chunk of a load with the source, not only the whole of it. */
  readonly chunkControls?: boolean
  /** Reads this range of the one selected table again, and leaves its position alone. */
  readonly range?: LoadRange
  readonly emit: Emit
  readonly signal: AbortSignal
  /** Other adapters than the package's own: for tests of the controls. */
  readonly adapters?: Readonly<Record<string, AdapterImplementation>>
  /** About how many bytes of a stream one transaction takes: what bounds its memory. */
  readonly stepBytes?: number
  /** How a process that publishes again and again does it. */
  readonly pace?: Pace
}

/** What a publish among many small ones looks at and leaves to others. */
export type Pace = Pick<StageContext, 'checked' | 'controls' | 'warehouse' | 'figures'>

export interface RunTimes {
  readonly extractMs: number
  readonly etlMs: number
  readonly warehouseMs: number
  readonly totalMs: number
}

export interface RunOutcome {
  readonly run: bigint
  readonly times: RunTimes
  /** Rows that came across the interface in this run. */
  readonly rowsRead: number
  /** Rows of staging that came, changed or went: 0 when nothing was new, whatever was read to find that out. */
  readonly rowsStaged: number
  /** Rows that came, changed or went in the tables after staging. */
  readonly rowsMoved: number
  /** Tables that were not read to their end because the hours of their source are over, as `source.table`. */
  readonly waiting: readonly string[]
  /** Tables that were left as they are staged, because their shape in the source changed. */
  readonly stopped: readonly StoppedTable[]
  /** Tables of streams that are not what their source has: naru.comparison has the keys. */
  readonly differing: readonly Compared[]
}

/**
 * One run: reads what is new from each source, chunk by chunk, and publishes it through every stage in one transaction; a
 * backlog of a stream that memory does not hold in steps before it. What an earlier run left accepted or half-read is used,
 * not read again.
 */
export async function runProject(open: OpenProject, options: RunOptions): Promise<RunOutcome> {
  const { emit, signal } = options
  const selected = selectTables(open.project.sources, options.selectors)
  if (options.adapters === undefined) {
    const handed = await handOver(open, { kind: 'run', ...runOf(options) }, { emit, signal })
    if (handed !== null) return outcomeTold(handed)
  }
  requireSecrets(
    open.secret,
    open.project,
    selected.map(it => it.source),
  )
  return writing(open, { command: 'naru run', signal, emit }, engine => runOn(open, engine, options))
}

/** What a run is asked for, without what belongs to the asking process. */
export type RunRequest = Pick<RunOptions, 'selectors' | 'hashControls' | 'chunkControls' | 'range'>

function runOf({ selectors, hashControls, chunkControls = false, range }: RunOptions): RunRequest {
  return { selectors, hashControls, chunkControls, ...(range === undefined ? {} : { range }) }
}

/** An outcome as it goes to another process. */
export function toldOutcome(outcome: RunOutcome): unknown {
  return { ...outcome, stopped: outcome.stopped.map(({ table, error }) => ({ table, error: toldError(error) })) }
}

function outcomeTold(told: unknown): RunOutcome {
  const outcome = told as Omit<RunOutcome, 'stopped'> & {
    readonly stopped: readonly { readonly table: SourceTableDef; readonly error: ToldError }[]
  }
  return { ...outcome, stopped: outcome.stopped.map(({ table, error }) => ({ table, error: errorTold(error) })) }
}

/** One run on an engine that is open: what `naru run` does, and `naru start` between its ticks. */
export async function runOn(
  open: OpenProject,
  engine: Engine,
  options: RunOptions,
  selected: readonly SelectedSource[] = selectTables(open.project.sources, options.selectors),
): Promise<RunOutcome> {
  const { env } = open
  const { signal } = options
  const startMs = env.clock.monotonicMs()
  refusePart(selected, options.range)
  const shared = { ...(await begin(open, engine, options)), ...options.pace }
  const { run } = shared
  const streams: RunStreams = openRunStreams({ ...options, open, engine })
  try {
    const reading = interfaceOf(engine, shared, options.hashControls)
    const polled = options.range === undefined ? withoutStreams(selected) : selected
    const { loads, waiting, ...read } = await extractAll(open, reading, polled, options)
    const steps = stepsOf(open, engine, {
      emit: shared.emit,
      publish: (pass, pace) =>
        publishAll(engine, { ...shared, ...pace }, { loads: [], stopped: [], passes: [pass], isLast: false }),
    })
    const { passes, stopped: unfit } =
      options.range === undefined
        ? await drainStreams(streams, reading, selected, {
            take: steps.take,
            isAlone: loads.length === 0,
            stepBytes: options.stepBytes,
          })
        : { passes: [], stopped: [] }
    const stopped = [...read.stopped, ...unfit]
    const [first] = stopped
    if (first !== undefined && stopped.length === selected.flatMap(it => it.tables).length) throw first.error
    const before = steps.sums
    const extractMs = env.clock.monotonicMs() - startMs - before.ms
    const published = await publishAll(
      engine,
      { ...shared, emit: steps.adding(shared.emit) },
      {
        loads,
        stopped,
        passes,
        isLast: true,
      },
    )
    const { taken, ...times } = published
    env.crash('run.publish.commit.after')
    // Only what the main file holds may be confirmed to a source; a first load also leaves its log behind here.
    const isKept = (await engine.checkpoint(0)) === 'done'
    env.crash('run.checkpoint.after')
    if (isKept) await streams.keepPlaces()
    const differing = await compareStreams(streams, { engine, reading, passes })
    await giveSpaceBack(engine, { emit: shared.emit, signal })
    const rowsRead = [...loads, ...published.firstLoads].reduce(
      (sum, load) => sum + Number(load.controls?.rows ?? 0n),
      0,
    )
    return {
      run: run.id,
      rowsRead: rowsRead + before.rowsRead + taken.reduce((sum, { changes }) => sum + changes.rows, 0),
      rowsStaged: before.rowsStaged + published.rowsStaged,
      rowsMoved: before.rowsMoved + published.rowsMoved,
      waiting,
      stopped: [...stopped, ...stoppedOf(taken)],
      differing,
      times: { ...times, etlMs: times.etlMs + before.ms, extractMs, totalMs: env.clock.monotonicMs() - startMs },
    }
  } catch (error) {
    const known = signal.aborted ? cancelled(run.id, error) : error
    await recordFailure(engine, shared, known)
    throw known
  } finally {
    await streams.close()
  }
}

/** Rows of a table that follows a stream may be older than what the stream gave: only a resync knows which. */
function refusePart(selected: readonly SelectedSource[], range: LoadRange | undefined): void {
  const table = selected.flatMap(it => it.tables).find(it => streamTechnique(it) !== null)
  if (range === undefined || table === undefined) return
  const problem = 'its changes come as a stream; naru resync reads a part of it again, with the same flags'
  throw fail('BACKFILL_RANGE', { table: `${table.source}.${table.name}`, problem })
}

/** Streams have no totals at their loads: a part of each table is compared with its source. */
async function compareStreams(
  { opened }: RunStreams,
  given: { readonly engine: Engine; readonly reading: InterfaceContext; readonly passes: readonly Pass[] },
): Promise<readonly Compared[]> {
  const { engine, reading } = given
  const asked = new Set(given.passes.flatMap(({ tables }) => tables))
  const comparing = { engine, signal: reading.signal, context: () => reading }
  return compareAfterRun(comparing, opened, table => asked.has(table))
}

/** What the interface stage is given in a run. */
export function interfaceOf(engine: Engine, shared: Omit<StageContext, 'tx'>, hashControls: boolean): InterfaceContext {
  return {
    ...shared,
    commit: body => engine.transaction(shared.signal, body),
    techniques,
    hashControls,
    engineTotals,
  }
}

/** The tables that are read, not those whose changes come as a stream. */
export function withoutStreams(selected: readonly SelectedSource[]): readonly SelectedSource[] {
  return selected
    .map(({ source, tables }) => ({ source, tables: tables.filter(table => streamTechnique(table) === null) }))
    .filter(({ tables }) => tables.length > 0)
}

/** Begins a run: what all of its stages share. */
export async function begin(
  open: OpenProject,
  engine: Engine,
  { signal, emit, isLive = false }: Pick<RunOptions, 'signal' | 'emit'> & { readonly isLive?: boolean },
): Promise<Omit<StageContext, 'tx'>> {
  const { env } = open
  await engine.transaction(signal, tx => prepare(tx, engine))
  env.crash('run.begin.before')
  const began = { nowMicros: env.clock.nowMicros(), host: env.processes.host, pid: env.processes.pid, isLive }
  const run = await engine.transaction(signal, tx => beginRun(tx, began))
  env.crash('run.begin.after')
  return { env, project: open.project, run, signal, emit, secret: open.secret }
}

/** Wherever an end from outside hit the run, a person reads the same. A failure that came just before it is told. */
export function cancelled(run: bigint, error: unknown): unknown {
  if (isNaruError(error) && error.code !== 'CANCELLED') return error
  return fail('CANCELLED', { what: `run ${run}` }, { cause: error })
}

/** Creates schemas and control tables that are not there yet. */
export async function prepare(tx: Transaction, { can }: Pick<Engine, 'can'>): Promise<void> {
  for (const name of schemas) await tx.execute(sql`create schema if not exists ${ident(name)}`)
  const indexes = can.indexes ? lookupIndexes : []
  await ensureControlTables(tx, [
    ...runTables,
    ...loadTables,
    ...streamTables,
    ...stageTables,
    stageControlTable,
    comparisonTable,
    ...indexes,
  ])
}

async function extractAll(
  open: OpenProject,
  ctx: InterfaceContext,
  selected: readonly SelectedSource[],
  {
    adapters,
    range = null,
    chunkControls = false,
  }: Pick<RunOptions, 'adapters' | 'chunkControls'> & { readonly range?: LoadRange | null },
): Promise<SourceExtract> {
  const loads: Extracted[] = []
  const waiting: string[] = []
  const stopped: StoppedTable[] = []
  for (const { source, tables } of selected) {
    const adapter = await openSource(open, source, adapters)
    try {
      const got = await extractSource(ctx, adapter, source, { tables, range, chunkControls })
      loads.push(...got.loads)
      waiting.push(...got.waiting)
      stopped.push(...got.stopped)
    } finally {
      await adapter.close()
    }
  }
  return { loads, waiting, stopped }
}

/** A source with those of its tables that a run is asked for. */
export interface SelectedSource {
  readonly source: SourceDef
  readonly tables: readonly SourceTableDef[]
}

/** The tables that selectors name: `ops` all of a source, `ops.flight` one table. */
function selectTables(sources: readonly SourceDef[], selectors: readonly string[]): readonly SelectedSource[] {
  const names = sources.flatMap(source => [source.name, ...source.tables.map(table => `${source.name}.${table.name}`)])
  for (const selector of selectors) {
    if (!names.includes(selector)) throw fail('SELECTOR_UNKNOWN', { selector, known: names.join(', ') })
  }
  const isSelected = (source: SourceDef, table: SourceTableDef): boolean =>
    selectors.length === 0 || selectors.includes(source.name) || selectors.includes(`${source.name}.${table.name}`)
  return sources
    .map(source => ({ source, tables: source.tables.filter(table => isSelected(source, table)) }))
    .filter(({ tables }) => tables.length > 0)
}

/** What one publishing transaction carries. */
export interface Publishing {
  readonly loads: readonly Extracted[]
  readonly stopped: readonly StoppedTable[]
  readonly passes: readonly Pass[]
  /** The run ends with it. Otherwise its figures give way to those of the transaction after it. */
  readonly isLast: boolean
  /** A publish of the same work follows that takes stock: where somebody wrote into a stage, it is that one which mends it. */
  readonly leavesStages?: boolean
  /** What else is to be done in the transaction. */
  readonly before?: (tx: Transaction) => Promise<void>
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
  shared: Omit<StageContext, 'tx'>,
  { loads, stopped, passes, isLast, before, leavesStages }: Publishing,
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
    env.crash('run.publish.commit.before')
    return { ...done, taken }
  })
  passed(run.id, times.taken)
  for (const { table, error } of stoppedOf(times.taken)) {
    const text = `${table.source}.${table.name} is not read and stays as it was: ${error.message}. ${error.fix}`
    shared.emit({ kind: 'note', level: 'warn', text, code: error.code })
  }
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

function stoppedOf(taken: readonly Taken[]): readonly StoppedTable[] {
  return taken.flatMap(({ table, changes }) =>
    changes.stopped === null ? [] : [{ table: table.config, error: changes.stopped }],
  )
}

/** What was read is refused: it would be refused again, so the next run reads the sources anew, where it may be corrected. */
const refusals: readonly Code[] = ['REJECT_LIMIT', 'DIMENSION_EMPTIED']

/** After a failure nothing of the run is visible; why it failed is kept. */
export async function recordFailure(engine: Engine, shared: Omit<StageContext, 'tx'>, error: unknown): Promise<void> {
  const { code, message } = knownError(error)
  const failure = { nowMicros: shared.env.clock.nowMicros(), code, text: message }
  try {
    await engine.transaction(new AbortController().signal, async tx => {
      await failRun(tx, shared.run, failure)
      await keepEvidence({ ...shared, tx }, error)
      if (isNaruError(error) && refusals.includes(error.code)) await abandonAccepted(tx)
    })
  } catch (second) {
    const text = `the failure of run ${shared.run.id} could not be recorded: ${messageOf(second)}`
    shared.emit({ kind: 'note', level: 'warn', text, code: 'RUN_NOT_RECORDED' })
  }
}
