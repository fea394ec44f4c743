import path from 'node:path'
import type { Technique } from '../../config/change.ts'
import { loadConfig } from '../../config/load.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import type { Env } from '../../core/env.ts'
import type { ColumnDef } from '../../core/types.ts'
import { fail } from '../../core/errors.ts'
import type { AskedTable, SourceEvidence, TableEvidence } from '../../services/adapter/contract-advice.ts'
import type { CapturedTable, CaptureProblem, CaptureTechnique } from '../../services/adapter/contract-capture.ts'
import type { Adapter, TableDescription, TableShape } from '../../services/adapter/contract.ts'
import { openSource } from '../extract.ts'
import type { OpenProject } from '../project.ts'
import { secretRefsIn, secretResolver } from '../secrets.ts'
import { capturedTable } from '../stream/streams.ts'
import { candidatesOf, columnsToAsk, type Candidate } from './candidates.ts'
import { lineOf } from './line.ts'
import { techniquesFor, type TechniqueAdvice, type TechniqueGiven } from './techniques.ts'

/** What advice is asked for. */
export interface AdviceRequest {
  readonly configFile: string
  /** `ops`, or `ops.orders` for one table; `null` for every source of the config. */
  readonly name: string | null
  /** A system that the configuration does not name: the configuration is not read then. */
  readonly from: Pick<SourceDef, 'adapter' | 'options'> | null
}

/** What is said of a source. */
export interface SourceAdvice {
  readonly source: string
  readonly settings: SourceEvidence['settings']
  /** How long the oldest open transaction has been going on; `null` when the account cannot see it. */
  readonly longestTransactionMs: number | null
  readonly tables: readonly TableAdvice[]
}

/** What is said of a table: every technique, the best first. */
export interface TableAdvice {
  readonly table: string
  readonly remote: string
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
  /** What the config has for it; `null` for a table that it does not name. */
  readonly configured: Technique | 'files' | null
  readonly evidence: TableEvidence | null
  readonly candidates: readonly Candidate[]
  readonly techniques: readonly (TechniqueAdvice & { readonly line: string | null })[]
}

/** A source that is asked, opened by its config or by an address. */
export type AdvicePlace = Pick<OpenProject, 'env' | 'configDir' | 'stateDir' | 'secret'>

/** The sources that a request means, and what opens them. Throws `SOURCE_UNKNOWN`. */
export async function sourcesToAdvise(
  env: Env,
  { configFile, name, from }: AdviceRequest,
): Promise<{ readonly place: AdvicePlace; readonly sources: readonly SourceDef[] }> {
  const configDir = path.dirname(configFile)
  const wanted = name?.split('.')[0] ?? null
  const all =
    from === null ? (await loadConfig(env, configFile)).sources : [{ name: wanted ?? 'source', ...from, tables: [] }]
  const sources = all.filter(it => wanted === null || it.name === wanted)
  if (sources.length === 0) {
    throw fail('SOURCE_UNKNOWN', { source: wanted ?? '', known: all.map(it => it.name).join(', ') })
  }
  const secret = await secretResolver(env, configDir, secretRefsIn(sources))
  return { place: { env, configDir, stateDir: path.join(configDir, '.naru'), secret }, sources }
}

/** A table that is asked about. */
interface KnownTable {
  readonly asked: AskedTable & { readonly name: string }
  readonly def: SourceTableDef | null
}

/** Reads what a source says of its tables, and ranks the techniques for each. Changes nothing there. */
export async function adviseSource(
  place: AdvicePlace,
  source: SourceDef,
  { name }: Pick<AdviceRequest, 'name'>,
  signal: AbortSignal,
): Promise<SourceAdvice> {
  const adapter = await openSource(place, source)
  try {
    const known = await tablesOf(
      adapter,
      source,
      name?.includes('.') ? name.slice(name.indexOf('.') + 1) : null,
      signal,
    )
    const asked = known.map(it => it.asked)
    const view = await viewOf(adapter, signal)
    const evidence = (await adapter.advises?.evidence(asked, signal)) ?? null
    const tables: TableAdvice[] = []
    const lacks = await lacksOf(adapter, asked, signal)
    const asking = { adapter, view, evidence, lacks }
    for (const table of known) tables.push(await adviseTable(asking, table, source.name, signal))
    return {
      source: source.name,
      settings: evidence?.settings ?? [],
      longestTransactionMs: view.longestTransactionMs,
      tables,
    }
  } finally {
    await adapter.close()
  }
}

interface View {
  readonly nowMicros: bigint
  readonly seesTransactions: boolean
  readonly longestTransactionMs: number | null
}

/** What the source tells of its open transactions. */
async function viewOf({ tables }: Adapter, signal: AbortSignal): Promise<View> {
  if (tables === undefined) return { nowMicros: 0n, seesTransactions: false, longestTransactionMs: null }
  const snapshot = await tables.openSnapshot(signal)
  try {
    const { takenAtMicros, horizonMicros } = snapshot
    const longest = horizonMicros === null ? null : Number((takenAtMicros - horizonMicros) / 1000n)
    return { nowMicros: takenAtMicros, seesTransactions: horizonMicros !== null, longestTransactionMs: longest }
  } finally {
    await snapshot.close()
  }
}

/** The tables of the config, or the one that is named, which the config need not have, or all of a system without a config. */
async function tablesOf(
  adapter: Adapter,
  source: SourceDef,
  table: string | null,
  signal: AbortSignal,
): Promise<readonly KnownTable[]> {
  const hasTextTimes = adapter.advises === undefined
  const databases = source.tables.filter(it => it.change.technique !== 'files')
  const known = databases.filter(it => table === null || it.name === table)
  const asked = (shape: TableShape, name: string): KnownTable['asked'] => ({
    ...columnsToAsk(shape, hasTextTimes),
    name,
  })
  if (known.length > 0) return known.map(def => ({ def, asked: asked(capturedTable(def), def.name) }))
  const found = (await adapter.describes?.describe(signal)) ?? []
  const named = found.filter(it => table === null || it.name === table || it.shortName === table)
  if (named.length === 0) throw fail('ADVICE_NO_TABLE', { source: source.name, table })
  const nameOf = (it: TableDescription): string => it.shortName ?? it.name
  return named.map(it => ({ def: null, asked: asked({ ...it, remote: it.name }, nameOf(it)) }))
}

interface Asking {
  readonly adapter: Adapter
  readonly view: View
  readonly evidence: SourceEvidence | null
  readonly lacks: Lacks
}

async function adviseTable(
  { adapter, view, evidence: source, lacks }: Asking,
  { asked, def }: KnownTable,
  sourceName: string,
  signal: AbortSignal,
): Promise<TableAdvice> {
  const evidence = source?.tables.find(it => it.remote === asked.remote)
  const candidates = candidatesOf(asked, evidence)
  const streams = await streamsOf({ adapter, lacks }, asked, candidates, signal)
  const techniques = techniquesFor({ asked, source, evidence, candidates, streams, ...view })
  return {
    table: `${sourceName}.${asked.name}`,
    remote: asked.remote,
    columns: asked.columns,
    key: asked.key,
    configured: def?.change.technique ?? null,
    evidence: evidence ?? null,
    candidates,
    techniques: techniques.map(advice => ({
      ...advice,
      line: advice.change === null ? null : lineOf(asked.name, advice.change, asked.columns, namesHere(def)),
    })),
  }
}

/** The names of the config for those of the source. */
function namesHere(def: SourceTableDef | null): (column: string) => string {
  const here = new Map(Object.entries(def?.renamed ?? {}).map(([name, remote]) => [remote, name]))
  return column => here.get(column) ?? column
}

const streamNames: readonly CaptureTechnique[] = ['log', 'trigger', 'event', 'status']

/** What the source lacks for each of its streams. */
type Lacks = ReadonlyMap<CaptureTechnique, readonly CaptureProblem[]>

/** Asked for all tables at once, so that what is mended for the source is said as one statement. A flag is of its table alone. */
async function lacksOf(
  { captures = {} }: Adapter,
  tables: readonly KnownTable['asked'][],
  signal: AbortSignal,
): Promise<Lacks> {
  const lacks = new Map<CaptureTechnique, readonly CaptureProblem[]>()
  const all = tables.map(({ name, remote, columns, key }) => ({ name, remote, columns, key }))
  for (const technique of streamNames) {
    const found = captures[technique]
    if (found !== undefined && technique !== 'status') lacks.set(technique, await found.inspect(all, signal))
  }
  return lacks
}

/** What the source lacks for each stream that it has, for this table. */
async function streamsOf(
  { adapter, lacks }: Pick<Asking, 'adapter' | 'lacks'>,
  asked: KnownTable['asked'],
  candidates: readonly Candidate[],
  signal: AbortSignal,
): Promise<TechniqueGiven['streams']> {
  const { name, remote, columns, key } = asked
  const flag = candidates.find(it => it.for === 'status')
  const status = flag?.flag == null ? undefined : { column: flag.column, ...flag.flag }
  const table: CapturedTable = { name, remote, columns, key, status }
  const streams = new Map<Technique, { problems: readonly CaptureProblem[]; truncates: boolean }>()
  for (const technique of streamNames) {
    const captures = adapter.captures?.[technique]
    if (captures === undefined) continue
    const ofAll = lacks.get(technique)?.filter(it => it.table === null || it.table === name)
    const problems = ofAll ?? (status === undefined ? [] : await captures.inspect([table], signal))
    streams.set(technique, { problems, truncates: captures.can.truncates })
  }
  return streams
}
