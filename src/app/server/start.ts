import { fail, messageOf } from '../../core/errors.ts'
import type { RunEvent } from '../../core/events.ts'
import { knownError } from '../../core/known-error.ts'
import type { Engine } from '../../services/engine/contract.ts'
import type { Bus } from '../../services/bus/contract.ts'
import { openProjectBus } from '../bus.ts'
import { answerFeed, answerSubscribers } from '../subscribe/answer.ts'
import { Feeds } from '../subscribe/feeds.ts'
import { runLive } from '../live.ts'
import { pollMemory } from '../live/polls.ts'
import type { LiveStatus, LiveTable } from '../live-status.ts'
import type { OpenProject } from '../project.ts'
import { pauseOf } from '../retry.ts'
import { tableFaults } from '../table-faults.ts'
import { requireSecrets } from '../secrets.ts'
import { holding } from '../writing.ts'
import { makeCrew, type Crew } from './crew.ts'
import { isEnginesEnd } from './engines-end.ts'
import { serverCommand } from './hand-over.ts'
import { openHeads } from './heads.ts'
import type { ServerReport, Trouble } from './report.ts'
import { serve, type Duties, type Serving } from './serve.ts'
import { makeWatchdog, type Alarm } from './watchdog.ts'
import { workDuty } from './work.ts'

/** How often the watchdog looks. */
const LOOK_MS = 2_000
/** A loop that went on so long had gone well: what ends it then is told, also when it ended one before. */
const wellMs = 60_000

/** What a server tells whoever runs it, as it happens. */
export type ServerEvent =
  | { readonly kind: 'ready'; readonly address: string; readonly process: number }
  | {
      readonly kind: 'note'
      readonly level: 'info' | 'warn' | 'error'
      readonly text: string
      readonly code: string | null
    }

export interface StartOptions {
  /** Asks it to end. */
  readonly signal: AbortSignal
  readonly tell: (event: ServerEvent) => void
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
      if (event.kind === 'note') options.tell({ ...event, code: event.code ?? null })
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
  { signal, tell, stallMs }: StartOptions,
): Promise<Stopped> {
  const stop = new AbortController()
  const ending = AbortSignal.any([signal, stop.signal])
  const state = makeState(open, tell)
  const crew = makeCrew()
  const feeds = new Feeds(open, open.bus)
  const duties: Duties = {
    work: workDuty(open, engine, { alone: crew.alone, ending }),
    status: async channel =>
      channel.send({ done: true, result: { ...report(open, state, crew), subscribers: await feeds.list() } }),
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
  try {
    await live(open, engine, { state, crew, signal: ending })
    return { inFlight }
  } finally {
    await end(serving, watching)
  }
}

async function end(serving: Serving, stopWatching: () => Promise<void>): Promise<void> {
  await serving.close()
  await stopWatching()
}

/** What the server knows of itself. */
interface State {
  status: LiveStatus | null
  troubles: readonly Trouble[]
  /** Why the loop as a whole ended and begins anew. */
  broken: Trouble | null
  /** What begins and has not ended: reads go on beside ticks. */
  readonly steps: Set<string>
  alarms: readonly Alarm[]
  lastError: ServerReport['lastError']
  readonly beganMicros: bigint
  note(level: 'info' | 'warn' | 'error', text: string, code: string | null): void
  emit(event: RunEvent): void
}

function makeState(open: OpenProject, tell: StartOptions['tell']): State {
  const { clock } = open.env
  // What differs in the shape of a table is met again whenever its stream is opened.
  const shapes = new Set<string>()
  const isKnownShape = ({ code, text }: RunEvent & { readonly kind: 'note' }): boolean => {
    if (!tableFaults.some(it => it === code)) return false
    const isKnown = shapes.has(text)
    shapes.add(text)
    return isKnown
  }
  const state: State = {
    status: null,
    troubles: [],
    broken: null,
    steps: new Set(),
    alarms: [],
    lastError: null,
    beganMicros: clock.nowMicros(),
    note: (level, text, code) => {
      if (level === 'error') state.lastError = { code: code ?? 'INTERNAL', text, atMicros: clock.nowMicros() }
      tell({ kind: 'note', level, text, code })
    },
    emit: event => {
      if (event.kind === 'step') {
        if (event.state === 'begin') state.steps.add(event.step)
        else state.steps.delete(event.step)
        if (event.state === 'end' && (event.rows ?? 0) > 0) {
          tell({ kind: 'note', level: 'info', text: `${event.step}: ${event.rows} rows`, code: null })
        }
      }
      if (event.kind !== 'note' || isKnownShape(event)) return
      tell({ ...event, code: event.code ?? null })
    },
  }
  return state
}

/** Runs the loop, and between two of its ticks what other commands handed over. */
async function live(
  open: OpenProject,
  engine: Engine,
  { state, crew, signal }: { readonly state: State; readonly crew: Crew; readonly signal: AbortSignal },
): Promise<void> {
  let failures = 0
  let told: string | null = null
  const polls = pollMemory()
  while (!signal.aborted) {
    const beganMs = open.env.clock.monotonicMs()
    const until = AbortSignal.any([signal, crew.begin()])
    try {
      await runLive(open, engine, {
        emit: state.emit,
        signal: until,
        polls,
        failures,
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
        const isSame = told === message && open.env.clock.monotonicMs() - beganMs < wellMs
        told = message
        state.broken = { what: 'everything', code, text: message, fix, sinceMicros, isRetried: true }
        const text = `${message}; it begins anew, first in ${(pauseMs / 1000).toFixed(1)} s. ${fix}`
        if (!isSame) state.note('error', text, code)
        await open.env.clock.sleep(pauseMs, until).catch(() => {})
      }
    }
    state.steps.clear()
    await crew.work(signal)
  }
  crew.close(signal.reason)
}

/** Says once what began to fail, and once that it goes well again. */
function onStatus(open: OpenProject, state: State, now: LiveStatus): void {
  const failing = failingIn(now)
  const nowMicros = open.env.clock.nowMicros()
  const before = state.troubles
  state.status = now
  for (const { source, trouble } of now.sources) {
    // A read that failed has no end of its own.
    for (const step of state.steps)
      if (trouble !== null && step.startsWith(`interface ${source}.`)) state.steps.delete(step)
  }
  state.broken = null
  state.troubles = failing.map(it => {
    const known = before.find(({ what, code }) => what === it.what && code === it.code)
    return { ...it, sinceMicros: known?.sinceMicros ?? nowMicros }
  })
  for (const { what, code, text, fix, isRetried } of state.troubles) {
    if (before.some(it => it.what === what && it.code === code)) continue
    const then = isRetried ? 'it is tried again' : `it stands still until that is mended, the others go on. ${fix}`
    state.note('error', `${what}: ${text}; ${then}`, code)
  }
  for (const { what } of before) {
    if (!state.troubles.some(it => it.what === what)) state.note('info', `${what} goes well again`, null)
  }
}

/** Streams, polls and tables that fail: what stops a stream is told once, and not for each of its tables. */
function failingIn({ sources, tables }: LiveStatus): readonly Omit<Trouble, 'sinceMicros'>[] {
  const ofSources = sources.flatMap(({ source, technique, trouble }) => {
    if (trouble === null) return []
    const { code, text, fix, againMicros } = trouble
    return [{ what: `${source} (${technique})`, code, text, fix, isRetried: againMicros !== null }]
  })
  const isOfSource = ({ table, technique, error }: LiveTable): boolean =>
    sources.some(
      it => it.trouble?.code === error?.code && it.technique === technique && table.startsWith(`${it.source}.`),
    )
  const ofTables = tables.flatMap(it => (it.error === null || isOfSource(it) ? [] : [{ what: it.table, ...it.error }]))
  return [...ofSources, ...ofTables]
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

function inFlightOf({ steps }: State, crew: Crew): string | null {
  return crew.doing() ?? (steps.size === 0 ? null : [...steps].join(', '))
}

function report(open: OpenProject, state: State, crew: Crew): Omit<ServerReport, 'subscribers'> {
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
