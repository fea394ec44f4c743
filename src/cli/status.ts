import { reading } from '../app/read.ts'
import { sourceHours } from '../app/hours.ts'
import { readStatus } from '../app/status.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { count, table } from './format.ts'

/** `naru status`: the last runs, positions and what waits for a person. */
export async function run(call: Call): Promise<void> {
  const open = await projectOf(call)
  const status = await reading(open, interruption(), tx => readStatus(tx, sourceHours(open)))
  printResult(call, { ok: true, ...status }, () =>
    [
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
            'Stopped: their shape in the source changed',
            table(
              ['table', 'last tried', ''],
              status.stopped.map(it => [it.table, `run ${it.run}`, `${it.text} [${it.code}]`]),
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
