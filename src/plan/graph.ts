import { sha256 } from '../core/env.ts'
import { resolvesIn, type Expr } from '../core/expr.ts'
import type { ContributionDef, EntityDef, Project } from '../config/model.ts'

/** The stages of the journey, in order: the kinds of tasks. What each does is registered by `app`. */
export const stages = [
  'interface',
  'staging',
  'profiling',
  'cleansing',
  'integration',
  'export',
  'dimension',
  'fact',
  'summary',
] as const

export type Stage = (typeof stages)[number]

/** One task of the graph and the dataset it keeps. */
export interface GraphNode {
  /** `cleansing airport/partner`: stable, shown in plans and events. */
  readonly id: string
  readonly stage: Stage
  /** Names of the definition: source and table, entity and contributor, or one name. */
  readonly ref: readonly string[]
  /** The table it keeps: `ods.airport`; `null` for tasks that keep none. */
  readonly writes: string | null
  readonly after: readonly string[]
  /** Of everything that decides the rows, without what comes from upstream. */
  readonly hash: string
}

/** Every task of a project, each after all that it depends on. Plan, run, lineage and status read this one graph. */
export interface Graph {
  readonly nodes: readonly GraphNode[]
}

export function nodeId(stage: Stage, ...ref: string[]): string {
  const separator = stage === 'cleansing' ? '/' : '.'
  return `${stage} ${ref.join(separator)}`
}

export function buildGraph(project: Project): Graph {
  const nodes = [
    ...sourceNodes(project),
    ...project.entities.flatMap(entity => entityNodes(project, entity)),
    ...warehouseNodes(project),
  ]
  return { nodes: inOrder(nodes) }
}

function node(
  stage: Stage,
  ref: readonly string[],
  writes: string | null,
  after: readonly string[],
  definition: unknown,
): GraphNode {
  return { id: nodeId(stage, ...ref), stage, ref, writes, after: [...new Set(after)], hash: definitionHash(definition) }
}

/** The same for equal definitions, whatever the order in which their properties were written. */
function definitionHash(definition: unknown): string {
  const canonical = JSON.stringify(definition, (_, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
  return sha256(canonical)
}

function sourceNodes(project: Project): readonly GraphNode[] {
  // Rules refer to any staged table, so profiling follows all of them.
  const staged = project.sources.flatMap(source => source.tables.map(it => nodeId('staging', source.name, it.name)))
  return project.sources.flatMap(source =>
    source.tables.flatMap(table => {
      const ref = [source.name, table.name]
      const read = node('interface', ref, null, [], null)
      const { columns, key } = table
      const image = node('staging', ref, `staging.${source.name}_${table.name}`, [read.id], { columns, key })
      return [read, image, node('profiling', ref, null, staged, null)]
    }),
  )
}

function entityNodes(project: Project, entity: EntityDef): readonly GraphNode[] {
  const cleansing = entity.contributions.map(contribution => cleansingNode(project, entity, contribution))
  const { columns, key, conflicts } = entity
  const matches = entity.contributions.map(({ as, match }) => ({ as, match }))
  const integration = node(
    'integration',
    [entity.name],
    `ods.${entity.name}`,
    cleansing.map(it => it.id),
    { columns, key, conflicts, matches },
  )
  const exports = project.exports
    .filter(it => it.entity === entity.name)
    .map(it => node('export', [it.name], `export.${it.name}`, [integration.id], it))
  return [...cleansing, integration, ...exports]
}

function cleansingNode(project: Project, entity: EntityDef, contribution: ContributionDef): GraphNode {
  const staged = nodeId('staging', contribution.source, contribution.table)
  const resolved = contribution.map.flatMap(({ expr }) => entitiesResolvedIn(expr))
  const { columns, key, rules, cleanse } = entity
  return node(
    'cleansing',
    [entity.name, contribution.as],
    `cleansed.${entity.name}_${contribution.as}`,
    [
      staged,
      ...resolved.map(name => nodeId('integration', name)),
      ...rules.flatMap(rule => referencedBy(rule.check)),
    ].filter(id => isKnown(project, id) && id !== nodeId('integration', entity.name)),
    { columns, key, rules, cleanse, contribution },
  )
}

function referencedBy(check: EntityDef['rules'][number]['check']): readonly string[] {
  if (check.kind !== 'reference') return []
  if ('entity' in check.to) return [nodeId('integration', check.to.entity)]
  return [nodeId('staging', check.to.source, check.to.table)]
}

function isKnown(project: Project, id: string): boolean {
  return (
    project.entities.some(entity => nodeId('integration', entity.name) === id) ||
    project.sources.some(source => source.tables.some(table => nodeId('staging', source.name, table.name) === id))
  )
}

/** Names of the entities whose golden keys an expression looks up. */
export function entitiesResolvedIn(expr: Expr): readonly string[] {
  return resolvesIn(expr).map(it => it.entity)
}

function warehouseNodes(project: Project): readonly GraphNode[] {
  const dimensions = project.dimensions.map(it => {
    // A calendar takes from nothing: its facts let it grow.
    const after = it.kind === 'calendar' ? [] : [nodeId('export', it.export)]
    return node('dimension', [it.name], `dw.dim_${it.name}`, after, it)
  })
  const facts = project.facts.map(it =>
    node(
      'fact',
      [it.name],
      `dw.fact_${it.name}`,
      [nodeId('export', it.export), ...it.dims.map(dim => nodeId('dimension', dim.dimension))],
      it,
    ),
  )
  const summaries = project.summaries.map(it =>
    node('summary', [it.name], `mart.${it.name}`, [nodeId('fact', it.fact)], it),
  )
  return [...dimensions, ...facts, ...summaries]
}

/** Depth-first order that keeps the written order where nothing depends on it. */
function inOrder(nodes: readonly GraphNode[]): readonly GraphNode[] {
  const byId = new Map(nodes.map(it => [it.id, it]))
  const done = new Set<string>()
  const ordered: GraphNode[] = []
  const visit = (it: GraphNode): void => {
    if (done.has(it.id)) return
    done.add(it.id)
    for (const id of it.after) {
      const before = byId.get(id)
      if (before !== undefined) visit(before)
    }
    ordered.push(it)
  }
  nodes.forEach(visit)
  return ordered
}

/** Ids of everything that takes from `ids`, directly or not, with `ids` themselves. */
export function downstreamOf(graph: Graph, ids: readonly string[]): ReadonlySet<string> {
  const reached = new Set(ids)
  for (const it of graph.nodes) if (it.after.some(id => reached.has(id))) reached.add(it.id)
  return reached
}
