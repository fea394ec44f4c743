import type { SourceTableDef } from '../../config/model.ts'
import { openSource } from '../extract.ts'
import type { OpenProject } from '../project.ts'
import { capturedTable } from '../stream/streams.ts'

/** The least privileges of a source for the tables that come by one technique. */
export interface LeastPrivileges {
  readonly source: string
  readonly technique: string
  readonly tables: readonly string[]
  /** For an administrator of the source, in order; comments begin with `--`. */
  readonly statements: readonly string[]
}

/** Of every source that has such statements, by technique. Looks up addresses, for the name of the account, and connects to nothing. */
export async function leastPrivileges(open: OpenProject): Promise<readonly LeastPrivileges[]> {
  const found: LeastPrivileges[] = []
  for (const source of open.project.sources) {
    const adapter = await openSource(open, source)
    try {
      for (const [technique, tables] of byTechnique(source.tables)) {
        const statements = adapter.privileges?.(technique, tables.map(capturedTable)) ?? []
        if (statements.length === 0) continue
        found.push({ source: source.name, technique, tables: tables.map(table => table.name), statements })
      }
    } finally {
      await adapter.close()
    }
  }
  return found
}

type Technique = Exclude<SourceTableDef['change']['technique'], 'files'>

function byTechnique(tables: readonly SourceTableDef[]): ReadonlyMap<Technique, readonly SourceTableDef[]> {
  const found = new Map<Technique, readonly SourceTableDef[]>()
  for (const table of tables) {
    const { technique } = table.change
    if (technique === 'files') continue
    found.set(technique, [...(found.get(technique) ?? []), table])
  }
  return found
}
