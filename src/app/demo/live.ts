import path from 'node:path'
import { fail } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import { rawSql } from '../../core/sql.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { loadServers } from './sources.ts'
import { makeSights, type Sights } from './sights.ts'
import type { LiveStatus } from '../live/status-types.ts'
import type { Percentiles } from '../percentiles.ts'
import { runLive } from '../live/run-live.ts'
import type { OpenProject } from '../project.ts'
import { writing } from '../writing.ts'

type Traffic = Awaited<ReturnType<Awaited<ReturnType<typeof loadServers>>['startTraffic']>>
export type Storm = Traffic['storm']

/** Lines of the example's config that a live demo has in place of others: how changes are seen, and how often files are looked for. */
export const liveLines = {
  technique: "changes: { '*': { technique: 'log' } },",
  every: "every: '2s',",
} as const

/** What a second of a live demo brought. */
export interface LiveSecond {
  readonly second: number
  /** What was committed at the source in this second, by kind. */
  readonly changes: Readonly<Record<string, number>>
  /** Longest of the changes that became visible in this second, in milliseconds behind their commits; `null` without any. */
  readonly odsMs: number | null
  readonly martMs: number | null
  /** The group of the mart that the storm changes, and its place by mean delay among those of its month. */
  readonly storm: {
    readonly flights: number
    readonly delayAvg: number
    readonly place: number
    readonly of: number
  } | null
}

/** How a live demo ended. */
export interface LiveOutcome {
  readonly seconds: number
  readonly changes: Readonly<Record<string, number>>
  readonly odsMs: Percentiles | null
  readonly martMs: Percentiles | null
  /** How long the airport took that the partner announced by a file; `null` when there was none. */
  readonly airportMs: number | null
  /** Changes that were not visible when it ended. */
  readonly missing: number
  readonly source: { readonly flights: bigint; readonly delays: bigint }
  /** The same totals of the copy, in staging. */
  readonly copy: { readonly flights: bigint; readonly delays: bigint }
  readonly agrees: boolean
}

export interface LiveDemoOptions {
  readonly url: string
  /** Folder of the partner. */
  readonly drop: string
  readonly seconds: number
  readonly emit: Emit
  /** Before the streams are live it takes everything back; after it ends the show early. */
  readonly signal: AbortSignal
  readonly onReady: (storm: Storm) => void
  readonly onSecond: (second: LiveSecond) => void
}

/** Between two changes at the source. */
const pauseMs = 250
/** Longest wait for the streams to begin, and for the last changes to be visible. */
const readyMsMax = 120_000
const lastMsMax = 30_000
const lookMs = 50

/** The example's config with its changes from the log. Throws when the example no longer has the lines that are replaced. */
export function liveConfig(text: string): string {
  const technique = text.replace(/changes: \{ flight: \{ technique: 'timestamp'.*$/m, liveLines.technique)
  const comment = technique.replace(/^ *\/\/ A timestamp cannot show a delete.*\n/m, '')
  const every = comment.replace("url: env('PARTNER_URL'),", `url: env('PARTNER_URL'),\n  ${liveLines.every}`)
  if (technique === text || every === comment) throw new TypeError('the example has no line to replace')
  return every
}

/**
 * Runs the project once and keeps it live, as `naru start` does, while the airline changes its flights; tells each second what
 * changed and how far the ODS and the mart were behind.
 */
export async function runLiveDemo(open: OpenProject, options: LiveDemoOptions): Promise<LiveOutcome> {
  const { emit, signal } = options
  return writing(open, { command: 'naru demo --live', signal, emit }, async engine => {
    const live = new AbortController()
    const sights = makeSights(engine, open.env.clock)
    const state: { status: LiveStatus | null; isReady: boolean } = { status: null, isReady: false }
    const going = runLive(open, engine, {
      emit: event => (state.isReady && event.kind !== 'note' ? undefined : emit(event)),
      signal: live.signal,
      onStatus: status => {
        state.status = status
        sights.look()
      },
    })
    const lost = going.then(() => {
      throw fail('CANCELLED', { what: 'the live session' })
    })
    lost.catch(() => {})
    try {
      await Promise.race([lost, untilReady(open, state, signal)])
      state.isReady = true
      return await Promise.race([lost, show(open, engine, { options, sights })])
    } finally {
      live.abort(fail('CANCELLED', { what: 'the live session' }))
      await sights.idle()
      await going
    }
  })
}

async function untilReady(
  open: OpenProject,
  state: { readonly status: LiveStatus | null },
  signal: AbortSignal,
): Promise<void> {
  const { clock } = open.env
  const untilMs = clock.monotonicMs() + readyMsMax
  for (;;) {
    signal.throwIfAborted()
    const { status } = state
    if (status !== null && status.tables.every(table => table.state === 'live' || table.state === 'polled')) return
    if (clock.monotonicMs() > untilMs) {
      const why = [...(status?.sources ?? []).map(it => it.trouble), ...(status?.tables ?? []).map(it => it.error)]
      const text = why.find(it => it !== null)?.text
      throw fail('DEADLINE', {
        what: `the streams of the demo${text === undefined ? '' : ` (${text})`}`,
        ms: readyMsMax,
      })
    }
    await clock.sleep(lookMs)
  }
}

async function show(
  open: OpenProject,
  engine: Engine,
  { options, sights }: { readonly options: LiveDemoOptions; readonly sights: Sights },
): Promise<LiveOutcome> {
  const { startTraffic } = await loadServers()
  const traffic = await startTraffic(options.url, options.drop)
  try {
    options.onReady(traffic.storm)
    const shown = await makeTraffic(open, engine, { options, sights, traffic })
    const missing = await untilSeen(open, sights)
    const [source, copy] = [await traffic.totals(), await copyTotals(engine)]
    const agrees = missing === 0 && source.flights === copy.flights && source.delays === copy.delays
    return { ...shown, ...sights.figures(), airportMs: sights.airportMs(), missing, source, copy, agrees }
  } finally {
    await traffic.close()
  }
}

/** Changes the source a few times a second, and tells of each second. */
async function makeTraffic(
  open: OpenProject,
  engine: Engine,
  given: { readonly options: LiveDemoOptions; readonly sights: Sights; readonly traffic: Traffic },
): Promise<Pick<LiveOutcome, 'seconds' | 'changes'>> {
  const { options, sights, traffic } = given
  const { signal, seconds } = options
  const { clock } = open.env
  const beganMs = clock.monotonicMs()
  const all = new Map<string, number>()
  let changes = new Map<string, number>()
  let second = 0
  while (second < seconds && !signal.aborted) {
    if (sights.airportMs() !== null) traffic.openAirport()
    const change = await traffic.next(sights.flights())
    sights.expect(change)
    for (const counts of [all, changes]) counts.set(change.kind, (counts.get(change.kind) ?? 0) + 1)
    await clock.sleep(pauseMs, signal).catch(() => {})
    if (clock.monotonicMs() - beganMs < (second + 1) * 1000) continue
    second += 1
    const storm = await stormOf(engine, traffic.storm)
    options.onSecond({ second, changes: Object.fromEntries(changes), ...sights.takeLongest(), storm })
    changes = new Map()
  }
  return { seconds: Math.round((clock.monotonicMs() - beganMs) / 1000), changes: Object.fromEntries(all) }
}

async function untilSeen(open: OpenProject, sights: Sights): Promise<number> {
  const { clock } = open.env
  const untilMs = clock.monotonicMs() + lastMsMax
  while (sights.waiting() > 0 && clock.monotonicMs() < untilMs) {
    sights.look()
    await clock.sleep(lookMs)
  }
  return sights.waiting()
}

async function stormOf(engine: Engine, storm: Storm): Promise<LiveSecond['storm']> {
  const rows = await engine.read(new AbortController().signal, tx =>
    tx.rows(
      rawSql(`select * from (
        select origin, cast(flights as integer) as flights, cast(delay_avg as double) as delay_avg,
          cast(rank() over (order by delay_avg desc) as integer) as place, cast(count(*) over () as integer) as places
        from mart.delay_by_month_origin where month = '${storm.month}') ranked
      where origin = '${storm.origin}'`),
    ),
  )
  const [row] = rows
  if (row === undefined) return null
  const number = (name: string): number => Number(row[name])
  return { flights: number('flights'), delayAvg: number('delay_avg'), place: number('place'), of: number('places') }
}

async function copyTotals(engine: Engine): Promise<LiveOutcome['copy']> {
  const rows = await engine.read(new AbortController().signal, tx =>
    tx.rows(
      rawSql(
        'select cast(count(*) as bigint) as flights, cast(sum(delay) as bigint) as delays from staging.ops_flight',
      ),
    ),
  )
  return { flights: BigInt(String(rows[0]?.['flights'] ?? 0)), delays: BigInt(String(rows[0]?.['delays'] ?? 0)) }
}

/** Where the partner of a demo drops its files. */
export function dropFolder(folder: string): string {
  return path.join(folder, 'sources', 'partner')
}
