import { knownError } from '../../core/known-error.ts'
import type { Bus } from '../../services/bus/contract.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { StreamPlace, StreamState } from '../../run/streams.ts'
import { openProjectBus } from '../bus.ts'
import { followedIn, type Followed } from './places.ts'
import type { OpenProject } from '../project.ts'
import { databaseExists } from '../read.ts'
import { errorText, sourceLags, type SourceLag } from './source-lags.ts'
import { streamsOf, topicOf, type StreamDef } from '../stream/streams.ts'
import { lostLog } from '../stream/lost-log.ts'
import { Feeds, setsBehind, type SubscriberStatus } from '../subscribe/feeds.ts'

/** The streams of a project while nobody follows them. */
export interface StreamsAtRest {
  /** What sources keep meanwhile. */
  readonly kept: readonly SourceLag[]
  readonly tables: readonly RestingTable[]
  readonly subscribers: readonly SubscriberStatus[]
  /** Why the durable log, or a part of it, could not be looked into; `null` when it was. */
  readonly unseen: string | null
}

/** A table of a stream, as it was left. */
export interface RestingTable {
  /** As `source.table`. */
  readonly table: string
  readonly technique: string
  readonly isAppend: boolean
  /** `not-begun`: no run had it yet. `at-rest`: its rows are visible, and follow their stream with the next run or start. */
  readonly state: 'not-begun' | 'at-rest' | Exclude<StreamState, 'live'>
  /** Up to where its changes are in the rows, in the source's own words. */
  readonly position: string | null
  /** When the newest change that is in the rows was committed, by the source's clock. */
  readonly committedMicros: bigint | null
  /** Bytes of the durable log that it has yet to take; `null` when that could not be seen. */
  readonly waitingBytes: number | null
  /** Why its durable log does not lead on from where it is. */
  readonly error: { readonly code: string; readonly text: string; readonly fix: string } | null
}

/** Nothing is asked of a project without streams, and of one whose streams somebody follows. */
export const noStreams: StreamsAtRest = { kept: [], tables: [], subscribers: [], unseen: null }

/**
 * What is known of streams that nobody follows: from the engine, the durable log and the sources, which have 5 seconds to answer.
 * Only looks: a run that begins meanwhile is not disturbed.
 */
export async function streamsAtRest(open: OpenProject, signal: AbortSignal): Promise<StreamsAtRest> {
  const defs = streamsOf(open.project.sources)
  if (defs.length === 0) return noStreams
  const [kept, places] = await Promise.all([sourceLags(open, signal), placesOf(open, defs, signal)])
  const unseen = new Set<string>()
  const orUnseen = async <T>(look: () => Promise<T>, otherwise: () => T | Promise<T>): Promise<T> => {
    try {
      return await look()
    } catch (error) {
      const known = knownError(error)
      if (known.code === 'INTERNAL') throw error
      unseen.add(known.message)
      return otherwise()
    }
  }
  const bus = await orUnseen<Bus | null>(
    () => openProjectBus(open, () => {}),
    () => null,
  )
  try {
    const tables: RestingTable[] = []
    for (const place of places) {
      const found = await orUnseen(
        () => tablesOf(place, bus),
        () => tablesOf(place, null),
      )
      tables.push(...found)
    }
    const none: readonly SubscriberStatus[] = []
    const subscribers =
      bus === null
        ? none
        : await orUnseen(
            () => new Feeds(open, bus).list(),
            () => none,
          )
    return { kept, tables, subscribers, unseen: unseen.size === 0 ? null : [...unseen].join('; ') }
  } finally {
    await bus?.close()
  }
}

type Places = readonly Followed[]

async function placesOf(
  open: OpenProject,
  defs: readonly StreamDef[],
  signal: AbortSignal,
): Promise<readonly { readonly def: StreamDef; readonly places: Places }[]> {
  if (!(await databaseExists(open))) return defs.map(def => ({ def, places: [] }))
  return (await followedIn(open, defs, signal)).map(({ def, tables }) => ({ def, places: tables }))
}

async function tablesOf(
  { def, places }: { readonly def: StreamDef; readonly places: Places },
  bus: Bus | null,
): Promise<readonly RestingTable[]> {
  const topic = (await bus?.lookAt(topicOf(def))) ?? null
  const lost = bus === null ? null : await lostLog(topic, { def, tables: places })
  const waitingFor = async (table: SourceTableDef, { place }: StreamPlace): Promise<number | null> => {
    if (topic === null || lost !== null) return null
    const { sets, isCounted } = await setsBehind(topic, place, { tables: [table], showsPersonal: true })
    // Signs of life, and changes of other tables, are nothing that waits.
    return isCounted && sets === 0 ? 0 : topic.behind(place).bytes
  }
  return Promise.all(
    def.tables.map(async config => {
      const at = places.find(it => it.config.name === config.name)?.at ?? null
      return {
        table: `${config.source}.${config.name}`,
        technique: def.technique,
        isAppend: config.append === true,
        state: at === null ? 'not-begun' : at.state === 'live' ? 'at-rest' : at.state,
        position: at?.sourcePosition ?? null,
        committedMicros: at?.committedMicros ?? null,
        waitingBytes: at === null ? null : await waitingFor(config, at),
        error: at === null || lost === null ? null : errorText(lost),
      } as const
    }),
  )
}
