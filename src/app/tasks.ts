import { fail } from '../core/errors.ts'
import type { Sql } from '../core/sql.ts'
import type { EntityDef, ExportDef, Project, SourceTableDef } from '../config/model.ts'
import { cleanse, controlTables as cleansingTables } from '../etl/cleansing/index.ts'
import { controlTables as exportTables, exportRows } from '../etl/export/index.ts'
import { controlTables as integrationTables, integrate, type Integrated } from '../etl/integration/index.ts'
import type { Extracted } from '../etl/interface/index.ts'
import { controlTables as profilingTables, profileStaged } from '../etl/profiling/index.ts'
import { applyLoad, ensureImage } from '../etl/staging/index.ts'
import { entitiesResolvedIn, nodeId, type GraphNode, type Stage } from '../plan/graph.ts'
import type { ChangeSet, StageContext } from '../run/context.ts'
import type { Task, TaskInput } from '../run/publish.ts'
import { insertRuleResults, ruleResultsOf } from '../run/rule-results.ts'
import { stagedName } from '../run/tables.ts'
import { keepWaiting, takeWaiting } from '../run/waiting.ts'
import {
  controlTables as warehouseTables,
  createCalendar,
  loadDimension,
  loadFact,
  refreshSummary,
  type DimensionChanges,
  type FactChanges,
} from '../warehouse/index.ts'

export { lookupIndexes } from '../etl/integration/index.ts'

/** Control tables of every stage. */
export const stageTables: readonly Sql[] = [
  ...profilingTables,
  ...cleansingTables,
  ...integrationTables,
  ...exportTables,
  ...warehouseTables,
]

/** What each kind of node does: the place where the graph meets the stages. */
export function tasksOf(project: Project, loads: readonly Extracted[]): Readonly<Partial<Record<Stage, Task>>> {
  const find = finder(project)
  const exported = withWaiting()
  return {
    staging: async (ctx, node) => {
      const table = find.table(node)
      const load = loads.find(it => stagedName(it.table) === stagedName(table))
      return load === undefined ? ensureImage(ctx, table) : applyLoad(ctx, load)
    },
    profiling: async (ctx, node, given) => {
      const table = find.table(node)
      const changes = given.resultOf(nodeId('staging', ...node.ref)) as ChangeSet
      await profileStaged(ctx, { table, changes })
      return changes
    },
    cleansing: async (ctx, node, given) => {
      const entity = find.entity(node)
      const contribution = pick(entity.contributions, it => it.as === node.ref[1], node)
      const table = find.tableNamed(contribution.source, contribution.table)
      const changes = given.resultOf(nodeId('staging', table.source, table.name)) as ChangeSet
      // A golden key that the mapping looks up may be another one now, for rows that did not change themselves.
      const resolved = contribution.map.flatMap(({ expr }) => entitiesResolvedIn(expr))
      const moved = resolved.some(name => integratedOf(given, name)?.crosswalkChanged === true)
      return cleanse(ctx, { entity, contribution, table, changes, rebuild: given.rebuild || moved })
    },
    integration: async (ctx, node, given) => {
      const entity = find.entity(node)
      const contributions = entity.contributions.map(contribution => ({
        contribution,
        changes: given.resultOf(nodeId('cleansing', entity.name, contribution.as)) as ChangeSet,
      }))
      return integrate(ctx, { entity, contributions, rebuild: given.rebuild })
    },
    export: async (ctx, node, given) => {
      const definition = pick(project.exports, it => it.name === node.ref[0], node)
      const entity = pick(project.entities, it => it.name === definition.entity, node)
      const changes = given.resultOf(nodeId('integration', entity.name)) as ChangeSet
      const exported = await exportRows(ctx, { definition, entity, changes, rebuild: given.rebuild })
      if (ctx.warehouse === 'later' && isTaken(project, definition)) await keepWaiting(ctx, definition, exported)
      return exported
    },
    dimension: async (ctx, node, given) => {
      const definition = pick(project.dimensions, it => it.name === node.ref[0], node)
      if (definition.kind === 'calendar') return createCalendar(ctx, { definition })
      const exportDef = pick(project.exports, it => it.name === definition.export, node)
      const changes = await exported(ctx, given, exportDef)
      return loadDimension(ctx, { definition, exportDef, changes, rebuild: given.rebuild })
    },
    fact: async (ctx, node, given) => {
      const definition = pick(project.facts, it => it.name === node.ref[0], node)
      const exportDef = pick(project.exports, it => it.name === definition.export, node)
      const changes = await exported(ctx, given, exportDef)
      const dimensions = definition.dims
        .map(dim => given.resultOf(nodeId('dimension', dim.dimension)) as DimensionChanges | undefined)
        .filter(it => it !== undefined)
      return loadFact(ctx, { definition, exportDef, changes, dimensions, rebuild: given.rebuild })
    },
    summary: async (ctx, node, given) => {
      const definition = pick(project.summaries, it => it.name === node.ref[0], node)
      const fact = pick(project.facts, it => it.name === definition.fact, node)
      const changes = given.resultOf(nodeId('fact', fact.name)) as FactChanges
      const { dimensions } = project
      return refreshSummary(ctx, { definition, fact, dimensions, changes, rebuild: given.rebuild })
    },
  }
}

/** What changed in an export for its readers in the warehouse, with what waited for them: taken once in a publish. */
function withWaiting(): (ctx: StageContext, given: TaskInput, definition: ExportDef) => Promise<ChangeSet> {
  const taken = new Map<string, ChangeSet>()
  return async (ctx, given, definition) => {
    const changes = given.resultOf(nodeId('export', definition.name)) as ChangeSet
    const known = taken.get(definition.name) ?? (await takeWaiting(ctx, definition, changes))
    taken.set(definition.name, known)
    return known
  }
}

function isTaken(project: Project, { name }: ExportDef): boolean {
  return (
    project.facts.some(fact => fact.export === name) ||
    project.dimensions.some(it => it.kind !== 'calendar' && it.export === name)
  )
}

function integratedOf(given: TaskInput, entity: string): Integrated | undefined {
  return given.resultOf(nodeId('integration', entity)) as Integrated | undefined
}

/** Looks definitions up by the names in a node. */
function finder(project: Project): {
  table(node: GraphNode): SourceTableDef
  tableNamed(source: string, name: string): SourceTableDef
  entity(node: GraphNode): EntityDef
} {
  const tables = new Map(project.sources.flatMap(it => it.tables).map(table => [stagedName(table), table]))
  const tableNamed = (source: string, name: string): SourceTableDef => {
    const table = tables.get(stagedName({ source, name }))
    if (table === undefined) throw fail('INTERNAL', { what: `no table ${source}.${name} in the project` })
    return table
  }
  return {
    table: node => tableNamed(node.ref[0] as string, node.ref[1] as string),
    tableNamed,
    entity: node => pick(project.entities, it => it.name === node.ref[0], node),
  }
}

function pick<T>(all: readonly T[], is: (one: T) => boolean, node: GraphNode): T {
  const found = all.find(is)
  if (found === undefined) throw fail('INTERNAL', { what: `nothing defines the node ${node.id}` })
  return found
}

/** What a failure leaves behind after the rollback: the findings of the rules that stopped the run. */
export async function keepEvidence(ctx: StageContext, error: unknown): Promise<void> {
  const results = ruleResultsOf(error)
  if (results.length > 0) await insertRuleResults(ctx.tx, results)
}
