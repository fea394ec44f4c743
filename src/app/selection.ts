import { fail } from '../core/errors.ts'
import type { SourceDef, SourceTableDef } from '../config/model.ts'
import { streamTechnique } from '../run/streams.ts'

/** A source with those of its tables that a run is asked for. */
export interface SelectedSource {
  readonly source: SourceDef
  readonly tables: readonly SourceTableDef[]
}

/** The tables that selectors name: `ops` all of a source, `ops.flight` one table. */
export function selectTables(sources: readonly SourceDef[], selectors: readonly string[]): readonly SelectedSource[] {
  const names = sources.flatMap(source => [source.name, ...source.tables.map(table => `${source.name}.${table.name}`)])
  for (const selector of selectors) {
    if (!names.includes(selector)) throw fail('SELECTOR_UNKNOWN', { selector, known: names.join(', ') })
  }
  const isSelected = (source: SourceDef, table: SourceTableDef): boolean =>
    selectors.length === 0 || selectors.includes(source.name) || selectors.includes(`${source.name}.${table.name}`)
  return sources
    .map(source => ({ source, tables: source.tables.filter(table => isSelected(source, table)) }))
    .filter(({ tables }) => tables.length > 0)
}

/** The tables that are read, not those whose changes come as a stream. */
export function withoutStreams(selected: readonly SelectedSource[]): readonly SelectedSource[] {
  return selected
    .map(({ source, tables }) => ({ source, tables: tables.filter(table => streamTechnique(table) === null) }))
    .filter(({ tables }) => tables.length > 0)
}
