import { fail } from '../core/errors.ts'
import type { SourceDef, SourceTableDef } from '../config/model.ts'
import {
  extractFiles,
  extractTable,
  gated,
  gateOf,
  type Extracted,
  type InterfaceContext,
} from '../etl/interface/index.ts'
import { acceptOrRefuse, compareUnits, isRefused, refuseDifferences } from '../etl/staging/index.ts'
import type { Adapter } from '../services/adapter/contract.ts'
import type { LoadRange } from '../run/loads.ts'
import type { OpenProject } from './project.ts'
import { adapterFor, type AdapterImplementation } from './registry.ts'
import { retrying } from './retry.ts'

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

/** What a source gave in this run. */
export interface SourceExtract {
  readonly loads: readonly Extracted[]
  /** Tables that wait for the hours of their source, as `source.table`. */
  readonly waiting: readonly string[]
}

/**
 * Reads the selected tables of one source under one view of it, and accepts each load against the source's figures. When
 * the source cannot be reached or breaks off, a new view is opened after a pause, and what was finished is kept.
 */
export async function extractSource(
  ctx: InterfaceContext,
  adapter: Adapter,
  source: SourceDef,
  asked: {
    readonly tables: readonly SourceTableDef[]
    readonly range: LoadRange | null
    readonly chunkControls: boolean
  },
): Promise<SourceExtract> {
  const loads: Extracted[] = []
  const waiting: string[] = []
  const keep = async (table: SourceTableDef, read: () => Promise<Extracted | null>): Promise<Extracted | null> => {
    const step = `interface ${source.name}.${table.name}`
    const beganMs = ctx.env.clock.monotonicMs()
    ctx.emit({ kind: 'step', step, state: 'begin' })
    const load = await read()
    if (load !== null) {
      await accept(ctx, load, asked.chunkControls)
      loads.push(load)
    }
    ctx.emit({ kind: 'step', step, state: 'end', ms: ctx.env.clock.monotonicMs() - beganMs })
    return load
  }

  for (const table of asked.tables) {
    const { change } = table
    if (change.technique !== 'files') continue
    const { files } = adapter
    if (files === undefined) throw cannot(source, 'files')
    await keep(table, () => extractFiles(ctx, table, change, files))
  }
  const inTables = asked.tables.filter(table => table.change.technique !== 'files')
  if (inTables.length === 0) return { loads, waiting }
  if (adapter.tables === undefined) throw cannot(source, 'tables')
  const { tables } = adapter
  const { can, limits } = tables
  const gate = gateOf(ctx.env.clock, limits)
  const left = [...inTables]
  const readLeft = async (): Promise<void> => {
    const opened = gate.isOpen() ? await tables.openSnapshot(ctx.signal) : null
    try {
      const shared = { snapshot: opened === null ? null : gated(opened, gate), can, limits, gate }
      for (let table = left[0]; table !== undefined; table = left[0]) {
        const def = table
        const load = await keep(def, () => extractTable(ctx, def, shared, asked.range))
        if (load === null) waiting.push(`${source.name}.${def.name}`)
        left.shift()
      }
    } finally {
      await opened?.close()
    }
  }
  await retrying({ ...ctx, source: source.name, retries: limits.retries ?? 0 }, readLeft)
  return { loads, waiting }
}

/** Units of a load that is compared by chunk without being asked: only to say where it differs. */
async function accept(ctx: InterfaceContext, load: Extracted, chunkControls: boolean): Promise<void> {
  const { controls } = load
  if (controls === null) return
  const compared = await ctx.commit(tx => acceptOrRefuse({ tx }, load.table, load.load, controls))
  ctx.env.crash('interface.load.accept.after')
  const wanted = controls.byUnit !== null && (chunkControls || isRefused(compared))
  const units = wanted ? await (controls.byUnit as NonNullable<typeof controls.byUnit>)() : []
  const different =
    units.length === 0
      ? []
      : await ctx.commit(tx => compareUnits({ tx }, load.table, load.load, { columns: controls.columns, units }))
  refuseDifferences(load.table, load.load, compared, different)
}

function cannot(source: SourceDef, what: string): Error {
  const problem = `"${source.adapter}" cannot read ${what}`
  return fail('OPTION_INVALID', { where: `source "${source.name}"`, option: 'adapter', problem })
}
