import { isNaruError, type NaruError } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import type { LiveSource, LiveTable } from './status-types.ts'
import { percentilesOf, type Percentiles } from '../percentiles.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { stopsStream } from '../faults.ts'
import { isLive, type OpenStream } from '../stream/session.ts'
import type { Taken } from '../stream/tick.ts'
import type { LiveTrouble } from '../stream/trouble.ts'
import { refusedOf, type Lags } from '../stream/lags.ts'
import type { Poll } from './polls.ts'

/** Transactions that the percentiles are of. */
const windowSize = 1_024

/** What one table did. */
interface TableCounts {
  readonly ages: number[]
  /** When the last published read of a table that is polled began. */
  readMicros: bigint | null
  rows: number
  rejected: number
}

/** What a poll read, when it began. */
interface PolledSource {
  readonly source: string
  readonly tables: readonly string[]
  readonly beganMicros: bigint
}

/** Counts of each table since a process began, by `source.table`. */
export class LiveCounts {
  readonly #tables = new Map<string, TableCounts>()

  of(name: string): TableCounts {
    const found = this.#tables.get(name) ?? { ages: [], readMicros: null, rows: 0, rejected: 0 }
    this.#tables.set(name, found)
    return found
  }

  behind(name: string): Percentiles | null {
    return percentilesOf(this.of(name).ages)
  }

  /** Called when a tick has committed: ages are from the commit in the source, by its clock, to the one here. */
  note(taken: readonly Taken[], nowMicros: bigint): void {
    for (const { table, changes } of taken) {
      const counts = this.of(`${table.config.source}.${table.config.name}`)
      counts.rows += changes.rows
      counts.rejected += changes.rejected
      this.#note(
        counts,
        changes.committedMicros.map(micros => nowMicros - micros),
      )
    }
  }

  /** Called when what a poll read is published. A change right behind the read before it is the oldest that it brought. */
  notePoll({ source, tables, beganMicros }: PolledSource, nowMicros: bigint): void {
    for (const table of tables) {
      const counts = this.of(`${source}.${table}`)
      this.#note(counts, [nowMicros - (counts.readMicros ?? beganMicros)])
      counts.readMicros = beganMicros
    }
  }

  #note(counts: TableCounts, micros: readonly bigint[]): void {
    for (const age of micros) counts.ages.push(Number(age) / 1000)
    if (counts.ages.length > windowSize) counts.ages.splice(0, counts.ages.length - windowSize)
  }
}

/** A stream as the status tells it. */
export function streamSource(stream: OpenStream, lags: Pick<Lags, 'of' | 'percentiles' | 'isPaused'>): LiveSource {
  const { def, reader, tables, topic } = stream
  const { position, changed, trouble } = reader.status()
  const places = tables.flatMap(table => (isLive(table) && table.at !== null ? [table.at] : []))
  const first = places.toSorted((a, b) => topic.compare(a.place, b.place)).at(0)
  // Behind the last change of ours there are only signs of life, which are not worth a tick each.
  const isThere = first !== undefined && changed !== null && topic.compare(first.place, changed) >= 0
  return {
    source: def.source.name,
    technique: def.technique,
    position: isThere ? position : (first?.sourcePosition ?? null),
    everyMs: null,
    readMicros: null,
    logged: position,
    lag: lags.of(stream),
    behindBytes: lags.percentiles(stream),
    isPaused: lags.isPaused(def.source.name),
    refused: refusedOf(stream),
    trouble,
  }
}

export function streamedTables(
  stream: OpenStream,
  counts: LiveCounts,
  lags: Pick<Lags, 'ofTable' | 'nowOfTable'>,
): readonly LiveTable[] {
  const { state, error, trouble } = stream.reader.status()
  const isAway = trouble !== null && trouble.againMicros !== null
  return stream.tables.map(table => {
    const name = `${table.config.source}.${table.config.name}`
    const stopped = table.stopped ?? (state === 'stopped' ? error : null)
    return {
      table: name,
      technique: stream.def.technique,
      isAppend: table.config.append === true,
      position: table.at?.sourcePosition ?? null,
      behindMs: counts.behind(name),
      behindBytes: lags.ofTable(stream, table.config.name),
      waitingBytes: lags.nowOfTable(stream, table.config.name),
      state: stopped !== null ? 'stopped' : isAway ? 'waiting' : (table.at?.state ?? 'joining'),
      rows: counts.of(name).rows,
      rejected: counts.of(name).rejected,
      error: errorOf(stopped, false),
    }
  })
}

export function pollSource(
  poll: Poll,
  { isPaused, disk }: { readonly isPaused: boolean; readonly disk: LiveTrouble | null },
): LiveSource {
  const { source, everyMs } = poll
  const { readMicros, trouble } = poll.status()
  return {
    source: source.name,
    technique: 'poll',
    position: null,
    everyMs,
    logged: null,
    lag: null,
    behindBytes: null,
    isPaused,
    refused: [],
    readMicros,
    trouble: trouble ?? disk,
  }
}

export function polledTables(poll: Poll, counts: LiveCounts): readonly LiveTable[] {
  const { source, tables } = poll
  return tables.map(table => {
    const error = poll.stopped().find(it => it.table.name === table.name)?.error ?? null
    return {
      table: `${source.name}.${table.name}`,
      technique: table.change.technique,
      isAppend: false,
      position: null,
      behindMs: counts.behind(`${source.name}.${table.name}`),
      behindBytes: null,
      waitingBytes: null,
      state: error === null ? 'polled' : 'stopped',
      rows: null,
      rejected: null,
      error: errorOf(error, true),
    }
  })
}

/** Tables whose stream is lost, and those that follow theirs: what a session leaves for who asks when nobody follows them. */
export function leftOf(streams: readonly OpenStream[]): {
  readonly loads: readonly { readonly table: SourceTableDef }[]
  readonly stopped: readonly { readonly table: SourceTableDef; readonly error: NaruError }[]
} {
  const all = streams.flatMap(({ tables, reader }) => {
    const { state, error } = reader.status()
    const own = state === 'stopped' ? error : null
    return tables.map(table => ({ table, error: own ?? table.stopped, isRead: state === 'reading' }))
  })
  return {
    loads: all.flatMap(({ table, error, isRead }) =>
      error === null && isRead && isLive(table) ? [{ table: table.config }] : [],
    ),
    stopped: all.flatMap(({ table, error }) => (stopsStream(error) ? [{ table: table.config, error }] : [])),
  }
}

function errorOf(error: Error | null, isRetried: boolean): LiveTable['error'] {
  if (error === null) return null
  const { code, message: text, fix } = isNaruError(error) ? error : knownError(error)
  return { code, text, fix, isRetried }
}
