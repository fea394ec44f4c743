import { fail } from '../../core/errors.ts'
import { asInSource } from '../../config/append.ts'
import type { Project, SourceDef, SourceTableDef } from '../../config/model.ts'
import { streamTechnique } from '../../run/streams.ts'
import type { CapturedTable, Captures, CaptureTechnique } from '../../services/adapter/contract-capture.ts'
import type { Adapter } from '../../services/adapter/contract.ts'

/** The tables of a source whose changes come by the same technique: one stream, one topic, one reader. */
export interface StreamDef {
  readonly source: SourceDef
  readonly technique: CaptureTechnique
  readonly tables: readonly SourceTableDef[]
}

/** The streams of a project, or of the tables that are asked for. */
export function streamsOf(sources: Project['sources']): readonly StreamDef[] {
  return sources.flatMap(source => {
    const byTechnique = new Map<CaptureTechnique, SourceTableDef[]>()
    for (const table of source.tables) {
      const technique = streamTechnique(table)
      if (technique === null) continue
      byTechnique.set(technique, [...(byTechnique.get(technique) ?? []), table])
    }
    return [...byTechnique].map(([technique, tables]) => ({ source, technique, tables }))
  })
}

/** The topic of a stream: `changes.ops`, and `changes.ops.trigger` for another technique than the log. */
export function topicOf({ source, technique }: Pick<StreamDef, 'source' | 'technique'>): string {
  return technique === 'log' ? `changes.${source.name}` : `changes.${source.name}.${technique}`
}

/** What the adapter of a source has for a stream. Throws `STREAM_UNABLE`. */
export function capturesOf(adapter: Adapter, { source, technique, tables }: StreamDef): Captures {
  const captures = adapter.captures?.[technique]
  if (captures === undefined) {
    throw fail('STREAM_UNABLE', {
      source: source.name,
      technique,
      tables: tables.map(table => table.name).join(', '),
    })
  }
  return captures
}

/** A table as the source is asked for it. `given` has the columns that earlier loads took in. */
export function capturedTable(given: SourceTableDef): CapturedTable {
  const known = asInSource(given)
  const remote = (name: string): string => known.renamed?.[name] ?? name
  const { change } = known
  return {
    name: known.name,
    remote: known.remote,
    columns: known.columns
      .filter(column => known.gone?.includes(column.name) !== true)
      .map(column => ({ ...column, name: remote(column.name) })),
    key: known.key.map(remote),
    where: known.where,
    ...(change.technique === 'status' ? { status: { ...change.flag, column: remote(change.flag.column) } } : {}),
  }
}
