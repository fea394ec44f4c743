import { asText, timestampOf } from '../core/dialect-functions.ts'
import { sql } from '../core/sql.ts'
import { blindSpotsOf } from '../capture/facts.ts'
import { techniqueFacts } from './techniques.ts'
import type { DeletesDef, SourceTableDef } from '../config/model.ts'
import { buildGraph, downstreamOf, type GraphNode } from '../plan/graph.ts'
import { readDefinitions } from '../run/journal.ts'
import { readStreamPlace, streamTechnique } from '../run/streams.ts'
import { findOpenLoad, readPosition } from '../run/loads.ts'
import { imageHasRows } from '../run/layouts.ts'
import { rememberedTable } from '../run/remembered-columns.ts'
import { columnsOfChange } from '../run/technique.ts'
import type { Transaction } from '../services/engine/contract.ts'
import type { OpenProject } from './project.ts'
import { databaseExists, reading } from './read.ts'

/** What a run would do, read from the config and the database: nothing is changed and no source is asked. */
export interface Plan {
  readonly reads: readonly {
    readonly table: string
    readonly how: string
    /** What the technique of the table does not see. */
    readonly unseen: readonly string[]
  }[]
  readonly datasets: readonly { readonly dataset: string; readonly state: 'new' | 'rebuild' | 'follows' | 'current' }[]
}

export async function makePlan(open: OpenProject, signal: AbortSignal): Promise<Plan> {
  const graph = buildGraph(open.project)
  const tables = open.project.sources.flatMap(source => source.tables)
  const kept = graph.nodes.filter(node => node.writes !== null)
  if (!(await databaseExists(open))) {
    return {
      reads: tables.map(table => ({
        table: selectorOf(table),
        how: firstRead(table) + onlyRows(table),
        unseen: unseenOf(table),
      })),
      datasets: kept.map(node => ({ dataset: node.writes as string, state: 'new' })),
    }
  }
  return reading(open, signal, async tx => {
    const built = await readDefinitions(tx)
    const changed = kept.filter(node => built.has(node.id) && built.get(node.id) !== node.hash).map(node => node.id)
    const follows = downstreamOf(graph, changed)
    const state = (node: GraphNode): Plan['datasets'][number]['state'] => {
      if (!built.has(node.id)) return 'new'
      return changed.includes(node.id) ? 'rebuild' : follows.has(node.id) ? 'follows' : 'current'
    }
    const reads: Plan['reads'][number][] = []
    for (const table of tables) {
      reads.push({
        table: selectorOf(table),
        how: (await nextRead(tx, table)) + onlyRows(table),
        unseen: unseenOf(table),
      })
    }
    return { reads, datasets: kept.map(node => ({ dataset: node.writes as string, state: state(node) })) }
  })
}

function unseenOf({ change }: SourceTableDef): readonly string[] {
  return change.technique === 'files' ? [] : blindSpotsOf(techniqueFacts[change.technique], change)
}

/** As `naru run` and `naru status` name it. */
function selectorOf({ source, name }: SourceTableDef): string {
  return `${source}.${name}`
}

/** What the condition of the table leaves of all this. */
function onlyRows({ where }: SourceTableDef): string {
  return where === undefined ? '' : `; only rows where ${where}`
}

function firstRead(table: SourceTableDef): string {
  if (table.change.technique === 'files') return filesRead(table)
  if (streamTechnique(table) === null) return 'whole table, in chunks'
  const { technique } = table.change
  return 'start' in table.change && table.change.start === 'now'
    ? `nothing: changes from now on (${technique})`
    : table.append === true
      ? `whole table, in one view; then its changes (${technique}), each as a row: it has no key`
      : `whole table, in chunks; then its changes (${technique})`
}

function filesRead(table: SourceTableDef): string {
  return `every complete file ${table.remote} that was not taken before`
}

async function nextRead(tx: Transaction, config: SourceTableDef): Promise<string> {
  const table = await rememberedTable(tx, config)
  const open = await findOpenLoad(tx, table)
  if (open?.state === 'accepted') return `nothing: load ${open.load} is read and waits to be published`
  if (table.change.technique === 'files') return filesRead(table)
  if (open?.state === 'reading' && open.scope === 'all') return `goes on with load ${open.load}`
  if (streamTechnique(table) !== null) {
    const at = await readStreamPlace(tx, table)
    const isNew = at === null || (at.state === 'live' && !(await imageHasRows(tx, table)))
    return isNew
      ? firstRead(table)
      : `changes (${table.change.technique}${table.append === true ? ', each as a row' : ''}) behind ${at.sourcePosition ?? 'where it began'}`
  }
  const position = await readPosition(tx, table)
  if (position === null) return firstRead(table)
  if (table.change.technique === 'full') return 'whole table, compared with its image'
  if (table.change.technique === 'version') {
    const bound = position.versions?.bound ?? null
    if (bound === null) return 'whole table: only behind this read is it known which numbers were not committed yet'
    return `rows with ${table.change.column} from ${bound} on${sweepText(table.change.deletes, 'every key')}`
  }
  if (table.change.technique === 'combined') {
    const columns = columnsOfChange(table.change).join(', ')
    return `rows that ${columns} show as changed${sweepText(table.change.deletes, 'the whole table')}`
  }
  if (table.change.technique !== 'timestamp') return 'what changed since the last read'
  const [row] = await tx.rows(
    sql`select ${asText(timestampOf(sql`cast(${position.horizonMicros} as bigint)`))} as since`,
  )
  const since = String(row?.['since'])
  return `rows with ${table.change.column} from ${since} on${sweepText(table.change.deletes, 'every key')}`
}

function sweepText(deletes: DeletesDef, what: string): string {
  return deletes.kind === 'sweep' ? `, and ${what} when a sweep is due` : ''
}
