import { adviseSource, sourcesToAdvise, type SourceAdvice, type TableAdvice } from '../app/advise/advise.ts'
import { tryTechniques, type TrialReport } from '../app/advise/trial.ts'
import { realEnv } from '../core/env.ts'
import { fail } from '../core/errors.ts'
import type { Call } from './command.ts'
import { configFileOf, interruption, printResult } from './context.ts'
import { count, table } from './format.ts'
import { systemOf } from './pull.ts'

/** `naru advise`: which change techniques a source allows, and on request a trial of them on one table. */
export async function run(call: Call): Promise<void> {
  const [name = null] = call.args
  const request = { configFile: configFileOf(call), name, from: systemOf(call) }
  if (request.from !== null && name === null) throw usage('--from takes a name for the source, such as ops')
  const signal = interruption()
  const { place, sources } = await sourcesToAdvise(realEnv(), request)
  const databases = name === null ? sources.filter(isDatabase) : sources
  const advice: SourceAdvice[] = []
  for (const source of databases) advice.push(await adviseSource(place, source, request, signal))
  const seconds = trialSeconds(call)
  const [source, tables] = [databases[0], advice[0]?.tables ?? []]
  let trial: TrialReport | null = null
  if (seconds !== null) {
    const [table] = tables
    if (source === undefined || table === undefined || databases.length > 1 || tables.length > 1) {
      throw usage('--trial follows one table: name it as source.table')
    }
    call.output.note(`following ${table.table} for ${seconds} s; let the application write meanwhile`)
    trial = await tryTechniques(place, source, { advice: table, seconds, install: call.has('install') }, signal)
  }
  printResult(call, { ok: true, sources: advice, trial }, () =>
    advice.length === 0
      ? 'The configuration reads no database: there is no technique to choose.'
      : [...advice.map(sourceText), ...(trial === null ? [] : [trialText(trial)])].join('\n\n'),
  )
}

const TRIAL_SECONDS_MAX = 600

function trialSeconds(call: Call): number | null {
  const given = call.flag('trial')
  if (given === undefined) {
    if (call.has('install')) throw usage('--install goes with --trial')
    return null
  }
  const seconds = Number(given)
  if (!/^\d+$/.test(given) || seconds < 1 || seconds > TRIAL_SECONDS_MAX) {
    throw usage(`--trial takes whole seconds from 1 to ${TRIAL_SECONDS_MAX}, not "${given}"`)
  }
  return seconds
}

function trialText({ table: name, seconds, rows, results, left }: TrialReport): string {
  return [
    `Trial on ${name}: ${seconds} s, ${count(rows)} rows at the end; each technique without a sweep, compared at one moment`,
    table(
      ['technique', 'by', 'taken', 'lost', 'stale', 'ghost', ''],
      results.map(it =>
        it.problem === null
          ? [it.technique, it.columns.join(', '), it.taken, it.lost, it.stale, it.ghost, '']
          : [it.technique, it.columns.join(', '), it.taken, null, null, null, it.problem],
      ),
    ),
    ...left.map(({ technique, why }) => `not tried: ${technique}: ${why}`),
  ].join('\n')
}

function isDatabase(source: Parameters<typeof adviseSource>[1]): boolean {
  return source.tables.length === 0 || source.tables.some(it => it.change.technique !== 'files')
}

function usage(problem: string): Error {
  return fail('USAGE', { problem })
}

function sourceText({ source, settings, longestTransactionMs, tables }: SourceAdvice): string {
  const told = new Set<string>()
  const open =
    longestTransactionMs === null
      ? 'the account does not see all open transactions'
      : `rows may come ${Math.ceil(longestTransactionMs / 1000)} s late by the transactions that are open now`
  return [
    `Source ${source}: ${[...settings.map(it => `${it.name} ${it.value}`), open].join(', ')}`,
    ...tables.map(it => tableText(it, told)),
  ].join('\n\n')
}

/** `told`: what a table before it needs as well, which is done once. */
function tableText(advice: TableAdvice, told: Set<string>): string {
  const { techniques, candidates } = advice
  return [
    headText(advice),
    ...candidates.map(it => `  column ${it.column} (${it.for}): ${[...it.reasons, ...it.doubts].join('; ')}`),
    table(
      ['', 'technique', 'possible', 'would miss'],
      techniques.map(it => [
        it.rank,
        it.technique,
        it.possible,
        it.misses
          .filter(miss => miss.kind !== 'unless')
          .map(miss => miss.text)
          .join('; ') || (it.change === null ? '' : 'nothing that is known'),
      ]),
    ),
    ...techniques
      .filter(it => it.possible !== 'no')
      .flatMap(it => [
        `${it.rank}. ${it.technique}: costs ${it.cost}`,
        ...it.misses.filter(miss => miss.kind === 'unless').map(miss => `   would miss ${miss.text}`),
        ...it.needs.flatMap(need => needText('needs', need, told)),
        ...it.hints.flatMap(hint => needText('better', hint, told)),
        ...(it.line === null ? [] : [`   changes: ${it.line}`]),
      ]),
  ].join('\n')
}

function needText(
  word: string,
  { text, fix }: { readonly text: string; readonly fix: string },
  told: Set<string>,
): readonly string[] {
  const isTold = told.has(text + fix)
  told.add(text + fix)
  if (isTold) return [`   ${word}: ${text} (see above)`]
  return [`   ${word}: ${text}`, ...fix.split('\n').map(line => `     ${line}`)]
}

function headText({ table: name, key, evidence, configured }: TableAdvice): string {
  const counters = evidence?.counters
  const facts = [
    evidence?.rows == null ? null : `about ${count(evidence.rows)} rows`,
    key.length === 0 ? 'no key' : `key ${key.join(', ')}`,
    counters == null
      ? (evidence?.uncounted ?? null)
      : `${count(counters.inserts)} inserts, ${count(counters.updates)} updates, ${count(counters.deletes)} deletes counted`,
    ...(evidence?.notes ?? []),
    evidence === null ? 'this source tells nothing of what happens to it' : null,
    evidence === null || evidence.triggers.length === 0 ? null : `triggers ${evidence.triggers.join(', ')}`,
    configured === null ? null : `now read by ${configured}`,
  ]
  return `Table ${name}: ${facts.filter(it => it !== null).join('; ')}`
}
