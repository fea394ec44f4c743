import { fail } from '../../core/errors.ts'
import type { InterfaceContext } from '../../etl/interface/index.ts'
import { applyChanges } from '../../etl/staging/index.ts'
import { stagingNames } from '../../run/tables.ts'
import { writeStreamPlaces } from '../../run/streams.ts'
import type { Position } from '../../services/bus/contract.ts'
import { extractSource, type StoppedTable } from '../extract.ts'
import { takeChanges, type TakenTable } from './land.ts'
import type { OpenStream, StreamTable } from './session.ts'

/** Bytes of changes that are applied in one step while nobody sees the rows. */
const stepBytes = 16 * 1024 * 1024

/** Tables that were read as a whole. */
interface FirstLoads {
  /** With the changes up to here, every key of them has its right value. */
  readonly upTo: Position
  /** Tables that keep their last image, because their shape in the source is none that their contract takes. */
  readonly stopped: readonly StoppedTable[]
}

/**
 * Reads the tables whose place is noted and whose rows are not there: in chunks, each committed with its record, so that a
 * broken load goes on. Then the source is asked how far it is now: every chunk was read before that, so once the changes up
 * to there are applied every key has its right value. Gives the place in the topic that this takes; `null` when nothing is
 * to be read, or the hours of the source are over.
 */
export async function loadTables(
  ctx: InterfaceContext,
  stream: OpenStream,
  tables: readonly StreamTable[],
): Promise<FirstLoads | null> {
  const loading = tables.filter(it => it.at !== null && it.at.state !== 'live' && it.extracted === null)
  if (loading.length === 0) return null
  const asked = { tables: loading.map(it => it.config), range: null, chunkControls: false }
  const { loads, stopped } = await extractSource(ctx, stream.adapter, stream.def.source, asked)
  for (const { table, error } of stopped) {
    const of = loading.find(it => it.config.name === table.name)
    if (of !== undefined) of.stopped = error
  }
  for (const load of loads) {
    const table = loading.find(it => it.config.name === load.table.name)
    if (table === undefined) continue
    table.extracted = load
    table.known = load.table
  }
  if (loads.length === 0 && stopped.length === 0) return null
  const head = await stream.captures.head(ctx.signal)
  return { upTo: await stream.reader.reached(head, ctx.signal), stopped }
}

/**
 * Applies the changes up to a place of the topic to rows that nobody sees yet, step by step: each commits with the place of
 * the table, so that a crash repeats at most a step. No history is kept of them: it begins when the table becomes visible.
 */
export async function catchUp(
  ctx: InterfaceContext,
  stream: OpenStream,
  { table, upTo }: { readonly table: StreamTable; readonly upTo: Position },
): Promise<void> {
  while (table.at !== null && table.stopped === null && stream.topic.compare(table.at.place, upTo) < 0) {
    const at = await ctx.commit(async tx => {
      const [taken] = await takeChanges(tx, {
        topic: stream.topic,
        log: stream.reader.log,
        tables: [hiddenTable(table)],
        upTo,
        bytes: stepBytes,
        signal: ctx.signal,
        emit: ctx.emit,
      })
      if (taken === undefined || table.at === null) return table.at
      if (taken.staged !== null) {
        const image = stagingNames(table.known).landing
        await applyChanges({ ...ctx, tx }, { ...taken.staged, image, past: null })
      }
      table.stopped = taken.stopped
      const next = { ...taken.at, state: 'catching-up' as const }
      await writeStreamPlaces(tx, [{ table: table.config, at: next }], ctx.run.id)
      ctx.env.crash('stream.step.commit.before')
      return next
    })
    table.at = at
  }
}

/** A table that nobody sees yet: its changes belong to the load that read it. */
export function hiddenTable({ config, known, at, extracted }: StreamTable): TakenTable {
  const load = extracted?.load ?? 0n
  if (at === null) throw fail('INTERNAL', { what: `${config.source}.${config.name} has no place in its stream` })
  return { config, known, at, load: () => Promise.resolve({ load, lines: 0n }) }
}
