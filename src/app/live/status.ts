import { isNaruError } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import { percentilesOf, type LiveSource, type LiveTable, type LiveTrouble, type Percentiles } from '../live-status.ts'
import { isLive, type OpenStream } from '../stream/session.ts'
import type { Taken } from '../stream/tick.ts'
import { refusedOf, type Lags } from './lags.ts'
import type { Poll } from './polls.ts'

/** Transactions that the percentiles are of. */
const windowSize = 1_024

/** What one table did in this session. */
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

/** Counts of each table of a session, by `source.table`. */
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

export function streamTables(
  stream: OpenStream,
  counts: LiveCounts,
  lags: Pick<Lags, 'ofTable'>,
): readonly LiveTable[] {
  const { state, error } = stream.reader.status()
  return stream.tables.map(table => {
    const name = `${table.config.source}.${table.config.name}`
    const stopped = table.stopped ?? (state === 'stopped' ? error : null)
    return {
      table: name,
      technique: table.config.append === true ? `${stream.def.technique}, append` : stream.def.technique,
      position: table.at?.sourcePosition ?? null,
      behindMs: counts.behind(name),
      behindBytes: lags.ofTable(stream, table.config.name),
      state: stopped === null ? (table.at?.state ?? 'joining') : 'stopped',
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
      position: null,
      behindMs: counts.behind(`${source.name}.${table.name}`),
      behindBytes: null,
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
