import type { Emit } from '../core/events.ts'
import { isNaruError } from '../core/errors.ts'
import { knownError } from '../core/known-error.ts'
import type { SourceDef, SourceTableDef } from '../config/model.ts'
import type { Engine } from '../services/engine/contract.ts'
import type { LiveStatus, LiveTable } from './live/status.ts'
import type { OpenProject } from './project.ts'
import { pauseOf } from './retry.ts'
import { runOn } from './run-project.ts'
import { isEnginesEnd } from './server/engines-end.ts'

export type { LiveStatus, LiveStream, LiveTable } from './live/status.ts'

/** How often tables are read that do not come as a stream, unless the source says. */
const everyMsDefault = 60_000

export interface LiveOptions {
  readonly emit: Emit
  /** Ends the session: what was not published is rolled back and comes again. */
  readonly signal: AbortSignal
  readonly onStatus?: (status: LiveStatus) => void
}

/**
 * Keeps the polled tables of a project behind their sources until the signal. A source that fails is tried again after
 * pauses, and the others go on; throws only when the engine itself is of no more use.
 */
export async function runLive(open: OpenProject, engine: Engine, options: LiveOptions): Promise<void> {
  const { signal, onStatus } = options
  const { clock } = open.env
  const polls = open.project.sources.map(pollOf).filter(it => it.tables.length > 0)
  const tell = (): void => onStatus?.(statusOf(polls))
  tell()
  while (!signal.aborted) {
    const next = polls.toSorted((a, b) => a.dueMs - b.dueMs)[0]
    const waitMs = next === undefined ? everyMsDefault : next.dueMs - clock.monotonicMs()
    if (waitMs > 0) await untilAborted(clock.sleep(waitMs, signal))
    if (signal.aborted || next === undefined) continue
    await pollOnce(open, engine, next, options)
    tell()
  }
}

interface Poll {
  readonly source: SourceDef
  readonly tables: readonly SourceTableDef[]
  dueMs: number
  failures: number
  error: LiveTable['error']
}

const streams: readonly string[] = ['log', 'trigger', 'event', 'status']

function pollOf(source: SourceDef): Poll {
  const tables = source.tables.filter(table => !streams.includes(table.change.technique))
  return { source, tables, dueMs: 0, failures: 0, error: null }
}

async function pollOnce(open: OpenProject, engine: Engine, poll: Poll, { emit, signal }: LiveOptions): Promise<void> {
  const { clock } = open.env
  try {
    const selectors = poll.tables.map(table => `${table.source}.${table.name}`)
    await runOn(open, engine, { selectors, hashControls: false, emit, signal })
    ;[poll.failures, poll.error] = [0, null]
    poll.dueMs = clock.monotonicMs() + (poll.source.everyMs ?? everyMsDefault)
  } catch (error) {
    if (signal.aborted) return
    if (isEnginesEnd(error)) throw error
    const { code, message: text } = knownError(error)
    poll.error = { code, text }
    poll.dueMs = clock.monotonicMs() + pauseOf(open.env, poll.failures++)
  }
}

function statusOf(polls: readonly Poll[]): LiveStatus {
  const tables = polls.flatMap(({ tables, error }) =>
    tables.map(table => ({
      table: `${table.source}.${table.name}`,
      technique: table.change.technique,
      state: 'polled' as const,
      position: null,
      committedMicros: null,
      secondsBehind: null,
      rows: 0,
      rejected: 0,
      error,
    })),
  )
  return { run: '', state: 'following', streams: [], tables, ticks: 0, lastTickMs: null, rows: 0 }
}

/** The end of a wait, however it came. */
async function untilAborted(wait: Promise<void>): Promise<void> {
  try {
    await wait
  } catch (error) {
    if (!isNaruError(error, 'CANCELLED')) throw error
  }
}
