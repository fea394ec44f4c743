import { fail, isNaruError, type NaruError } from '../core/errors.ts'
import type { Emit } from '../core/events.ts'
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
import { imageState } from '../run/layouts.ts'
import { rememberedTable } from '../run/remembered-columns.ts'
import type { LoadRange } from '../run/loads.ts'
import { stopsTable } from './faults.ts'
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

/** Characters of a condition that an error repeats: nobody reads more, and it is kept with the run. */
const whereTold = 200

/** What a source gave in this run. */
export interface SourceExtract {
  readonly loads: readonly Extracted[]
  /** Tables that wait for the hours of their source, as `source.table`. */
  readonly waiting: readonly string[]
  readonly stopped: readonly StoppedTable[]
}

/** A table that keeps its last image, because its shape in the source is no longer one that its contract takes. */
export interface StoppedTable {
  readonly table: SourceTableDef
  readonly error: NaruError
}

/**
 * Reads the selected tables of one source under one view of it, and accepts each load against the source's figures. When
 * the source cannot be reached or breaks off, a new view is opened after a pause, and what was finished is kept. A table
 * of another shape is left as it is staged, and the others go on.
 */
export async function extractSource(
  ctx: InterfaceContext,
  adapter: Adapter,
  source: SourceDef,
  asked: Asked,
): Promise<SourceExtract> {
  const got: Got = { loads: [], waiting: [], stopped: [] }
  for (const table of asked.tables) {
    const { change } = table
    if (change.technique !== 'files') continue
    const { files } = adapter
    if (files === undefined) throw cannot(source, 'files')
    await keep(ctx, got, { table, asked }, () => extractFiles(ctx, table, change, files))
  }
  const left = asked.tables.filter(table => table.change.technique !== 'files')
  if (left.length === 0) return got
  const { tables } = adapter
  if (tables === undefined) throw cannot(source, 'tables')
  const { limits } = tables
  const gate = gateOf(ctx.env.clock, limits, () => ctx.isPaused?.(source.name) === true)
  await retrying({ ...ctx, source: source.name, retries: limits.retries }, async () => {
    const opened = gate.isOpen() ? await tables.openSnapshot(ctx.signal) : null
    try {
      // What the system can do is settled only now.
      const { can } = tables
      const snapshot = opened === null ? null : gated(opened, gate)
      const oursMicros = ctx.env.clock.nowMicros()
      await readLeft(ctx, got, { left, asked, shared: { snapshot, oursMicros, can, limits, gate } })
    } catch (error) {
      // What the source does not understand it will not understand the next time either.
      const { where } = asked
      if (where === undefined || asked.isOurs === true || !isNaruError(error, 'SOURCE_READ')) throw error
      const told = where.length > whereTold ? `${where.slice(0, whereTold)}…` : where
      throw fail('RESYNC_WHERE', { where: told, problem: error.message }, { cause: error })
    } finally {
      await opened?.close()
    }
  })
  return got
}

interface Asked {
  readonly tables: readonly SourceTableDef[]
  readonly range: LoadRange | null
  /** A condition in the source's own SQL: only these rows. */
  readonly where?: string | undefined
  /** No person wrote that condition: there is nothing in it to correct. */
  readonly isOurs?: boolean
  readonly chunkControls: boolean
}

interface Got {
  readonly loads: Extracted[]
  readonly waiting: string[]
  readonly stopped: StoppedTable[]
}

/** Reads the tables that are left under one view, and takes each off the list once nothing more is to be done for it. */
async function readLeft(
  ctx: InterfaceContext,
  got: Got,
  {
    left,
    asked,
    shared,
  }: { readonly left: SourceTableDef[]; readonly asked: Asked; readonly shared: Parameters<typeof extractTable>[2] },
): Promise<void> {
  for (let table = left[0]; table !== undefined; table = left[0]) {
    const def = table
    try {
      const load = await keep(ctx, got, { table: def, asked }, () => extractTable(ctx, def, shared, asked))
      if (load === null) got.waiting.push(`${def.source}.${def.name}`)
    } catch (error) {
      got.stopped.push(await stoppedBy(ctx, def, error))
    }
    left.shift()
  }
}

/** Reads one table and accepts its load. */
async function keep(
  ctx: InterfaceContext,
  got: Got,
  { table, asked }: { readonly table: SourceTableDef; readonly asked: Asked },
  read: () => Promise<Extracted | null>,
): Promise<Extracted | null> {
  const step = `interface ${table.source}.${table.name}`
  const beganMs = ctx.env.clock.monotonicMs()
  ctx.emit({ kind: 'step', step, state: 'begin' })
  const load = await read()
  if (load !== null) {
    await accept(ctx, load, asked.chunkControls)
    got.loads.push(load)
  }
  ctx.emit({ kind: 'step', step, state: 'end', ms: ctx.env.clock.monotonicMs() - beganMs })
  return load
}

/** Throws what is no fault of the table's shape, and also that where there is no image that the stages could go on with. */
async function stoppedBy(ctx: InterfaceContext, table: SourceTableDef, error: unknown): Promise<StoppedTable> {
  if (!stopsTable(error)) throw error
  await needImage(ctx, table, error)
  noteStays(ctx.emit, { table, error })
  return { table, error }
}

/** Throws the error where a table has no image that the stages could go on with. */
export async function needImage(ctx: InterfaceContext, table: SourceTableDef, error: NaruError): Promise<void> {
  const state = await ctx.commit(async tx => imageState(tx, await rememberedTable(tx, table)))
  if (state !== 'same') throw error
}

/** Says that a table is left as it is staged, and why. */
export function noteStays(emit: Emit, { table, error }: StoppedTable): void {
  const text = `${table.source}.${table.name} is not read and stays as it was: ${error.message}. ${error.fix}`
  emit({ kind: 'note', level: 'warn', text, code: error.code, cause: error.message })
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
