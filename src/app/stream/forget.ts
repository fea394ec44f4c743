import { fail, isNaruError, messageOf } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import { abandonOpen } from '../../run/loads.ts'
import { forgetStopped } from '../../run/stopped.ts'
import { forgetStreamPlace } from '../../run/streams.ts'
import type { Bus } from '../../services/bus/contract.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { openProjectBus } from '../bus.ts'
import { openSource } from '../extract.ts'
import type { OpenProject } from '../project.ts'
import { keepBytes, type StreamsGiven } from './session.ts'
import { capturesOf, topicOf, type StreamDef } from './streams.ts'
import { streamFaults } from './trouble.ts'

/** Nobody reads the rows of such a table: what its stream gave is nowhere else, once the source was told that it may forget it. */
export function isToldOnce({ change }: SourceTableDef): boolean {
  return 'start' in change && change.start === 'now'
}

/**
 * Takes what is told once before anything is forgotten: changes of tables whose rows are never read. Gives the streams that are
 * whole, of those with such tables or of events; of one that lost its place or its log nobody can tell more. Throws why what
 * is told once could not be taken: then nothing may be forgotten.
 */
export async function drainToldOnce(
  streams: readonly StreamDef[],
  run: (tables: readonly SourceTableDef[]) => Promise<{ readonly stopped: readonly { readonly error: unknown }[] }>,
): Promise<ReadonlySet<StreamDef>> {
  const whole = new Set<StreamDef>()
  for (const def of streams) {
    const once = def.tables.filter(isToldOnce)
    if (once.length === 0 && def.technique !== 'event') continue
    const errors = await run(once.length > 0 ? once : def.tables).then(
      ({ stopped }) => stopped.map(({ error }) => error),
      (error: unknown) => [error],
    )
    if (errors.some(isLost)) continue
    // Tables that are read meet it again when they are, and their events stay where they are.
    if (errors.length > 0 && once.length > 0) throw errors[0]
    whole.add(def)
  }
  return whole
}

function isLost(error: unknown): boolean {
  return isNaruError(error) && streamFaults.includes(error.code)
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
  const anew = streams.flatMap(def => (goesOn(def) ? def.tables.filter(table => !isToldOnce(table)) : def.tables))
  const adapter = await openSource(open, source, adapters)
  try {
    if (anew.length === 0) throw nothingToRead(source, adapter.tables !== undefined)
    await engine.transaction(signal, async tx => {
      for (const table of anew) {
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
        await renewTopic(bus, { name: topicOf(def), subscribers: known.map(it => it.name) }, emit)
      }
    } finally {
      await bus.close()
    }
    // What an outbox holds came from nobody else: it stays, and is given again.
    for (const def of streams) if (def.technique !== 'event') await capturesOf(adapter, def).remove(signal)
  } finally {
    await adapter.close()
  }
  return anew
}

function nothingToRead({ name, tables }: SourceDef, hasTables: boolean): Error {
  const [table] = tables
  if (!hasTables && table !== undefined) return fail('RESYNC_TOLD_ONCE', { table: `${name}.${table.name}` })
  const problem = 'its tables begin with the changes of a moment, its stream lost nothing, and all that it gave is here'
  return fail('RESYNC_UNABLE', { asked: name, problem })
}

/**
 * Begins a topic anew, and says who loses what by it. Whoever had a place in it goes on with the first change of the new one;
 * of a log that is gone nobody knows who had one, so all whom the config names do.
 */
async function renewTopic(
  bus: Bus,
  { name, subscribers }: { readonly name: string; readonly subscribers: readonly string[] },
  emit: Emit,
): Promise<void> {
  const note = (text: string): void => emit({ kind: 'note', level: 'warn', text, code: 'STREAM_ANEW' })
  let readers = subscribers
  try {
    const wasThere = (await bus.topics()).includes(name)
    const places = wasThere ? await (await bus.openTopic(name, { keepBytes })).subscribers() : []
    if (places.length > 0) readers = places.map(it => it.name)
    for (const { name: subscriber, messages } of places) {
      const lost = `subscriber "${subscriber}" has not acknowledged ${messages} messages of ${name}`
      if (messages > 0) note(`${lost}: they are removed with it`)
    }
  } catch (error) {
    // A log that is damaged is removed all the same.
    note(`who has not acknowledged messages of ${name} cannot be told, and they are removed: ${messageOf(error)}`)
  }
  await bus.removeTopic(name)
  if (readers.length === 0) return
  const topic = await bus.openTopic(name, { keepBytes })
  for (const reader of readers) {
    await (await topic.subscribe(reader, 'start')).close()
    note(`subscriber "${reader}" goes on with the changes from now on; those since its last place are not given`)
  }
}
