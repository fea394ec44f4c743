import path from 'node:path'
import { dropFolder, liveConfig, liveLines, runLiveDemo, type LiveOutcome, type LiveSecond } from '../app/demo/live.ts'
import type { Storm } from '../app/demo/live.ts'
import { demoFolder, stopCommand, type DemoSources } from '../app/demo/sources.ts'
import type { Percentiles } from '../app/percentiles.ts'
import { openProject } from '../app/project.ts'
import { configFileName } from '../config/load.ts'
import type { Env } from '../core/env.ts'
import type { Emit } from '../core/events.ts'
import { durableWrite } from '../core/files.ts'
import type { Call } from './command.ts'
import { jsonText, printResult } from './context.ts'
import { count, seconds } from './format.ts'

interface LiveGiven {
  readonly folder: string
  readonly sources: DemoSources
  readonly seconds: number
  readonly keep: boolean
  readonly emit: Emit
  readonly signal: AbortSignal
}

/** Changes the lines of the copied config that say how changes are seen. */
export async function setLive(env: Env, folder: string): Promise<void> {
  const file = path.join(folder, configFileName)
  await durableWrite(env, file, liveConfig(await env.files.readFile(file, 'utf8')))
}

/** `naru demo --live`, from the running sources on: true when the copy was equal to the source at the end. */
export async function liveDemo(call: Call, env: Env, given: LiveGiven): Promise<boolean> {
  const { folder, sources, emit, signal } = given
  const variables = { ...env.variables, ...sources.variables }
  const open = await openProject({ ...env, variables }, { config: undefined, cwd: folder })
  const { print, json, quiet } = call.output
  const tell = (line: unknown, text: () => string): void => {
    if (json) print(jsonText(line))
    else if (!quiet) print(text())
  }
  let storm: Storm = { origin: '', month: '' }
  const outcome = await runLiveDemo(open, {
    url: sources.variables['OPS_URL'] ?? '',
    drop: dropFolder(folder),
    seconds: given.seconds,
    emit: once(emit),
    signal,
    onReady: at => {
      storm = at
      call.output.redraw('')
      tell({ kind: 'ready', storm }, () => readyText(storm))
    },
    onSecond: second => tell({ kind: 'second', ...second }, () => secondText(second)),
  })
  const stop = given.keep ? { stop: stopCommand(folder) } : {}
  printResult(call, { ok: outcome.agrees, ...outcome, ...stop }, () => outcomeText(outcome, given))
  return outcome.agrees
}

/** Notes are told the first time: what a poll finds as it was is no news in a show of seconds. */
function once(emit: Emit): Emit {
  const told = new Set<string>()
  return event => {
    if (event.kind === 'note' && told.has(event.text)) return
    if (event.kind === 'note') told.add(event.text)
    emit(event)
  }
}

function readyText({ origin, month }: Storm): string {
  return [
    '',
    'Live. One line of the config says that changes come from the log of PostgreSQL:',
    `  ${liveLines.technique}`,
    `A storm over ${origin}: its flights of ${month} leave later and later. The last column is its group in the mart,`,
    'mart.delay_by_month_origin, and its place by mean delay among the airports of that month.',
    '',
    `${'second'.padStart(6)}  ${'changed at the source'.padEnd(34)}  ${'ODS behind'.padStart(10)}  ${'mart behind'.padStart(11)}  mart: ${origin} ${month}`,
  ].join('\n')
}

/** Kinds of changes as they are told. */
const kinds: Readonly<Record<string, string>> = {
  delayed: 'delayed',
  cancelled: 'cancelled',
  added: 'added',
  airport: 'new airport',
}

function changesText(changes: Readonly<Record<string, number>>): string {
  const parts = Object.entries(kinds).flatMap(([kind, word]) => {
    const n = changes[kind] ?? 0
    return n === 0 ? [] : [`${count(n)} ${word}`]
  })
  return parts.join(', ') || '–'
}

const behindText = (ms: number | null): string => (ms === null ? '–' : seconds(ms))

function secondText({ second, changes, odsMs, martMs, storm }: LiveSecond): string {
  const mart =
    storm === null
      ? '–'
      : `${storm.flights} flights, ${storm.delayAvg.toFixed(1)} min late, no. ${storm.place} of ${storm.of}`
  return [
    String(second).padStart(6),
    changesText(changes).padEnd(34),
    behindText(odsMs).padStart(10),
    behindText(martMs).padStart(11),
    mart,
  ].join('  ')
}

function outcomeText(outcome: LiveOutcome, { keep, folder }: Pick<LiveGiven, 'keep' | 'folder'>): string {
  const { source, copy } = outcome
  const behind = (name: string, figures: Percentiles | null): string =>
    `  ${name.padEnd(5)} ${behindText(figures?.p50 ?? null).padStart(7)} in the middle, 99 % within ${behindText(figures?.p99 ?? null)}`
  const totals = `${count(source.flights)} flights, ${count(source.delays)} minutes of delay`
  return [
    '',
    `${outcome.seconds} s, changes at the source: ${changesText(outcome.changes)}. From the commit until it was visible:`,
    behind('ODS', outcome.odsMs),
    behind('mart', outcome.martMs),
    ...(outcome.airportMs === null
      ? []
      : [`The new airport NARU came by a file of the partner, who is asked every 2 s: ${seconds(outcome.airportMs)}.`]),
    outcome.agrees
      ? `PostgreSQL and the copy agree: ${totals}.`
      : `PostgreSQL and the copy DIFFER: ${totals} against ${count(copy.flights)} and ${count(copy.delays)}; ${outcome.missing} changes were not seen.`,
    '',
    ...(keep ? keptText(folder) : triesText()),
  ].join('\n')
}

function triesText(): readonly string[] {
  return [
    'To try next:',
    `  cd ${demoFolder} && npx naru sql 'select * from naru.stream'     the place of each table in the log`,
    `  cd ${demoFolder} && npx naru sql "select iata, name, valid_from from dw.dim_airport where iata = 'NARU'"`,
    '  npm run demo -- --live --keep    leaves the sources running, to be changed by you while `naru start` follows',
    'docs/guide/change-capture.md says how to make a stream of your own table.',
  ]
}

function keptText(folder: string): readonly string[] {
  return [
    'The sources are still running. To go on by yourself:',
    `  cd ${folder} && set -a && . ./sources.env && set +a && npx naru start`,
    'and in another terminal, in the same way, `npx naru status`, or with psql "$OPS_URL" a change of yours.',
    `To stop the sources: ${stopCommand(folder)}`,
  ]
}
