import { fail, messageOf } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import { abandonOpen } from '../../run/loads.ts'
import { forgetStopped } from '../../run/stopped.ts'
import { forgetStreamPlace, readStreamPlace } from '../../run/streams.ts'
import type { Bus, Position, Topic } from '../../services/bus/contract.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { openProjectBus } from '../bus.ts'
import { openSource } from '../extract.ts'
import { stopsStream } from '../faults.ts'
import { setsBehind, sightOf } from '../subscribe/feeds.ts'
import type { Sight } from '../subscribe/rows.ts'
import type { OpenProject } from '../project.ts'
import { installedRemotes } from './installed.ts'
import { keepBytes, type StreamsGiven } from './session.ts'
import { capturesOf, topicOf, type StreamDef } from './streams.ts'

/** Nobody reads the rows of such a table: what its stream gave is nowhere else, once the source was told that it may forget it. */
export function isFromNow({ change }: SourceTableDef): boolean {
  return 'start' in change && change.start === 'now'
}

/**
 * Takes what nobody tells again before anything is forgotten: changes of tables whose rows are never read. Gives the streams that are
 * whole, of those with such tables or of events; of one that lost its place or its log nobody can tell more. Throws why what
 * nobody tells again could not be taken: then nothing may be forgotten.
 */
export async function drainFromNow(
  streams: readonly StreamDef[],
  run: (tables: readonly SourceTableDef[]) => Promise<{ readonly stopped: readonly { readonly error: unknown }[] }>,
): Promise<ReadonlySet<StreamDef>> {
  const whole = new Set<StreamDef>()
  for (const def of streams) {
    const fromNow = def.tables.filter(isFromNow)
    if (fromNow.length === 0 && def.technique !== 'event') continue
    const errors = await run(fromNow.length > 0 ? fromNow : def.tables).then(
      ({ stopped }) => stopped.map(({ error }) => error),
      (error: unknown) => [error],
    )
    if (errors.some(stopsStream)) continue
    // Tables that are read meet it again when they are, and their events stay where they are.
    if (errors.length > 0 && fromNow.length > 0) throw errors[0]
    whole.add(def)
  }
  return whole
}

/**
 * First the places, so that whatever breaks off, the tables are read as a whole by whoever comes next. Events that are `whole`
 * go on where they are: of their tables only those are forgotten that can be read. Gives the tables that begin anew.
 */
export async function forgetStreams(
  open: Pick<OpenProject, 'secret' | 'configDir' | 'stateDir' | 'env' | 'bus' | 'project'>,
  engine: Engine,
  given: {
    readonly source: SourceDef
    readonly streams: readonly StreamDef[]
    readonly whole: ReadonlySet<StreamDef>
    readonly options: Pick<StreamsGiven, 'emit' | 'signal' | 'adapters'>
  },
): Promise<readonly SourceTableDef[]> {
  const { source, streams, whole, options } = given
  const { signal, emit, adapters } = options
  const goesOn = (def: StreamDef): boolean => def.technique === 'event' && whole.has(def)
  const anew = streams.flatMap(def => (goesOn(def) ? def.tables.filter(table => !isFromNow(table)) : def.tables))
  const adapter = await openSource(open, source, adapters)
  try {
    if (anew.length === 0) throw nothingToRead(source, adapter.tables !== undefined)
    const places: string[] = []
    await engine.transaction(signal, async tx => {
      for (const table of anew) {
        places.push(...[(await readStreamPlace(tx, table))?.place ?? []].flat())
        await forgetStreamPlace(tx, table)
        await abandonOpen(tx, table)
        await forgetStopped(tx, table)
      }
    })
    const bus = await openProjectBus(open, emit)
    try {
      for (const def of streams.filter(it => !goesOn(it))) {
        const known = (open.project.subscribers ?? []).filter(({ source: name, tables: [first] }) =>
          def.tables.some(table => table.source === name && table.name === first),
        )
        const subscribers = known.map(it => ({ name: it.name, sight: sightOf(open.project.sources, it) }))
        await renewTopic(bus, { name: topicOf(def), subscribers, places }, emit)
      }
    } finally {
      await bus.close()
    }
    // What an outbox holds came from nobody else: it stays, and is given again.
    for (const def of streams) {
      if (def.technique !== 'event') await capturesOf(adapter, def).remove(signal, await installedRemotes(open, def))
    }
  } finally {
    await adapter.close()
  }
  return anew
}

function nothingToRead({ name, tables }: SourceDef, hasTables: boolean): Error {
  const [table] = tables
  if (!hasTables && table !== undefined) return fail('RESYNC_TOLD_ONCE', { table: `${name}.${table.name}` })
  const problem = 'its tables begin with the changes of a moment, its stream lost nothing, and all that it gave is here'
  const fix = 'Nothing is to be done: naru status shows how far its tables are.'
  return fail('RESYNC_UNABLE', { asked: name, problem, fix })
}

/**
 * Begins a topic anew, and says who loses what by it. Whoever had a place in it goes on with the first change of the new one;
 * of a log that is gone nobody knows who had one, so all whom the config names do. Positions that applications noted are none of
 * the new one: it begins behind them, and behind the `places` of the engine.
 */
async function renewTopic(
  bus: Bus,
  given: {
    readonly name: string
    readonly subscribers: readonly { readonly name: string; readonly sight: Sight }[]
    readonly places: readonly string[]
  },
  emit: Emit,
): Promise<void> {
  const { name, subscribers } = given
  const behind = [...given.places]
  const note = (text: string): void => emit({ kind: 'note', level: 'warn', text, code: 'STREAM_ANEW' })
  let readers = subscribers.map(it => it.name)
  try {
    const wasThere = (await bus.topics()).includes(name)
    const topic = wasThere ? await bus.openTopic(name, { keepBytes }) : null
    const places = (await topic?.subscribers()) ?? []
    if (places.length > 0) readers = places.map(it => it.name)
    for (const { name: subscriber, position } of places) {
      const sight = subscribers.find(it => it.name === subscriber)?.sight ?? null
      const lost = await lostText(topic as Topic, position, sight)
      if (lost !== null)
        note(`subscriber "${subscriber}" has not acknowledged ${lost} of ${name}: they are removed with it`)
    }
    behind.push(...[(await topic?.last())?.position ?? []].flat())
  } catch (error) {
    // A log that is damaged is removed all the same; the bus knows without reading it what lies behind all that it gave.
    note(`who has not acknowledged messages of ${name} cannot be told, and they are removed: ${messageOf(error)}`)
  }
  await bus.removeTopic(name)
  if (readers.length === 0) return
  const topic = await bus.openTopic(name, { keepBytes, behind })
  for (const reader of readers) {
    await (await topic.subscribe(reader, 'start')).close()
    note(`subscriber "${reader}" goes on with the changes from now on; those since its last place are not given`)
  }
}

/** Sets with changes that a subscriber sees and has not acknowledged; `null` when there are none. */
async function lostText(topic: Topic, position: Position | null, sight: Sight | null): Promise<string | null> {
  const { sets, isCounted } = await setsBehind(topic, position, sight)
  if (isCounted) return sets === 0 ? null : `${sets} ${sets === 1 ? 'set' : 'sets'}`
  return sight === null ? 'some messages' : `${sets} or more sets`
}
