import { fail } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import { readingOf } from '../../etl/interface/index.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import { engineFor } from '../../services/engine/registry.ts'
import { faultsOf, streamsNow, type StreamNow } from './places.ts'
import { streamProblems } from './streams.ts'
import { engineLimits } from './engine-limits.ts'
import { openSource } from '../extract.ts'
import { leftBehind } from './leftovers.ts'
import type { OpenProject } from '../project.ts'
import { databaseExists, openForReading } from '../read.ts'
import { serverReport } from '../server/report.ts'
import { blindSpotsOf } from '../../capture/facts.ts'
import { lagOf, restingAlarmOf, streamPositions, type StreamPositions } from './source-lags.ts'
import { streamsOf } from '../stream/streams.ts'
import { techniqueFacts, techniques } from '../techniques.ts'

/** One thing that would stop a run, or that a person should know before it. */
export interface Problem {
  readonly where: string
  readonly level: 'error' | 'warn'
  readonly code: string
  readonly message: string
  readonly fix: string
  /** Status that a run would end with because of it; 0 for a warning. */
  readonly exit: 0 | 1 | 2 | 3
}

/**
 * Looks up every secret, opens the database, connects to every source and compares what it has with the config.
 * Collects every problem instead of ending at the first.
 */
export async function checkProject(open: OpenProject, signal: AbortSignal): Promise<readonly Problem[]> {
  const problems: Problem[] = []
  for (const { name, masks } of open.project.exports) {
    for (const { column, mask } of masks) {
      if (mask.kind !== 'hash') continue
      await collect(
        problems,
        `export ${name}`,
        async () => void open.secret(mask.secret, `export "${name}", ${column}`),
      )
    }
  }
  const { implementation } = engineFor(open.project.engine.kind, open.project.engine.options)
  const { dialect } = await implementation.open()
  for (const { where, error } of engineLimits(open.project, dialect)) problems.push(problemOf(where, error))
  await collect(problems, 'the database', async () => {
    if (await databaseExists(open)) await (await openForReading(open, signal)).close()
  })
  // A database that cannot be read is a problem of its own.
  const positions = streamPositions(open, signal).catch((): StreamPositions => new Map())
  const places = await placesOf(problems, open, signal)
  for (const source of open.project.sources) {
    await collect(problems, `source ${source.name}`, async () => {
      const adapter = await openSource(open, source)
      try {
        await checkTables(problems, adapter, source, signal)
        await checkStreams(problems, { open, adapter, source }, signal)
        const faults = await faultsOf(open, { adapter, source, places }, signal)
        for (const { where, error } of faults) problems.push(problemOf(where, error))
        const lost = faults.map(it => it.where)
        await checkLags(problems, adapter, { source, positions: await positions, lost }, signal)
      } finally {
        await adapter.close()
      }
    })
  }
  for (const { where, error } of await leftBehind(open, { signal }))
    problems.push({ ...problemOf(where, error), level: 'warn', exit: 0 })
  // What a server says of a table the source may say as well.
  const isSame = (a: Problem, b: Problem): boolean =>
    a.where === b.where && a.code === b.code && a.message === b.message
  return problems.filter((it, i) => problems.findIndex(other => isSame(it, other)) === i)
}

/** Whether streams can go on from where they are: a server that runs knows it, otherwise the durable log is looked at. */
async function placesOf(problems: Problem[], open: OpenProject, signal: AbortSignal): Promise<readonly StreamNow[]> {
  let places: readonly StreamNow[] = []
  await collect(problems, 'the streams', async () => {
    const server = await serverReport(open, signal)
    if (server === null) places = await streamsNow(open, signal)
    else if ('troubles' in server) {
      for (const { what, code, text: message, fix, isRetried } of server.troubles)
        problems.push({ where: what, level: isRetried ? 'warn' : 'error', code, message, fix, exit: isRetried ? 0 : 1 })
    }
  })
  return places
}

async function checkTables(
  problems: Problem[],
  adapter: Adapter,
  source: SourceDef,
  signal: AbortSignal,
): Promise<void> {
  const { files, tables } = adapter
  if (files !== undefined) {
    for (const table of source.tables) {
      const { change } = table
      if (change.technique !== 'files') continue
      await collect(problems, `${source.name}.${table.name}`, async () => {
        const found = await files.list({ ...change, glob: table.remote, columns: table.columns }, signal)
        if (found.complete.length > 0 || found.waiting.length > 0) return
        problems.push({
          where: `${source.name}.${table.name}`,
          level: 'warn',
          code: 'FILE_NONE',
          message: `no file matches ${table.remote}`,
          fix: 'Check the pattern and the folder; a run takes files as they come.',
          exit: 0,
        })
      })
    }
  }
  if (tables === undefined) return
  const snapshot = await tables.openSnapshot(signal)
  try {
    for (const table of source.tables) {
      await collect(problems, `${source.name}.${table.name}`, async () => {
        const now = await snapshot.look(table.remote)
        if (now.blindSpot !== undefined) {
          const { text: message, fix } = now.blindSpot
          problems.push({
            where: `${source.name}.${table.name}`,
            level: 'warn',
            code: 'SOURCE_BLIND_SPOT',
            message,
            fix,
            exit: 0,
          })
        }
        problems.push(...unseenOf(table), ...appendsOf(table))
        const isRead = table.append === true && !('start' in table.change && table.change.start === 'now')
        if (isRead && snapshot.includes === undefined) {
          const where = `${source.name}.${table.name}`
          problems.push(problemOf(where, fail('APPEND_UNABLE', { table: where })))
        }
        // A technique that the source does not allow is told now, and not by the second run.
        const { takenAtMicros, horizonMicros } = snapshot
        const view = { takenAtMicros, horizonMicros, newestMicros: now.newestMicros }
        techniques[table.change.technique]?.(table, view, null)
        const { notes } = readingOf(table, table, now, null)
        for (const { code, text } of notes) {
          const where = `${source.name}.${table.name}`
          problems.push({
            where,
            level: 'warn',
            code,
            message: text,
            fix: 'Run `naru pull` to renew the schema module.',
            exit: 0,
          })
        }
      })
    }
  } finally {
    await snapshot.close()
  }
}

async function checkStreams(
  problems: Problem[],
  { open, adapter, source }: { readonly open: OpenProject; readonly adapter: Adapter; readonly source: SourceDef },
  signal: AbortSignal,
): Promise<void> {
  for (const { technique, table, text, fix, isFatal } of await streamProblems(adapter, source, open, signal)) {
    problems.push({
      where: table === null ? `source ${source.name}, ${technique}` : `${source.name}.${table}`,
      level: isFatal ? 'error' : 'warn',
      code: 'CAPTURE_NOT_READY',
      message: text,
      fix,
      exit: isFatal ? 1 : 0,
    })
  }
}

/** What the source keeps for its streams meanwhile: its disk fills when nobody reads. */
async function checkLags(
  problems: Problem[],
  adapter: Adapter,
  given: {
    readonly source: SourceDef
    readonly positions: StreamPositions
    /** Streams that cannot go on, which says more than what is kept for them. */
    readonly lost: readonly string[]
  },
  signal: AbortSignal,
): Promise<void> {
  const { source, positions, lost } = given
  for (const def of streamsOf([source])) {
    const where = `source ${source.name}, ${def.technique}`
    if (adapter.captures?.[def.technique] === undefined || lost.includes(where)) continue
    const lag = await lagOf(adapter, def, positions, signal)
    const alarm = lag === null ? null : restingAlarmOf(def, lag)
    if (alarm !== null) problems.push(problemOf(where, alarm))
  }
}

/** What the technique of a table cannot see: told while the config can still be changed. */
function unseenOf(table: SourceTableDef): readonly Problem[] {
  const { change } = table
  if (change.technique === 'files' || change.technique === 'full') return []
  const unseen = blindSpotsOf(techniqueFacts[change.technique], change)
  if (unseen.length === 0) return []
  return [
    {
      where: `${table.source}.${table.name}`,
      level: 'warn',
      code: 'TECHNIQUE_BLIND_SPOT',
      message: `the technique ${change.technique} does not see ${unseen.join(', ')}`,
      fix: 'Nothing is to be done where these do not happen or do not matter; otherwise choose a technique that sees them.',
      exit: 0,
    },
  ]
}

/** What it means that a table has no key. */
function appendsOf(table: SourceTableDef): readonly Problem[] {
  if (table.append !== true) return []
  return [
    {
      where: `${table.source}.${table.name}`,
      level: 'warn',
      code: 'APPEND_LOG',
      message:
        'it has no key, so it is an append log: each insert, delete and end of an update is a row of its own (log_op), and rows are not compared with the source',
      fix: 'Nothing is to be done where that is meant; otherwise name the columns that tell its rows apart as its key in the schema module.',
      exit: 0,
    },
  ]
}

async function collect(problems: Problem[], where: string, check: () => Promise<void>): Promise<void> {
  try {
    await check()
  } catch (error) {
    problems.push(problemOf(where, error))
  }
}

function problemOf(where: string, error: unknown): Problem {
  const { code, message, fix, exit } = knownError(error)
  return { where, level: 'error', code, message, fix, exit }
}
