import { fail } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import type { SetAside } from '../../run/set-aside.ts'
import { streamTechnique } from '../../run/streams.ts'
import type { OpenProject } from '../project.ts'
import type { AdapterImplementation } from '../registry.ts'
import type { RunOptions } from '../run-project.ts'
import type { Part } from '../stream/read-again.ts'

/** What is to be read again. */
export interface ResyncRequest extends Part {
  /** `source`: the stream is installed anew and every table of it is read. `source.table`: the table, or a part of it. */
  readonly selector: string
  /** Only rows that were set aside, and have not come since: once what was wrong with them is mended. */
  readonly rejected?: boolean | undefined
}

export interface ResyncOptions extends ResyncRequest {
  readonly emit: Emit
  readonly signal: AbortSignal
  /** Other adapters than the package's own: for tests. */
  readonly adapters?: Readonly<Record<string, AdapterImplementation>>
  /** About how many bytes of a stream one transaction takes: what bounds its memory. */
  readonly stepBytes?: number
}

/** What differed in one table. */
export interface ResyncedTable {
  readonly table: string
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
  /** Keys that the stream changed while the table was read: they are as it says. `null` when nothing could be compared, because the table was emptied at once. */
  readonly touched: number | null
}

export interface Resynced {
  readonly run: bigint
  readonly tables: readonly ResyncedTable[]
  /** What no stream told, when it was installed anew; `null` otherwise. */
  readonly gap: string | null
  /** What is still set aside of the rows that were to come; only where those were asked for. */
  readonly setAside?: StillAside
}

/** Rows that were read once more and set aside once more, or that the source does not have any more. */
export interface StillAside {
  readonly rows: number
  /** The first of them. */
  readonly first: readonly SetAside[]
  /** Rows that the source has no more: their rejects are done with. */
  readonly gone: number
}

/** What a selector names. */
export interface Asked {
  readonly source: SourceDef
  /** `null`: all of the source. */
  readonly table: SourceTableDef | null
}

/** Throws `RESYNC_UNABLE` when there is no such table, or none that could be read again. */
export function askedOf({ project }: OpenProject, { selector, range, where, rejected }: ResyncRequest): Asked {
  const refuse = (problem: string, fix: string): Error => fail('RESYNC_UNABLE', { asked: selector, problem, fix })
  const parts = [range, where, rejected === true ? rejected : undefined].filter(part => part !== undefined)
  for (const source of project.sources) {
    const streamed = source.tables.filter(table => streamTechnique(table) !== null)
    if (source.name === selector) {
      if (parts.length > 0) throw refuse('a part is one of a table', `Name the table, as in ${selector}.TABLE.`)
      if (streamed.length === 0)
        throw refuse('it has no table that follows a stream', `naru run ${selector} reads its tables.`)
      return { source, table: null }
    }
    const table = source.tables.find(it => `${source.name}.${it.name}` === selector)
    if (table === undefined) continue
    const how = table.change.technique
    if (table.append === true)
      throw refuse(
        'it has no key by which rows could be compared',
        `naru resync ${source.name} begins its log anew, with all tables of the source.`,
      )
    if (streamTechnique(table) === null) {
      const fix = `naru run ${selector} reads it; with --from and --to it reads a range of it again.`
      throw refuse(`it follows no stream, its technique is ${how}`, fix)
    }
    if (parts.length > 1) {
      const fix = 'Leave out all but one of --where, --rejected, and --from, --to, --by.'
      throw refuse('a part is a range, a condition, or what was set aside, not two of them', fix)
    }
    return { source, table }
  }
  const names = project.sources.flatMap(it => [it.name, ...it.tables.map(table => `${it.name}.${table.name}`)])
  throw refuse(`the config has ${names.join(', ')}`, 'Name one of these: a source, or one table as source.table.')
}

/** A run of these tables. */
export function runOf(tables: readonly SourceTableDef[], options: ResyncOptions): RunOptions {
  const { emit, signal, adapters, stepBytes } = options
  const selectors = tables.map(table => `${table.source}.${table.name}`)
  const given = { ...(adapters && { adapters }), ...(stepBytes && { stepBytes }) }
  return { selectors, hashControls: false, emit, signal, ...given }
}
