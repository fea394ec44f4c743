import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { demoFolder, removeDemoSources, startDemoSources, stopCommand, type DemoSources } from '../app/demo/sources.ts'
import { readMatches, runAnswers, type Answer } from '../app/demo/answers.ts'
import { databasePlace, openProject } from '../app/project.ts'
import { reading } from '../app/read.ts'
import { runProject, type RunOutcome } from '../app/run-project.ts'
import { summarize } from '../app/summary.ts'
import { realEnv, type Env } from '../core/env.ts'
import type { Emit } from '../core/events.ts'
import { fail } from '../core/errors.ts'
import { durableWrite } from '../core/files.ts'
import { buildReport, writeReport } from '../report/index.ts'
import type { Call } from './command.ts'
import { interruption, printResult } from './context.ts'
import { count, seconds, table } from './format.ts'
import { liveDemo, setLive } from './demo-live.ts'
import { progress } from './progress.ts'
import { secondsOf, summaryText } from './run.ts'

const flightsAll = 3_000_000
const secondsOfLive = 20

/** `naru demo`: the airline example from its sources to three answers. */
export async function run(call: Call): Promise<number | void> {
  const env = realEnv()
  const folder = folderOfDemo()
  if (call.has('stop')) {
    const stopped = await removeDemoSources(env, folder)
    return printResult(call, { ok: true, stopped }, () =>
      stopped ? 'The sources of the demo are stopped.' : `No demo has sources in ${folder}.`,
    )
  }
  const flights = wholeNumber(call, 'flights', flightsAll)
  const liveSeconds = wholeNumber(call, 'seconds', secondsOfLive)
  if (call.flag('seconds') !== undefined && !call.has('live'))
    throw fail('USAGE', { problem: '--seconds is for --live' })
  const keep = call.has('keep')
  const signal = interruption()
  const emit = progress(call.output, env.clock)
  const beganMs = env.clock.monotonicMs()
  await placeProject(env, folder)
  if (call.has('live')) await setLive(env, folder)
  const sources = await startDemoSources(env, folder, { flights, keep, emit, signal })
  let leave = false
  try {
    if (call.has('live')) {
      const agrees = await liveDemo(call, env, { folder, sources, seconds: liveSeconds, keep, emit, signal })
      if (keep) {
        await keepSources(env, folder, sources)
        leave = true
      }
      return agrees ? 0 : 1
    }
    const result = await crossing(env, folder, { sources, emit, signal })
    if (keep) {
      await keepSources(env, folder, sources)
      leave = true
    }
    const prepared = env.clock.monotonicMs() - beganMs - result.outcome.times.totalMs
    const json = keep ? { ...result.json, stop: stopCommand(folder) } : result.json
    printResult(call, json, () => text(result, { keep: keep ? folder : null, preparedMs: prepared }))
  } finally {
    if (!leave) await sources.stop()
  }
}

async function keepSources(env: Env, folder: string, sources: DemoSources): Promise<void> {
  await writeVariables(env, folder, sources)
  await sources.detach()
}

function wholeNumber(call: Call, name: string, otherwise: number): number {
  const value = Number(call.flag(name) ?? otherwise)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw fail('USAGE', { problem: `--${name} takes a whole number above 0` })
}

/** The demo's folder: below the current one, or the current one itself when a person stands inside. */
function folderOfDemo(): string {
  const here = process.cwd()
  return path.basename(here) === demoFolder ? here : path.resolve(demoFolder)
}

interface DemoResult {
  readonly outcome: RunOutcome
  readonly json: Readonly<Record<string, unknown>>
  readonly summary: Awaited<ReturnType<typeof summarize>>
  readonly answers: readonly Answer[]
  readonly report: string
  readonly database: string
}

/** The example's files, copied so that the demo writes nothing into the package. */
async function placeProject(env: Env, folder: string): Promise<void> {
  const example = fileURLToPath(new URL('../../examples/airline', import.meta.url))
  await env.files.mkdir(folder, { recursive: true })
  for (const name of ['airline.duckdb', 'airline.duckdb.wal', '.naru']) {
    await env.files.rm(path.join(folder, name), { recursive: true, force: true })
  }
  await env.files.cp(example, folder, { recursive: true, filter: from => !from.includes('.naru') })
}

async function crossing(
  env: Env,
  folder: string,
  run: { readonly sources: DemoSources; readonly emit: Emit; readonly signal: AbortSignal },
): Promise<DemoResult> {
  const { sources, emit, signal } = run
  const variables = { ...env.variables, ...sources.variables }
  const open = await openProject({ ...env, variables }, { config: undefined, cwd: folder })
  const outcome = await runProject(open, { selectors: [], hashControls: false, emit, signal })
  return reading(open, signal, async tx => {
    const summary = await summarize(tx, open.project, outcome.run)
    const answers = await runAnswers(tx)
    const paths = await writeReport(open.env, path.join(open.stateDir, 'report'), await buildReport(tx, open.project))
    const report = path.relative(process.cwd(), paths.html)
    const database = path.relative(process.cwd(), databasePlace(open))
    const json = {
      ok: true,
      ...summary,
      matches: await readMatches(tx),
      seconds: secondsOf(outcome),
      answers,
      report,
      database,
    }
    return { outcome, json, summary, answers, report, database }
  })
}

/** Kept sources can be used again: `set -a; . ./sources.env`. Readable by its owner only, it holds passwords. */
async function writeVariables(env: Env, folder: string, sources: DemoSources): Promise<void> {
  const lines = Object.entries(sources.variables).map(([name, value]) => `${name}='${value}'\n`)
  await durableWrite(env, path.join(folder, 'sources.env'), lines.join(''))
}

function text(result: DemoResult, more: { readonly keep: string | null; readonly preparedMs: number }): string {
  const answers = result.answers.map(answer => [answer.question, table(answer.columns, answer.rows), ''].join('\n'))
  const kept = [
    '',
    'The sources are still running. To use them:',
    `  cd ${more.keep} && set -a && . ./sources.env && set +a && npx naru run`,
    `To stop them: ${stopCommand(more.keep ?? '')}`,
  ]
  return [
    '',
    ...answers,
    summaryText(result.outcome, result.summary),
    `${count(Object.values(result.summary.corrections).reduce((sum, n) => sum + n, 0))} cells were repaired; ` +
      `starting and loading the sources took ${seconds(more.preparedMs)} and is not counted.`,
    '',
    `Quality report: ${result.report}`,
    `Database:       ${result.database}  (cd ${demoFolder} && npx naru sql 'select …')`,
    ...(more.keep === null ? [] : kept),
  ].join('\n')
}
