import { reading } from '../app/read.ts'
import { sourceHours } from '../app/hours.ts'
import type { OpenProject } from '../app/project.ts'
import { serverReport } from '../app/server/report.ts'
import { sourceLags } from '../app/source-lags.ts'
import { nothingYet, readStatus, type DifferenceNow, type Status } from '../app/status.ts'
import { isNaruError } from '../core/errors.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { count, table } from './format.ts'
import { keptText, serverText } from './server-text.ts'

/** `naru status`: the last runs, positions and what waits for a person. */
export async function run(call: Call): Promise<void> {
  const open = await projectOf(call)
  const signal = interruption()
  const server = await serverReport(open, signal)
  const status = await readOrNothing(open, server !== null, signal)
  // A server asks for itself, again and again.
  const kept = server === null ? await sourceLags(open, signal) : []
  printResult(call, { ok: true, server, ...status, kept }, () =>
    [
      ...(server === null ? [] : [serverText(server, open.env.clock.nowMicros()), '']),
      ...keptText(kept),
      'Runs',
      table(
        ['run', 'state', 'began', 'error'],
        status.runs.map(run => [run.run, run.state, run.began, run.error]),
      ),
      '',
      'Sources',
      table(
        ['table', 'read up to', 'last load', 'rows'],
        status.positions.map(it => [it.table, it.readUpTo, it.load, it.rows]),
      ),
      ...(status.stopped.length === 0
        ? []
        : [
            '',
            'Stopped: they stay as they are until the cause is mended',
            table(
              ['table', 'last tried', ''],
              status.stopped.map(it => [it.table, `run ${it.run}`, `${it.text} [${it.code}]`]),
            ),
          ]),
      ...(status.differing.length === 0
        ? []
        : [
            '',
            'Not what their source has',
            table(
              ['table', 'keys', 'differ', ''],
              status.differing.map(it => [
                it.table,
                rangeText(it),
                it.differing,
                `${it.keys
                  .slice(0, 3)
                  .map(({ key, what }) => `${key} ${what}`)
                  .join(', ')} (naru resync ${it.table})`,
              ]),
            ),
          ]),
      ...(status.unfinished.length === 0
        ? []
        : [
            '',
            'Half-read',
            table(
              ['load', 'table', 'rows', ''],
              status.unfinished.map(it => [it.load, it.table, it.rows, it.why]),
            ),
          ]),
      '',
      status.quarantine.length === 0
        ? 'Nothing waits in quarantine.'
        : `In quarantine: ${status.quarantine.map(it => `${count(it.rows)} of ${it.entity}`).join(', ')} (naru quarantine list)`,
    ].join('\n'),
  )
}

function rangeText({ after, upTo }: DifferenceNow): string {
  const key = (bound: string): string => (JSON.parse(bound) as readonly string[]).join(', ')
  if (after === null && upTo === null) return 'all'
  return `${after === null ? 'the first' : `after ${key(after)}`} to ${upTo === null ? 'the last' : key(upTo)}`
}

/** While a process makes the database there is nothing in it yet, and that is no error: the process is shown. */
async function readOrNothing(open: OpenProject, isServed: boolean, signal: AbortSignal): Promise<Status> {
  try {
    return await reading(open, signal, tx => readStatus(tx, sourceHours(open)))
  } catch (error) {
    if (!isServed || !isNaruError(error, 'DATABASE_MISSING')) throw error
    return nothingYet
  }
}
