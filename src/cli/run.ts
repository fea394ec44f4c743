import { readSummary } from '../app/read.ts'
import type { StoppedTable } from '../app/extract.ts'
import { runProject, type RunOptions, type RunOutcome } from '../app/run-project.ts'
import { backfillRange } from '../app/backfill.ts'
import type { Project } from '../config/model.ts'
import { stagedName, type Summary } from '../app/summary.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { exitStatus } from './exit-status.ts'
import { count, seconds, table } from './format.ts'
import { progress } from './progress.ts'

/** `naru run`: reads what is new and publishes it. */
export async function run(call: Call): Promise<number> {
  const open = await projectOf(call)
  const signal = interruption()
  const outcome = await runProject(open, {
    selectors: call.args,
    hashControls: call.has('hash'),
    chunkControls: call.has('chunks'),
    ...backfillOf(open.project, call),
    emit: progress(call.output, open.env.clock),
    signal,
  })
  const summary = await readSummary(open, outcome.run, signal)
  const result = {
    ok: outcome.stopped.length === 0 && outcome.differing.length === 0,
    run: outcome.run,
    rowsRead: outcome.rowsRead,
    rowsStaged: outcome.rowsStaged,
    waiting: outcome.waiting,
    stopped: outcome.stopped.map(told),
    differing: outcome.differing,
    ...summary,
    seconds: secondsOf(outcome),
  }
  printResult(call, result, () => summaryText(outcome, summary))
  if (outcome.stopped.length > 0) return exitStatus.stopped
  if (outcome.differing.length > 0) return exitStatus.differing
  return outcome.waiting.length === 0 ? 0 : exitStatus.waiting
}

function told({ table, error }: StoppedTable): Readonly<Record<'table' | 'code' | 'message' | 'fix', string>> {
  const { code, message, fix } = error
  return { table: `${table.source}.${table.name}`, code, message, fix }
}

function backfillOf(project: Project, call: Call): Pick<RunOptions, 'range'> {
  const [from, to, by] = [call.flag('from'), call.flag('to'), call.flag('by')]
  if (from === undefined && to === undefined && by === undefined) return {}
  return { range: backfillRange(project, call.args, { from, to, by }) }
}

/** Seconds by part of the run, as results print them. */
export function secondsOf({ times }: RunOutcome): Readonly<Record<'extract' | 'etl' | 'warehouse' | 'total', number>> {
  const rounded = (ms: number): number => Math.round(ms / 10) / 100
  return {
    extract: rounded(times.extractMs),
    etl: rounded(times.etlMs),
    warehouse: rounded(times.warehouseMs),
    total: rounded(times.totalMs),
  }
}

/** The end of a run as a person reads it: every table with its rows, and what did not come through. */
export function summaryText(outcome: RunOutcome, summary: Summary): string {
  const unread = new Set(outcome.stopped.map(it => stagedName(it.table)))
  const rows = [
    ...Object.entries(summary.staged).map(([name, n]) => {
      const control = summary.controls[name]
      const rejected = summary.rejected[name]
      const agrees = unread.has(name) ? 'not read, as it was' : control === undefined ? '' : agreement(control, n)
      return [`staging.${name}`, count(n), rejected === undefined ? agrees : `${count(rejected)} rejected`]
    }),
    ...Object.entries(summary.ods).map(([name, n]) => {
      const rejected = summary.rejected[name]
      return [`ods.${name}`, count(n), rejected === undefined ? '' : `${count(rejected)} in quarantine`]
    }),
    ...Object.entries(summary.exported).map(([name, n]) => [`export.${name}`, count(n), '']),
    ...Object.entries(summary.warehouse).map(([name, n]) => [
      `${/^(dim|fact)_/.test(name) ? 'dw' : 'mart'}.${name}`,
      count(n),
      '',
    ]),
  ]
  const { times } = outcome
  return [
    table(['table', 'rows', ''], rows),
    '',
    `Run ${outcome.run}: ${whatHappened(outcome)}; ${seconds(times.totalMs)} in all (extract ${seconds(times.extractMs)}, ` +
      `stages ${seconds(times.etlMs)}, warehouse ${seconds(times.warehouseMs)}).`,
    ...outcome.stopped.map(told).map(it => `Not read, as it was before: ${it.table}: ${it.message}. ${it.fix}`),
    ...outcome.differing.map(
      it =>
        `Not what its source has: ${it.table}, ${count(it.differing)} rows (naru status). Read it again: naru resync ${it.table}.`,
    ),
    ...(outcome.waiting.length === 0 ? [] : [`Waits for the hours of its source: ${outcome.waiting.join(', ')}.`]),
  ].join('\n')
}

/** The control of the last load: of the whole table, or of the rows that were read since. */
function agreement(control: Summary['controls'][string], rows: number): string {
  const what = control.staged === rows ? '' : `last ${count(control.staged)} read: `
  return `${what}${control.equal ? 'agrees with the source' : 'rows agree, see naru.control_total'}`
}

function whatHappened({ rowsStaged, rowsMoved }: RunOutcome): string {
  if (rowsStaged > 0) return `${count(rowsStaged)} rows came, changed or went`
  return rowsMoved > 0 ? `nothing new from the sources; ${count(rowsMoved)} rows moved on after them` : 'nothing new'
}
