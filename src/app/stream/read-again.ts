import { fail, type NaruError } from '../../core/errors.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { Extracted, InterfaceContext } from '../../etl/interface/index.ts'
import { abandonOpen, type LoadRange } from '../../run/loads.ts'
import { rememberedTable } from '../../run/remembered-columns.ts'
import { readStreamPlace, type StreamPlace } from '../../run/streams.ts'
import type { Adapter, ReadsTables, Snapshot } from '../../services/adapter/contract.ts'
import type { SourceDef } from '../../config/model.ts'
import { extractSource } from '../extract.ts'

/** Which rows of a table are read again: all, a range of a column, or what a condition in the source's own SQL finds. */
export interface Part {
  readonly range?: LoadRange | undefined
  readonly where?: string | undefined
  /** The condition is not a person's: it finds what was set aside. */
  readonly rejected?: boolean | undefined
}

/** A table that was read again while its stream went on, and waits to be compared. */
export interface ReadAgain {
  readonly extracted: Extracted
  /** Where the table was in its stream before anything was read. */
  readonly from: StreamPlace
  /** True when at least one view that it was read under had not seen a transaction, by the number of the stream. */
  lacks(transaction: bigint): boolean
}

/**
 * The place of a table whose rows follow its stream; `null` when its first load is still to come, which reads all of it
 * anyway. What an earlier reading left is set aside: the changes since are not known.
 */
export async function beginReadAgain(ctx: InterfaceContext, table: SourceTableDef): Promise<StreamPlace | null> {
  return ctx.commit(async tx => {
    const at = await readStreamPlace(tx, await rememberedTable(tx, table))
    if (at?.state !== 'live') return null
    await abandonOpen(tx, table)
    return at
  })
}

/** Reads a table, or a part of it, beside the ticks. Throws what the reading throws: the image stays as it is. */
export async function readAgain(
  ctx: InterfaceContext,
  adapter: Adapter,
  given: {
    readonly source: SourceDef
    readonly table: SourceTableDef
    readonly from: StreamPlace
    readonly part: Part
  },
): Promise<ReadAgain> {
  const { source, table, from, part } = given
  const views: NonNullable<Snapshot['includes']>[] = []
  const asked = {
    tables: [table],
    range: part.range ?? null,
    where: part.where,
    isOurs: part.rejected === true,
    chunkControls: false,
  }
  const { loads, stopped } = await extractSource(ctx, notingViews(adapter, views), source, asked)
  const [extracted] = loads
  if (stopped[0] !== undefined) throw stopped[0].error
  if (extracted === undefined) throw fail('RESYNC_WAITS', { table: `${table.source}.${table.name}` })
  return { extracted, from, lacks: transaction => views.some(includes => !includes(transaction)) }
}

/** The adapter, with a note of every view that is taken of it. One that does not tell what it has throws `unable`, if that is given. */
export function notingViews(adapter: Adapter, views: NonNullable<Snapshot['includes']>[], unable?: NaruError): Adapter {
  const { tables } = adapter
  if (tables === undefined) return adapter
  const noted: ReadsTables = {
    // What the system can do is settled once a view is open.
    get can() {
      return tables.can
    },
    limits: tables.limits,
    openSnapshot: async signal => {
      const snapshot = await tables.openSnapshot(signal)
      const includes = snapshot.includes?.bind(snapshot)
      if (includes !== undefined) views.push(includes)
      else if (unable !== undefined) {
        await snapshot.close()
        throw unable
      }
      return snapshot
    },
  }
  return { kind: adapter.kind, tables: noted, close: () => adapter.close() }
}
