import { isNaruError } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import { percentilesOf, type LiveSource, type LiveTable, type Percentiles } from '../live-status.ts'
import { isLive, type OpenStream } from '../stream/session.ts'
import type { Taken } from '../stream/tick.ts'
import type { Lags } from './lags.ts'
import type { Poll } from './polls.ts'

/** Transactions that the percentiles are of. */
const windowSize = 1_024

/** What one table did in this session. */
interface TableCounts {
  readonly ages: number[]
  rows: number
  rejected: number
}

/** Counts of each table of a session, by `source.table`. */
export class LiveCounts {
  readonly #tables = new Map<string, TableCounts>()

  of(name: string): TableCounts {
    const found = this.#tables.get(name) ?? { ages: [], rows: 0, rejected: 0 }
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
      for (const micros of changes.committedMicros) counts.ages.push(Number(nowMicros - micros) / 1000)
      if (counts.ages.length > windowSize) counts.ages.splice(0, counts.ages.length - windowSize)
    }
  }
}

/** A stream as the status tells it. */
export function streamSource(stream: OpenStream, lags: Pick<Lags, 'of'>): LiveSource {
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
    trouble,
  }
}

export function streamTables(stream: OpenStream, counts: LiveCounts): readonly LiveTable[] {
  const { state, error } = stream.reader.status()
  return stream.tables.map(table => {
    const name = `${table.config.source}.${table.config.name}`
    const stopped = table.stopped ?? (state === 'stopped' ? error : null)
    return {
      table: name,
      technique: stream.def.technique,
      isAppend: table.config.append === true,
      position: table.at?.sourcePosition ?? null,
      behindMs: counts.behind(name),
      state: stopped === null ? (table.at?.state ?? 'joining') : 'stopped',
      rows: counts.of(name).rows,
      rejected: counts.of(name).rejected,
      error: errorOf(stopped, false),
    }
  })
}

export function pollSource(poll: Poll): LiveSource {
  const { source, everyMs } = poll
  return { source: source.name, technique: 'poll', position: null, everyMs, logged: null, lag: null, ...poll.status() }
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
      state: error === null ? 'polled' : 'stopped',
      rows: 0,
      rejected: 0,
      error: errorOf(error, true),
    }
  })
}

function errorOf(error: Error | null, isRetried: boolean): LiveTable['error'] {
  if (error === null) return null
  const { code, message: text, fix } = isNaruError(error) ? error : knownError(error)
  return { code, text, fix, isRetried }
}
