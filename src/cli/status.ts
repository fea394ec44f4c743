import { reading } from '../app/read.ts'
import { sourceHours } from '../app/hours.ts'
import type { OpenProject } from '../app/project.ts'
import { isOtherConfig, serverReport, type HolderReport, type ServerReport } from '../app/server/report.ts'
import { noStreams, streamsAtRest } from '../app/check/streams-at-rest.ts'
import { nothingYet, readStatus, type DifferenceNow, type Status } from '../app/status.ts'
import { isNaruError } from '../core/errors.ts'
import { knownError } from '../core/known-error.ts'
import type { Call } from './command.ts'
import { interruption, placeOf, printResult, projectOf } from './context.ts'
import { count, table } from './format.ts'
import { restingText, serverText } from './server-text.ts'

/** `naru status`: the last runs, positions and what waits for a person. */
export async function run(call: Call): Promise<void> {
  const signal = interruption()
  const open = await projectOf(call).catch((error: unknown) => serverAlone(call, error, signal))
  if (open === null) return
  const server = await serverReport(open, signal)
  const read = await readOrNothing(open, server !== null, signal)
  const status = toldOnce(server === null ? brokenOff(open, read) : read, server)
  // A server asks for itself, again and again; who writes has the durable log open.
  const { kept, ...streams } = server === null ? await streamsAtRest(open, signal) : noStreams
  const isOther = server !== null && isOtherConfig(open, server)
  const told = server === null ? null : { ...server, isOtherConfig: isOther }
  const nowMicros = open.env.clock.nowMicros()
  printResult(call, { ok: true, server: told, ...status, kept, streams }, () =>
    [
      ...(server === null ? [] : [serverText(server, nowMicros, status.setAside), '']),
      ...(isOther ? [otherConfigText, ''] : []),
      ...restingText({ kept, ...streams, stopped: status.stopped.map(it => it.table) }, nowMicros),
      'Runs',
      table(
        ['run', 'state', 'began', 'error'],
        status.runs.map(run => [run.run, run.state, run.began, run.error]),
      ),
      '',
      'Sources',
      table(
        ['table', 'read up to', 'last load', 'rows of it'],
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
      ...setAsideText(status.setAside),
      '',
      status.quarantine.length === 0
        ? 'Nothing waits in quarantine.'
        : `In quarantine: ${status.quarantine.map(it => `${count(it.rows)} of ${it.entity}`).join(', ')} (naru quarantine list)`,
    ].join('\n'),
  )
}

/** Rows that came and are not here, with where they are listed. */
function setAsideText(setAside: Status['setAside']): readonly string[] {
  if (setAside.length === 0) return []
  const rows = setAside.map(it => [
    it.table,
    count(it.rows),
    it.reasons.join(', '),
    it.command === null ? '' : `once mended: ${it.command}`,
  ])
  return [
    '',
    'Set aside at the interface, and not come since (naru sql "select * from naru.reject")',
    table(['table', 'rows', 'why', ''], rows),
  ]
}

const otherConfigText =
  'The configuration on disk is not the one that this process works by: a restart takes it up (naru stop, naru start).'

/** With a configuration that does not load there is no project, but there may be a server. Throws what is wrong when there is none. */
async function serverAlone(call: Call, error: unknown, signal: AbortSignal): Promise<null> {
  const place = placeOf(call)
  const server = await serverReport(place, signal)
  if (server === null) throw error
  const { code, message, fix } = knownError(error)
  printResult(call, { ok: true, server, config: { code, message, fix } }, () =>
    [
      serverText(server, place.env.clock.nowMicros()),
      '',
      'The configuration on disk does not load; this process goes on with the one that it has, and the rest of the status is not shown:',
      `  ${message.split('\n').join('\n  ')}`,
      `  ${fix} [${code}]`,
    ].join('\n'),
  )
  return null
}

/** A file that nobody has open has no run that goes on: its process was killed, and the next run notes it. A server may be elsewhere. */
function brokenOff({ project }: OpenProject, status: Status): Status {
  if (project.engine.kind !== 'duckdb') return status
  const isOver = (state: unknown): boolean => state === 'running' || state === 'live'
  return { ...status, runs: status.runs.map(run => (isOver(run.state) ? { ...run, state: 'broken' } : run)) }
}

/** A server that runs knows better which tables stand still than what was noted of them last. */
function toldOnce(status: Status, server: ServerReport | HolderReport | null): Status {
  const live = server !== null && 'live' in server ? (server.live?.tables ?? []) : []
  const goesOn = (name: string): boolean => live.some(it => it.table === name && it.state !== 'stopped')
  return { ...status, stopped: status.stopped.filter(({ table: name }) => !goesOn(name)) }
}

function rangeText({ after, upTo }: DifferenceNow): string {
  const key = (bound: string): string => (JSON.parse(bound) as readonly string[]).join(', ')
  if (after === null && upTo === null) return 'all'
  return `${after === null ? 'the first' : `after ${key(after)}`} to ${upTo === null ? 'the last' : key(upTo)}`
}

/** While a process makes the database there is nothing in it yet, and that is no error: the process is shown. */
async function readOrNothing(open: OpenProject, isServed: boolean, signal: AbortSignal): Promise<Status> {
  try {
    return await reading(open, signal, tx =>
      readStatus(
        tx,
        sourceHours(open),
        open.project.sources.flatMap(source => source.tables),
      ),
    )
  } catch (error) {
    if (!isServed || !isNaruError(error, 'DATABASE_MISSING')) throw error
    return nothingYet
  }
}
