import { fail } from '../core/errors.ts'
import type { SourceDef, SourceTableDef } from '../config/model.ts'
import { extractFiles, extractTable, type Extracted, type InterfaceContext } from '../etl/interface/index.ts'
import { acceptOrRefuse, refuseDifferences } from '../etl/staging/index.ts'
import type { Adapter } from '../services/adapter/contract.ts'
import type { OpenProject } from './project.ts'
import { adapterFor, type AdapterImplementation } from './registry.ts'

/** Opens the adapter of a source. Nothing is connected before its first use. */
export async function openSource(
  open: Pick<OpenProject, 'secret' | 'configDir' | 'stateDir' | 'env'>,
  source: SourceDef,
  known?: Readonly<Record<string, AdapterImplementation>>,
): Promise<Adapter> {
  const own = source.own === undefined ? known : { [source.adapter]: source.own }
  const { implementation, options } = adapterFor(source.adapter, source.name, source.options, own)
  const { openAdapter } = await implementation.open()
  const { secret, configDir, stateDir, env } = open
  return openAdapter({ source: source.name, options, secret, configDir, stateDir, env })
}

/** Reads the selected tables of one source under one view of it, and accepts each load against the source's figures. */
export async function extractSource(
  ctx: InterfaceContext,
  adapter: Adapter,
  source: SourceDef,
  tables: readonly SourceTableDef[],
): Promise<readonly Extracted[]> {
  const extracted: Extracted[] = []
  const keep = async (table: SourceTableDef, read: () => Promise<Extracted | null>): Promise<void> => {
    const step = `interface ${source.name}.${table.name}`
    const beganMs = ctx.env.clock.monotonicMs()
    ctx.emit({ kind: 'step', step, state: 'begin' })
    const load = await read()
    if (load !== null) {
      await accept(ctx, load)
      extracted.push(load)
    }
    ctx.emit({ kind: 'step', step, state: 'end', ms: ctx.env.clock.monotonicMs() - beganMs })
  }

  const inFiles = tables.filter(table => table.change.technique === 'files')
  for (const table of inFiles) {
    const { files } = adapter
    const { change } = table
    if (files === undefined || change.technique !== 'files') throw cannot(source, 'files')
    await keep(table, () => extractFiles(ctx, table, change, files))
  }
  const inTables = tables.filter(table => table.change.technique !== 'files')
  if (inTables.length === 0) return extracted
  if (adapter.tables === undefined) throw cannot(source, 'tables')
  const snapshot = await adapter.tables.openSnapshot(ctx.signal)
  try {
    const options = { chunkRows: adapter.tables.limits.chunkRows, can: adapter.tables.can }
    for (const table of inTables) await keep(table, () => extractTable(ctx, table, snapshot, options))
  } finally {
    await snapshot.close()
  }
  return extracted
}

async function accept(ctx: InterfaceContext, load: Extracted): Promise<void> {
  const { controls } = load
  if (controls === null) return
  const compared = await ctx.commit(tx => acceptOrRefuse({ tx }, load.table, load.load, controls))
  ctx.env.crash('interface.load.accept.after')
  refuseDifferences(load.table, load.load, compared)
}

function cannot(source: SourceDef, what: string): Error {
  const problem = `"${source.adapter}" cannot read ${what}`
  return fail('OPTION_INVALID', { where: `source "${source.name}"`, option: 'adapter', problem })
}
