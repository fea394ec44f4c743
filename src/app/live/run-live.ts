import { isNaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import { ident } from '../../core/sql.ts'
import { imageState } from '../../run/layouts.ts'
import { rememberedTable } from '../../run/remembered-columns.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { openProjectBus } from '../bus.ts'
import type { PollMemory } from './polls.ts'
import { LiveSession } from './session.ts'
import type { LiveCounts } from './status.ts'
import type { WaitingWork } from './turns.ts'
import type { LiveStatus } from './status-types.ts'
import type { OpenProject } from '../project.ts'
import type { AdapterImplementation } from '../registry.ts'
import { begin, recordFailure } from '../run-frame.ts'
import { runOn } from '../run-project.ts'

export interface LiveOptions {
  readonly emit: Emit
  /** Ends the session: what was published stays, and the engine is left with a checkpoint. */
  readonly signal: AbortSignal
  /** Called after every tick and whenever a stream changes its state: often, so it must be quick. */
  readonly onStatus?: (status: LiveStatus) => void
  /** Called when a tick that brought something of a source is published: what failed before is behind it. */
  readonly onPublished?: () => void
  /** Other adapters than the package's own: for tests. */
  readonly adapters?: Readonly<Record<string, AdapterImplementation>>
  /** How often it failed before in a row, in a process that tries again: what failed is taken with what came since. */
  readonly failures?: number
  /** What other commands want done between two ticks. */
  readonly waiting?: WaitingWork
  /** What polls remember of the sessions before, in a process that has several. */
  readonly polls?: PollMemory
  /** What tables did since the process began, in one that has several sessions. */
  readonly counts?: LiveCounts
  /** Longest wait for more changes once there is one, in milliseconds. */
  readonly lingerMs?: number
}

/**
 * Keeps the tables of a project behind their sources for as long as the signal lets it: what `naru start` does. The caller
 * holds the lease and has the engine open for writing; it is the only writer, queries may go on beside it.
 *
 * A project that was never published, or has a table with other columns than before, begins with a whole run, so that no stage sees some tables without the others. Then every
 * stream is read into its topic, and one publishing transaction after the other takes what waits in the topics and what was
 * polled. A stream that its source refuses stops by itself, and so does a table whose shape its contract does not take;
 * a stage that fails ends the session with its error, and nothing of its tick is visible.
 */
export async function runLive(open: OpenProject, engine: Engine, options: LiveOptions): Promise<void> {
  const { signal } = options
  try {
    if (await needsRun(open, engine)) await runAll(open, engine, options)
    if (!signal.aborted) await follow(open, engine, options)
  } catch (error) {
    if (!signal.aborted || (isNaruError(error) && error.code !== 'CANCELLED')) throw error
  }
}

async function runAll(open: OpenProject, engine: Engine, { emit, signal, adapters }: LiveOptions): Promise<void> {
  const asked = { selectors: [], hashControls: false, emit, signal }
  await runOn(open, engine, { ...asked, ...(adapters === undefined ? {} : { adapters }) })
}

async function follow(open: OpenProject, engine: Engine, options: LiveOptions): Promise<void> {
  const bus = await openProjectBus(open, options.emit)
  try {
    const shared = await begin(open, engine, { ...options, isLive: true })
    const session = new LiveSession({ open, engine, bus, options, shared })
    try {
      await session.follow()
    } catch (error) {
      // An end from outside takes no more than the tick that was going.
      const isEnd = options.signal.aborted && (!isNaruError(error) || error.code === 'CANCELLED')
      await session.close(isEnd ? null : error)
      if (isEnd) return
      await recordFailure(engine, { ...session.shared, signal: new AbortController().signal }, error)
      throw error
    }
    await session.close(null)
  } finally {
    await bus.close()
  }
}

/** True when no table of the project has an image yet, or one has an image of other columns: stages need all tables as the config says. */
async function needsRun({ project }: Pick<OpenProject, 'project'>, engine: Engine): Promise<boolean> {
  return engine.transaction(new AbortController().signal, async tx => {
    if (!(await tx.exists(ident('naru', 'load')))) return true
    let isNew = true
    for (const config of project.sources.flatMap(source => source.tables)) {
      const table = await rememberedTable(tx, config)
      const state = await imageState(tx, table)
      if (state === 'other') return true
      isNew &&= state === 'none'
    }
    return isNew
  })
}
