import { fail } from '../../core/errors.ts'
import { sql } from '../../core/sql.ts'
import { applyChanges, applyLoad, ensureImage } from '../../etl/staging/index.ts'
import { filled, type ChangeSet, type StageContext } from '../../run/context.ts'
import { beginLoad, publishLoad } from '../../run/loads.ts'
import { forgetStreamPlace, writeStreamPlaces } from '../../run/streams.ts'
import { stagedName, stagingNames } from '../../run/tables.ts'
import type { Position } from '../../services/bus/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { stopsStream } from '../faults.ts'
import { hiddenTable } from './first-load.ts'
import { takeChanges, type TakenChanges, type TakenTable } from './land.ts'
import type { OpenStream, StreamTable } from './session.ts'

/** What one publishing transaction takes of a stream. */
export interface Pass {
  readonly stream: OpenStream
  readonly tables: readonly StreamTable[]
  readonly upTo: Position
  readonly bytes: number
}

/** What a publishing transaction took, for when it has committed. */
export interface Taken {
  readonly table: StreamTable
  readonly changes: TakenChanges
}

/** Makes the change set of a table's staging node. */
export type StageTable = (ctx: StageContext) => Promise<ChangeSet>

/**
 * Takes what waits in the topics into tables of changes, within the publishing transaction. Gives what staging does with
 * them, by the name of the staged table.
 */
export async function takePasses(
  ctx: StageContext,
  passes: readonly Pass[],
): Promise<{ readonly taken: readonly Taken[]; readonly staging: ReadonlyMap<string, StageTable> }> {
  const taken: Taken[] = []
  const staging = new Map<string, StageTable>()
  for (const { stream, tables, upTo, bytes } of passes) {
    const asked = tables.map(table => (isNew(table) ? hiddenTable(table) : liveTable(ctx, table)))
    const { topic, reader } = stream
    const { signal, emit } = ctx
    const given = { topic, log: reader.log, tables: asked, upTo, bytes, signal, emit }
    const found = await takeChanges(ctx.tx, given).catch((error: unknown) => {
      if (stopsStream(error)) for (const table of tables) table.stopped = error
      throw error
    })
    for (const [i, changes] of found.entries()) {
      const table = tables[i] as StreamTable
      taken.push({ table, changes })
      const name = stagedName(table.config)
      if (isNew(table)) staging.set(name, it => firstImage(it, table, changes))
      else if (changes.staged !== null) staging.set(name, it => changedImage(it, changes))
    }
  }
  return { taken, staging }
}

/** Those of the passes that cannot be taken, because of this error: their tables are stopped. */
export function lostBy(error: unknown, passes: readonly Pass[]): readonly Pass[] {
  if (!stopsStream(error)) return []
  return passes.filter(({ tables }) => tables.some(table => table.stopped === error))
}

/** Notes places and loads of what was taken, in the transaction that publishes it. */
export async function writePasses({ tx, run }: StageContext, taken: readonly Taken[]): Promise<void> {
  for (const { table, changes } of taken) {
    if (isNew(table) && table.extracted !== null) {
      await publishLoad(tx, table.known, table.extracted.load, run.id)
    } else if (changes.staged !== null) {
      const { load } = changes.staged
      if (table.load?.load !== load) await publishLoad(tx, table.known, load, run.id)
      await tx.execute(sql`
        update naru.load set rows_read = ${changes.lines}, rows_rejected = rows_rejected + ${changes.rejected}
        where load = ${load}`)
    }
    if (changes.needsReload) await forgetStreamPlace(tx, table.config)
  }
  const moved = taken.filter(({ table, changes }) => !changes.needsReload && (changes.at !== table.at || isNew(table)))
  const places = moved.map(({ table, changes }) => ({
    table: table.config,
    at: { ...changes.at, state: 'live' as const },
  }))
  await writeStreamPlaces(tx, places, run.id)
}

/** What is true once the transaction has committed. */
export function noteCommitted(run: bigint, taken: readonly Taken[]): void {
  for (const { table, changes } of taken) {
    if (changes.needsReload) {
      table.at = null
      continue
    }
    table.at = { ...changes.at, state: 'live' }
    table.stopped = changes.stopped
    if (table.extracted === null && changes.staged !== null) {
      table.load = { run, load: changes.staged.load, lines: changes.lines }
    }
    table.extracted = null
    table.hidden = null
    table.isCaughtUp = false
  }
}

function isNew(table: StreamTable): boolean {
  return table.extracted !== null
}

/** All changes of a table within a run are one load: a row of `naru.load` for each of many ticks a second would be too much. */
function liveTable({ run }: StageContext, table: StreamTable): TakenTable {
  const { config, known, at, load } = table
  if (at === null) throw fail('INTERNAL', { what: `${config.source}.${config.name} has no place in its stream` })
  const begin = async (tx: Transaction): Promise<{ readonly load: bigint; readonly lines: bigint }> => {
    if (load?.run === run.id) return load
    const begun = await beginLoad(tx, known, {
      run: run.id,
      scope: 'delta',
      sinceMicros: at.committedMicros,
      horizonMicros: null,
      takenMicros: null,
      sweep: false,
    })
    return { load: begun.load, lines: 0n }
  }
  return { config, known, at, load: begin }
}

async function changedImage(ctx: StageContext, { staged, table }: TakenChanges): Promise<ChangeSet> {
  const { image, past } = stagingNames(table.known)
  if (staged === null) throw fail('INTERNAL', { what: 'changes without changes' })
  // A table that begins now may have changes before anything was published of it.
  const { scope } = await ensureImage(ctx, table.known)
  const { changes } = await applyChanges(ctx, { ...staged, image, past })
  return scope === 'all' ? filled(image, changes.inserted) : changes
}

/** The last changes of a table that nobody has seen go onto its rows; with them it becomes visible. */
async function firstImage(ctx: StageContext, table: StreamTable, { staged }: TakenChanges): Promise<ChangeSet> {
  const { extracted } = table
  if (extracted === null) throw fail('INTERNAL', { what: 'a table without a first load' })
  if (staged !== null) {
    await applyChanges(ctx, { ...staged, image: stagingNames(table.known).landing, past: null })
  }
  return applyLoad(ctx, extracted)
}
