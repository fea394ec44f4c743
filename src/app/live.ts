import type { Emit } from '../core/events.ts'
import { isNaruError } from '../core/errors.ts'
import { knownError } from '../core/known-error.ts'
import type { SourceDef } from '../config/model.ts'
import type { Engine } from '../services/engine/contract.ts'
import { percentilesOf, type LiveStatus, type LiveTrouble } from './live-status.ts'
import type { OpenProject } from './project.ts'
import { pauseOf } from './retry.ts'
import { runOn } from './run-project.ts'

/** How often tables are read that do not come as a stream, unless the source says. */
const everyMsDefault = 60_000
/** Figures of a table that its percentiles are made of. */
const FIGURES_MAX = 500

export interface LiveOptions {
  readonly emit: Emit
  /** Ends the loop: what was not published is rolled back and comes again. */
  readonly signal: AbortSignal
  /** Called whenever something in it changes. */
  readonly onStatus: (status: LiveStatus) => void
}

/**
 * Keeps a project up to date until the signal. A source that fails is tried again after pauses, and the others go on; throws only
 * when the engine itself is of no more use, see `isEnginesEnd`.
 */
export async function runLive(open: OpenProject, engine: Engine, options: LiveOptions): Promise<void> {
  const { signal } = options
  const { clock } = open.env
  const polled = open.project.sources.map(source => pollOf(source)).filter(it => it.selectors.length > 0)
  const tell = (): void => options.onStatus({ sources: polled.map(sourceStatus), tables: polled.flatMap(tableStatus) })
  tell()
  while (!signal.aborted) {
    const next = polled.toSorted((a, b) => a.dueMs - b.dueMs)[0]
    const waitMs = next === undefined ? everyMsDefault : next.dueMs - clock.monotonicMs()
    if (waitMs > 0) await untilAborted(clock.sleep(waitMs, signal))
    if (signal.aborted || next === undefined) continue
    await pollOnce(open, engine, next, options)
    tell()
  }
}

/** True for an error after which this process can do nothing more with its database. */
export function isEnginesEnd(error: unknown): boolean {
  if (!isNaruError(error)) return false
  if (['ENGINE_DAMAGED', 'ENGINE_CLOSED', 'ENGINE_UNREACHABLE', 'ENGINE_HELD'].includes(error.code)) return true
  return error.code === 'ENGINE_SQL' && /FATAL Error|has been invalidated/.test(error.message)
}

interface Poll {
  readonly source: SourceDef
  readonly selectors: readonly string[]
  readonly everyMs: number
  dueMs: number
  readMicros: bigint | null
  trouble: LiveTrouble | null
  /** Ages of changes when they became visible, at most. */
  readonly figures: number[]
}

const streams: readonly string[] = ['log', 'trigger', 'event', 'status']

function pollOf(source: SourceDef): Poll {
  const tables = source.tables.filter(table => !streams.includes(table.change.technique))
  const selectors = tables.map(table => `${table.source}.${table.name}`)
  const everyMs = source.everyMs ?? everyMsDefault
  return { source, selectors, everyMs, dueMs: 0, readMicros: null, trouble: null, figures: [] }
}

async function pollOnce(open: OpenProject, engine: Engine, poll: Poll, { emit, signal }: LiveOptions): Promise<void> {
  const { clock } = open.env
  const beganMicros = clock.nowMicros()
  try {
    await runOn(open, engine, { selectors: poll.selectors, hashControls: false, emit, signal })
    // What changed right behind the last view has waited until now.
    const ageMicros = clock.nowMicros() - (poll.readMicros ?? beganMicros)
    poll.figures.push(Number(ageMicros / 1000n))
    if (poll.figures.length > FIGURES_MAX) poll.figures.shift()
    poll.readMicros = beganMicros
    poll.trouble = null
    poll.dueMs = clock.monotonicMs() + poll.everyMs
  } catch (error) {
    if (signal.aborted) return
    if (isEnginesEnd(error)) throw error
    const failures = (poll.trouble?.failures ?? 0) + 1
    const pauseMs = pauseOf(open.env, failures - 1)
    const { code, message: text, fix } = knownError(error)
    const sinceMicros = poll.trouble?.sinceMicros ?? clock.nowMicros()
    const againMicros = clock.nowMicros() + BigInt(Math.round(pauseMs)) * 1000n
    poll.trouble = { code, text, fix, sinceMicros, failures, againMicros }
    poll.dueMs = clock.monotonicMs() + pauseMs
  }
}

function sourceStatus({ source, everyMs, readMicros, trouble }: Poll): LiveStatus['sources'][number] {
  return { source: source.name, technique: 'poll', position: null, everyMs, readMicros, trouble }
}

function tableStatus({ source, selectors, figures }: Poll): LiveStatus['tables'] {
  return source.tables
    .filter(table => selectors.includes(`${table.source}.${table.name}`))
    .map(table => ({
      table: `${table.source}.${table.name}`,
      technique: table.change.technique,
      position: null,
      behindMs: percentilesOf(figures),
    }))
}

/** The end of a wait, however it came. */
async function untilAborted(wait: Promise<void>): Promise<void> {
  try {
    await wait
  } catch (error) {
    if (!isNaruError(error, 'CANCELLED')) throw error
  }
}
