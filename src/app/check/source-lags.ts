import { ident, sql } from '../../core/sql.ts'
import { withDeadline } from '../../core/env.ts'
import type { NaruError } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import type { CaptureLag } from '../../services/adapter/contract-capture.ts'
import { openSource } from '../extract.ts'
import { alarmOf, guardingOf } from '../stream/guard.ts'
import type { OpenProject } from '../project.ts'
import { databaseExists, reading } from '../read.ts'
import { capturesOf, streamsOf, type StreamDef } from '../stream/streams.ts'

/** Longest wait for a source to say what it keeps for us. */
const answerMs = 5_000

/** What a source keeps for one of its streams while nobody reads. */
export interface SourceLag {
  readonly source: string
  readonly technique: string
  /** `null` when it does not answer. */
  readonly lag: CaptureLag | null
  /** Why it is an alarm, or does not answer; `null` when all is well. */
  readonly error: { readonly code: string; readonly text: string; readonly fix: string } | null
}

/** Where each stream was read to, by source and technique, as far as the database knows. */
export type StreamPositions = ReadonlyMap<string, string>

/** The positions that the database has; none when there is no database yet. */
export async function streamPositions(open: OpenProject, signal: AbortSignal): Promise<StreamPositions> {
  if (!(await databaseExists(open))) return new Map()
  const rows = await reading(open, signal, async tx =>
    (await tx.exists(ident('naru', 'stream')))
      ? tx.rows(sql`select source, technique, source_position from naru.stream where source_position is not null`)
      : [],
  )
  return new Map(rows.map(row => [`${row['source']} ${row['technique']}`, String(row['source_position'])]))
}

/** Asks every source of a stream what it keeps for us: for when no server does. One that does not answer is told as such. */
export async function sourceLags(open: OpenProject, signal: AbortSignal): Promise<readonly SourceLag[]> {
  const streams = streamsOf(open.project.sources)
  if (streams.length === 0) return []
  const positions = await streamPositions(open, signal)
  const asked = streams.map(async (def): Promise<readonly SourceLag[]> => {
    const { name: source } = def.source
    try {
      const adapter = await openSource(open, def.source)
      try {
        const limit = { what: `source "${source}"`, ms: answerMs, signal }
        const lag = await withDeadline(open.env, limit, until => lagOf(adapter, def, positions, until))
        if (lag === null) return []
        const error = restingAlarmOf(def, lag)
        return [{ source, technique: def.technique, lag, error: error === null ? null : errorText(error) }]
      } finally {
        await adapter.close()
      }
    } catch (error) {
      signal.throwIfAborted()
      return [{ source, technique: def.technique, lag: null, error: errorText(knownError(error)) }]
    }
  })
  return (await Promise.all(asked)).flat()
}

/** What a source keeps for a stream that is not open; `null` where it keeps nothing, or nothing is made at it yet. */
export async function lagOf(
  adapter: Adapter,
  def: StreamDef,
  positions: StreamPositions,
  signal: AbortSignal,
): Promise<CaptureLag | null> {
  const lag = await capturesOf(adapter, def).lag?.(positions.get(`${def.source.name} ${def.technique}`) ?? null, signal)
  return lag === undefined || (lag.bytes === null && lag.trouble === null) ? null : lag
}

/** The alarm of a lag while nobody reads, which says what the guard would do; `null` when all is well. */
export function restingAlarmOf(def: StreamDef, lag: CaptureLag): NaruError | null {
  const found = guardingOf(def, lag, false)
  if (found.kind === 'nothing') return alarmOf(def, lag, found)
  return alarmOf(def, lag, { ...found, problem: `${found.problem} (${def.source.guard?.then})` })
}

/** An error as the status tells it. */
export function errorText({ code, message, fix }: NaruError): NonNullable<SourceLag['error']> {
  return { code, text: message, fix }
}
