import { microsText } from '../../core/cell-text.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import { readStreamPlace, type StreamPlace } from '../../run/streams.ts'
import type { Engine } from '../../services/engine/contract.ts'
import type { Turns } from '../live/turns.ts'
import type { OpenProject } from '../project.ts'
import { prepare } from '../run-frame.ts'
import { runOn } from '../run-project.ts'
import { drainFromNow, forgetStreams, isFromNow } from '../stream/forget.ts'
import { streamsOf } from '../stream/streams.ts'
import { newestLoad } from './found.ts'
import { readFirst } from './first-read.ts'
import { runOf, type Resynced, type ResyncOptions } from './request.ts'

/**
 * Installs the streams of a source anew, and reads their tables: each is compared with its image when it is there. In a server
 * only the forgetting stands alone: its session finds tables without a place, and reads them beside the ticks of the others.
 */
export async function resyncSource(
  open: OpenProject,
  engine: Engine,
  given: { readonly source: SourceDef; readonly options: ResyncOptions; readonly turns: Turns | null },
): Promise<Resynced> {
  const { source, options, turns } = given
  const { signal, emit } = options
  await engine.transaction(signal, tx => prepare(tx, engine))
  const streams = streamsOf([source])
  const tables = streams.flatMap(def => def.tables)
  const placesOf = (): Promise<readonly (StreamPlace | null)[]> =>
    engine.transaction(signal, tx => Promise.all(tables.map(table => readStreamPlace(tx, table))))
  const forget = async (): Promise<readonly SourceTableDef[]> => {
    const whole = await drainFromNow(streams, of => runOn(open, engine, runOf(of, options)))
    return forgetStreams(open, engine, { source, streams, whole, options })
  }
  const before = await placesOf()
  const since = await newestLoad(engine, signal)
  const anew = new Set(await (turns === null ? forget() : turns.alone('naru resync', signal, forget)))
  open.env.crash('resync.forget.after')
  const done = await readFirst(open, { engine, tables, options, since, turns })
  const after = await placesOf()
  const gaps = tables.flatMap((table, i) =>
    anew.has(table) ? [gapOf(table, before[i] ?? null, after[i] ?? null)] : [],
  )
  for (const text of gaps) emit({ kind: 'note', level: 'warn', text, code: 'STREAM_ANEW' })
  return { ...done, gap: gaps.join('; ') }
}

function gapOf(table: SourceTableDef, before: StreamPlace | null, after: StreamPlace | null): string {
  const name = `${table.source}.${table.name}`
  if (before === null) return `${name}: it had no place in a stream; it follows one now`
  const at = before.committedMicros === null ? '' : ` (committed ${microsText(before.committedMicros, true)})`
  const to = after?.sourcePosition ?? 'the place that its next run notes'
  const between = `${name}: what changed between ${before.sourcePosition ?? before.place}${at} and ${to}`
  if (isFromNow(table)) return `${between} is not told: its rows are not read`
  if (table.append === true) return `${between} is not told: its log begins anew with the rows of its source`
  return `${between} was found by comparing: rows are right, versions between are not told`
}
