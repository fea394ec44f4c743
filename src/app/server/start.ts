import { fail, messageOf, type Code } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import type { Engine } from '../../services/engine/contract.ts'
import type { Bus } from '../../services/bus/contract.ts'
import { openProjectBus } from '../bus.ts'
import { answerFeed, answerSubscribers } from '../subscribe/answer.ts'
import { Feeds } from '../subscribe/feeds.ts'
import { runLive } from '../live/run-live.ts'
import { pollMemory } from '../live/polls.ts'
import { LiveCounts } from '../live/status.ts'
import type { OpenProject } from '../project.ts'
import { pauseOf } from '../retry.ts'
import { tellLeftBehind } from '../check/leftovers.ts'
import { requireSecrets } from '../secrets.ts'
import { holding } from '../writing.ts'
import { makeCrew, type Crew } from './crew.ts'
import { isEnginesEnd } from './engines-end.ts'
import { serverCommand } from './greeting.ts'
import { openHeads } from './heads.ts'
import type { ServerEvent, ServerReport } from './report.ts'
import { serve, type Duties, type Serving } from './serve.ts'
import { makeState, onStatus, told, type State } from './troubles.ts'
import { makeWatchdog } from './watchdog.ts'
import { workDuty } from './work.ts'

/** How often the watchdog looks. */
const LOOK_MS = 2_000
/** A loop that went on so long had gone well: what ends it then is told, also when it ended one before. */
const wellMs = 60_000

/** What a server is started with. */
export interface StartOptions {
  /** Asks it to end. */
  readonly signal: AbortSignal
  readonly tell: (event: ServerEvent) => void
  /** Called when it begins to end, whoever asked for it. */
  readonly ending?: () => void
  /** How long a source may be ahead of us without anything of it coming. */
  readonly stallMs: number
}

/** How a server ended. */
export interface Stopped {
  /** What was going on when it was asked to end, and was taken back; `null` when nothing was. */
  readonly inFlight: string | null
}

/**
 * The server: keeps the project up to date, answers the other commands, and does the work that they hand to it, until it is
 * asked to end. A source that fails is tried again and ends nothing; throws when the database is of no more use.
 */
export async function startServer(open: OpenProject, options: StartOptions): Promise<Stopped> {
  requireSecrets(open.secret, open.project, open.project.sources)
  return holding(open, { command: serverCommand, signal: options.signal }, async engine => {
    // One for as long as it runs: applications take changes from it while the loop stands still.
    const bus = await openProjectBus(open, event => {
      if (event.kind === 'note') options.tell(told(event))
    })
    try {
      return await run({ ...open, bus, held: new Set() }, engine, options)
    } finally {
      await bus.close()
    }
  })
}

async function run(
  open: OpenProject & { readonly bus: Bus },
  engine: Engine,
  { signal, tell, stallMs, ending: onEnding }: StartOptions,
): Promise<Stopped> {
  const stop = new AbortController()
  const ending = AbortSignal.any([signal, stop.signal])
  ending.addEventListener('abort', () => onEnding?.(), { once: true })
  const state = makeState(open, tell)
  const crew = makeCrew()
  const feeds = new Feeds(open, open.bus)
  const duties: Duties = {
    work: workDuty(open, engine, { turns: crew, ending }),
    status: async channel =>
      channel.send({ done: true, result: await statusOf(report(open, state, crew), feeds, open) }),
    feed: (channel, request, until) => answerFeed(feeds, channel, request, until),
    subscribers: (channel, request) => answerSubscribers(feeds, channel, request),
    stop: async channel => {
      await channel.send({ done: true, result: { inFlight: inFlightOf(state, crew) } })
      stop.abort(fail('CANCELLED', { what: 'the server (naru stop)' }))
    },
  }
  const serving = await serve(open, engine, { command: serverCommand, duties })
  tell({ kind: 'ready', address: serving.address, process: open.env.processes.pid })
  const watching = await watch(open, state, { stallMs, signal: ending })
  let inFlight: string | null = null
  ending.addEventListener('abort', () => (inFlight = inFlightOf(state, crew)), { once: true })
  const leaving = new AbortController()
  const telling = tellLeft(open, state, AbortSignal.any([ending, leaving.signal]))
  try {
    await live(open, engine, { state, crew, signal: ending })
    crew.close(ending.reason)
    return { inFlight }
  } catch (error) {
    onEnding?.()
    // Whoever handed work over is told: nobody does it any more, and the end of the server waits for who waits.
    crew.close(error)
    throw error
  } finally {
    leaving.abort(fail('CANCELLED', { what: 'the server' }))
    await telling
    await end(serving, watching)
  }
}

/** Once in the life of a server, and beside its ticks: a source that is away holds up nothing. Never throws. */
async function tellLeft(open: OpenProject, { emit, note }: State, signal: AbortSignal): Promise<void> {
  try {
    await tellLeftBehind(open, { emit, signal })
  } catch (error) {
    if (signal.aborted) return
    const { message, code } = knownError(error)
    note('warn', `what streams left at their sources could not be told: ${message}`, code)
  }
}

async function end(serving: Serving, stopWatching: () => Promise<void>): Promise<void> {
  await serving.close()
  await stopWatching()
}

/** Runs the loop, and between two of its ticks what other commands handed over. */
async function live(
  open: OpenProject,
  engine: Engine,
  { state, crew, signal }: { readonly state: State; readonly crew: Crew; readonly signal: AbortSignal },
): Promise<void> {
  let failures = 0
  let told: Code | null = null
  const polls = pollMemory()
  const counts = new LiveCounts()
  while (!signal.aborted) {
    const beganMs = open.env.clock.monotonicMs()
    const until = AbortSignal.any([signal, crew.begin()])
    try {
      await runLive(open, engine, {
        emit: state.emit,
        signal: until,
        polls,
        counts,
        failures,
        waiting: crew.visits,
        onStatus: status => onStatus(open, state, status),
        // However long it went on: what stages refused takes more with each try until it is let through.
        onPublished: () => (failures = 0),
      })
    } catch (error) {
      if (isEnginesEnd(error)) throw error
      if (!until.aborted) {
        const { code, message, fix } = knownError(error)
        const pauseMs = pauseOf(open.env, failures++)
        const sinceMicros = state.broken?.sinceMicros ?? open.env.clock.nowMicros()
        const isSame = told === code && open.env.clock.monotonicMs() - beganMs < wellMs
        told = code
        state.broken = { what: 'everything', code, text: message, fix, sinceMicros, isRetried: true }
        const text = `${message}; it begins anew, first in ${(pauseMs / 1000).toFixed(1)} s. ${fix}`
        if (!isSame) state.note('error', text, code)
        await open.env.clock.sleep(pauseMs, until).catch(() => {})
      }
    }
    state.steps.clear()
    await crew.work(signal)
  }
}

/** Looks every few seconds whether the loop stands still; gives what ends it. */
async function watch(
  open: OpenProject,
  state: State,
  { stallMs, signal }: { readonly stallMs: number; readonly signal: AbortSignal },
): Promise<() => Promise<void>> {
  const { clock } = open.env
  const heads = openHeads(open, signal)
  const watchdog = makeWatchdog(stallMs)
  const look = async (): Promise<void> => {
    state.tellRows()
    if (state.status === null) return
    const alarms = watchdog.look(clock.monotonicMs(), state.status, await heads.now())
    for (const { source, error } of alarms) {
      if (state.alarms.some(it => it.source === source)) continue
      state.note('error', `${error.message}. ${error.fix}`, error.code)
    }
    if (alarms.length === 0 && state.alarms.length > 0) state.note('info', 'nothing stands still any more', null)
    state.alarms = alarms
  }
  let looking = Promise.resolve()
  let isLooking = false
  const stop = clock.every(LOOK_MS, () => {
    if (isLooking || signal.aborted) return
    isLooking = true
    looking = look().then(
      () => void (isLooking = false),
      error => {
        isLooking = false
        state.note('warn', `the watchdog could not look: ${messageOf(error)}`, knownError(error).code)
      },
    )
  })
  return async () => {
    stop()
    await looking
    await heads.close()
  }
}

/** With the subscribers; where the durable log does not say them, why: what else is wrong is told all the same. */
async function statusOf(
  told: ReturnType<typeof report>,
  feeds: Feeds,
  { env }: Pick<OpenProject, 'env'>,
): Promise<Omit<ServerReport, 'config'>> {
  try {
    return { ...told, subscribers: await feeds.list() }
  } catch (error) {
    const { code, message: text, fix } = knownError(error)
    const sinceMicros = env.clock.nowMicros()
    const trouble = { what: 'the subscribers', code, text, fix, sinceMicros, isRetried: false }
    const state = told.state === 'stalled' ? told.state : 'trouble'
    return { ...told, state, troubles: [...told.troubles, trouble], subscribers: [] }
  }
}

function inFlightOf({ steps }: State, crew: Crew): string | null {
  return crew.doing() ?? (steps.size === 0 ? null : [...steps].join(', '))
}

function report(open: OpenProject, state: State, crew: Crew): Omit<ServerReport, 'subscribers' | 'config'> {
  const { clock, processes } = open.env
  const troubles = [...(state.broken === null ? [] : [state.broken]), ...state.troubles]
  return {
    command: serverCommand,
    process: processes.pid,
    host: processes.host,
    sinceMicros: state.beganMicros,
    uptimeMs: Number((clock.nowMicros() - state.beganMicros) / 1000n),
    state: state.alarms.length > 0 ? 'stalled' : troubles.length > 0 ? 'trouble' : 'well',
    doing: inFlightOf(state, crew),
    alarms: state.alarms.map(({ error: { code, message, fix } }) => ({ code, text: message, fix })),
    troubles,
    live: state.status,
    lastError: state.lastError,
  }
}
