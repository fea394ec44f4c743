import type { SourceTableDef } from '../config/model.ts'
import type { Emit } from '../core/events.ts'
import { errorTold, fail, isNaruError, toldError, type ToldError } from '../core/errors.ts'
import type { Extracted, InterfaceContext } from '../etl/interface/index.ts'
import type { RunContext } from '../run/context.ts'
import type { LoadRange } from '../run/loads.ts'
import { streamTechnique } from '../run/streams.ts'
import type { Engine } from '../services/engine/contract.ts'
import { extractSource, openSource, type SourceExtract, type StoppedTable } from './extract.ts'
import { giveSpaceBack } from './give-space-back.ts'
import { tellLeftBehind } from './check/leftovers.ts'
import type { OpenProject } from './project.ts'
import { publishAll, stoppedOf, type Pace, type PublishedAll, type Publishing } from './publish.ts'
import type { AdapterImplementation } from './registry.ts'
import { begin, cancelled, interfaceOf, recordFailure } from './run-frame.ts'
import { requireSecrets } from './secrets.ts'
import { selectTables, withoutStreams, type SelectedSource } from './selection.ts'
import { handOver } from './server/hand-over.ts'
import type { Compared } from './stream/compare.ts'
import { compareAfterRun } from './stream/compare-run.ts'
import { drainStreams, openRunStreams, type RunStreams } from './stream/run-streams.ts'
import { stepsOf } from './stream/steps.ts'
import { lostBy, type Pass } from './stream/tick.ts'
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
  return writing(open, { command: 'naru run', signal, emit }, async engine => {
    await tellLeftBehind(open, options)
    return runOn(open, engine, options)
  })
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
export async function runOn(open: OpenProject, engine: Engine, options: RunOptions): Promise<RunOutcome> {
  const { env } = open
  const { signal } = options
  const selected = selectTables(open.project.sources, options.selectors)
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
    const asked = selected.flatMap(it => it.tables).length
    const before = steps.sums
    const extractMs = env.clock.monotonicMs() - startMs - before.ms
    const publishing = { loads, stopped: [...read.stopped, ...unfit], passes, isLast: true }
    const { stopped, ...published } = await publishFit(
      engine,
      { ...shared, emit: steps.adding(shared.emit) },
      { publishing, asked },
    )
    const { taken, ...times } = published
    env.crash('run.publish.commit.after')
    // Only what the main file holds may be confirmed to a source; a first load also leaves its log behind here.
    const isKept = (await engine.checkpoint(0)) === 'done'
    env.crash('run.checkpoint.after')
    if (isKept) await streams.releaseTopics()
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

/**
 * Publishes what can be told: a stream that turns out to be lost keeps its tables as they are, and nobody else's. Throws why, when
 * nothing is left of what was `asked`, so many tables.
 */
async function publishFit(
  engine: Engine,
  shared: RunContext,
  { publishing, asked }: { readonly publishing: Publishing; readonly asked: number },
): Promise<PublishedAll & Pick<Publishing, 'stopped'>> {
  const { stopped, passes } = publishing
  const [first] = stopped
  if (first !== undefined && stopped.length === asked) throw first.error
  try {
    return { ...(await publishAll(engine, shared, publishing)), stopped }
  } catch (error) {
    const lost = lostBy(error, passes)
    if (!isNaruError(error) || lost.length === 0) throw error
    const more = lost.flatMap(({ tables }) => tables.map(({ config }) => ({ table: config, error })))
    const left = passes.filter(it => !lost.includes(it))
    return publishFit(engine, shared, {
      publishing: { ...publishing, stopped: [...stopped, ...more], passes: left },
      asked,
    })
  }
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
