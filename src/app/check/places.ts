import { knownError } from '../../core/known-error.ts'
import { fail, type NaruError } from '../../core/errors.ts'
import { ident } from '../../core/sql.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import { readStreamPlace, type StreamPlace } from '../../run/streams.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import { localCoordinator } from '../../services/coordinator/local/open.ts'
import { openProjectBus } from '../bus.ts'
import type { OpenProject } from '../project.ts'
import { databaseExists, reading } from '../read.ts'
import { decodeHead } from '../stream/message.ts'
import { spillDirOf } from '../stream/reader.ts'
import { keepBytes } from '../stream/session.ts'
import { capturedTable, streamsOf, topicOf, type StreamDef } from '../stream/streams.ts'
import { lostLog } from '../stream/lost-log.ts'

/** A stream with the tables that follow it already. */
export interface StreamNow {
  readonly def: StreamDef
  /** Why its durable log does not lead on from where the tables are. */
  readonly lost: NaruError | null
  /** From where its source is to be read on. */
  readonly from: string | null
}

/** The streams of a project that is at rest, by what the engine and the durable log say; none when they were never read. */
export async function streamsNow(open: OpenProject, signal: AbortSignal): Promise<readonly StreamNow[]> {
  const defs = streamsOf(open.project.sources)
  if (defs.length === 0 || !(await databaseExists(open))) return []
  const lease = await localCoordinator(open.env, open.stateDir).acquire('run', 'naru check')
  try {
    const found: StreamNow[] = []
    const placed = await followedIn(open, defs, signal)
    const bus = await openProjectBus(open, () => {})
    try {
      const topics = await bus.topics()
      for (const { def, tables } of placed) {
        if (tables.length === 0) continue
        const name = topicOf(def)
        const topic = topics.includes(name) ? await bus.openTopic(name, { keepBytes }) : null
        const last = (await topic?.last()) ?? null
        const lost = await lostLog(topic, { def, tables })
        found.push({
          def: { ...def, tables: tables.map(it => it.config) },
          lost,
          from: last === null ? null : decodeHead(last.value).goesOn,
        })
      }
    } finally {
      await bus.close()
    }
    return found
  } finally {
    await lease.release()
  }
}

/** A table with its place in its stream. */
export interface Followed {
  readonly config: SourceTableDef
  readonly at: StreamPlace
}

/** The tables of each of these streams that have a place in it. */
export async function followedIn(
  open: OpenProject,
  defs: readonly StreamDef[],
  signal: AbortSignal,
): Promise<readonly { readonly def: StreamDef; readonly tables: readonly Followed[] }[]> {
  return reading(open, signal, async tx => {
    const isThere = await tx.exists(ident('naru', 'stream'))
    const found: { readonly def: StreamDef; readonly tables: readonly Followed[] }[] = []
    for (const def of defs) {
      const places = isThere ? await Promise.all(def.tables.map(table => readStreamPlace(tx, table))) : []
      const tables = def.tables.flatMap((config, i) => {
        const at = places[i] ?? null
        return at === null ? [] : [{ config, at }]
      })
      found.push({ def, tables })
    }
    return found
  })
}

/**
 * Why streams of a source cannot go on. What the durable log does not say, the source is asked: its stream is opened and closed,
 * nothing is confirmed. A receiver is none that could be asked.
 */
export async function faultsOf(
  open: Pick<OpenProject, 'stateDir'>,
  given: { readonly adapter: Adapter; readonly source: SourceDef; readonly places: readonly StreamNow[] },
  signal: AbortSignal,
): Promise<readonly { readonly where: string; readonly error: NaruError }[]> {
  const { adapter, source, places } = given
  const faults: { readonly where: string; readonly error: NaruError }[] = []
  for (const { def, lost, from } of places.filter(it => it.def.source.name === source.name)) {
    const where = `source ${source.name}, ${def.technique}`
    const captures = adapter.captures?.[def.technique]
    if (lost !== null) faults.push({ where, error: lost })
    if (lost !== null || from === null || captures === undefined || adapter.tables === undefined) continue
    try {
      const followed = def.tables.map(table => ({ ...capturedTable(table), isFollowed: true }))
      const left = (await captures.lost?.(followed, signal)) ?? []
      for (const { table, problem } of left) {
        const error = fail('STREAM_TABLE_LOST', { source: source.name, table, problem })
        faults.push({ where: `${source.name}.${table}`, error })
      }
      const tables = followed.filter(it => !left.some(({ table }) => table === it.name))
      if (tables.length === 0) continue
      const stream = await captures.open({ tables, from, spillDir: spillDirOf(open.stateDir, topicOf(def)) }, signal)
      await stream.close()
    } catch (error) {
      faults.push({ where, error: knownError(error) })
    }
  }
  return faults
}
