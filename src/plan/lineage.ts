import { columnsOf, resolvesIn, type Expr } from '../core/expr.ts'
import { fail } from '../core/errors.ts'
import type { ContributionDef, EntityDef, Project, SummaryDef } from '../config/model.ts'

/** One column taken from another: names as `ods.flight.delay`; sources as `source:ops.flight.delay`. */
export interface Edge {
  readonly from: string
  readonly to: string
  /** How: copied, computed, repaired, masked, matched, aggregated. */
  readonly how: string
}

/** Every edge of a project, from the same definitions that plan and run read. */
export function lineageEdges(project: Project): readonly Edge[] {
  return [
    ...stagingEdges(project),
    ...project.entities.flatMap(entity => entityEdges(project, entity)),
    ...exportEdges(project),
    ...dimensionEdges(project),
    ...factEdges(project),
    ...project.summaries.flatMap(summary => summaryEdges(project, summary)),
  ]
}

function stagingEdges(project: Project): readonly Edge[] {
  return project.sources
    .flatMap(source => source.tables)
    .flatMap(table =>
      table.columns.map(column => ({
        from: `source:${table.source}.${table.name}.${column.name}`,
        to: `staging.${table.source}_${table.name}.${column.name}`,
        how: 'copied',
      })),
    )
}

function entityEdges(project: Project, entity: EntityDef): readonly Edge[] {
  return entity.contributions.flatMap(contribution => contributionEdges(project, entity, contribution))
}

function contributionEdges(project: Project, entity: EntityDef, contribution: ContributionDef): readonly Edge[] {
  const staged = `staging.${contribution.source}_${contribution.table}`
  const cleansed = `cleansed.${entity.name}_${contribution.as}`
  const mapped = contribution.map.flatMap(({ column, expr }) => [
    ...columnsOf(expr).map(name => ({
      from: `${staged}.${name}`,
      to: `${cleansed}.${column}`,
      how: expr.kind === 'column' ? 'copied' : 'computed',
    })),
    ...resolvedKeys(project, expr).map(from => ({ from, to: `${cleansed}.${column}`, how: 'matched' })),
  ])
  const repaired = entity.cleanse.flatMap(({ column, expr }) =>
    columnsOf(expr)
      .filter(name => name !== column)
      .map(name => ({ from: `${cleansed}.${name}`, to: `${cleansed}.${column}`, how: 'repaired' })),
  )
  const how = entity.contributions.length === 1 ? 'copied' : 'merged'
  const given = contribution.map.map(({ column }) => ({
    from: `${cleansed}.${column}`,
    to: `ods.${entity.name}.${column}`,
    how,
  }))
  return [...mapped, ...repaired, ...given]
}

/** The golden keys that an expression looks up. */
function resolvedKeys(project: Project, expr: Expr): readonly string[] {
  return resolvesIn(expr).flatMap(({ entity: name }) =>
    (project.entities.find(entity => entity.name === name)?.key ?? []).map(key => `ods.${name}.${key}`),
  )
}

function exportEdges(project: Project): readonly Edge[] {
  return project.exports.flatMap(it =>
    it.columns.map(column => ({
      from: `ods.${it.entity}.${column.name}`,
      to: `export.${it.name}.${column.name}`,
      how: it.masks.some(mask => mask.column === column.name) ? 'masked' : 'copied',
    })),
  )
}

function dimensionEdges(project: Project): readonly Edge[] {
  return project.dimensions.flatMap(it => {
    if (it.kind === 'calendar') return []
    const to = (column: string): string => `dw.dim_${it.name}.${column}`
    const copied = it.columns.map(column => ({
      from: `export.${it.export}.${column.name}`,
      to: to(column.name),
      how: it.type2.includes(column.name) ? 'versioned' : 'copied',
    }))
    return [...copied, ...it.key.map(key => ({ from: to(key), to: to(`${it.name}_key`), how: 'surrogate key' }))]
  })
}

function factEdges(project: Project): readonly Edge[] {
  return project.facts.flatMap(it => [
    ...it.columns.map(column => ({
      from: `export.${it.export}.${column.name}`,
      to: `dw.fact_${it.name}.${column.name}`,
      how: 'copied',
    })),
    ...it.dims.flatMap(dim =>
      dim.by.map(column => ({
        from: `export.${it.export}.${column}`,
        to: `dw.fact_${it.name}.${dim.role}_key`,
        how: `looked up in dim_${dim.dimension}`,
      })),
    ),
  ])
}

function summaryEdges(project: Project, summary: SummaryDef): readonly Edge[] {
  const fact = project.facts.find(it => it.name === summary.fact)
  const table = (role: string | null): string => {
    if (role === null) return `dw.fact_${summary.fact}`
    const dimension = fact?.dims.find(dim => dim.role === role)?.dimension
    return `dw.dim_${dimension ?? role}`
  }
  const parts = [
    ...summary.by.map(({ column, expr }) => ({ column, of: expr, how: 'grouped by' })),
    ...summary.get.map(({ column, aggregate, of }) => ({ column, of, how: aggregate as string })),
  ]
  return parts.flatMap(({ column, of, how }) =>
    of === null
      ? []
      : columnsOf(of.expr).map(name => ({
          from: `${table(of.role)}.${name}`,
          to: `mart.${summary.name}.${column}`,
          how,
        })),
  )
}

/** A column or table with what it comes from or goes to, as deep as it reaches. */
export interface LineageTree {
  readonly name: string
  readonly how: string | null
  readonly next: readonly LineageTree[]
}

/** Follows `name` (`dw.fact_flight.delay`) back to the sources or forward to the marts. */
export function followLineage(edges: readonly Edge[], name: string, direction: 'back' | 'forward'): LineageTree {
  const near = direction === 'back' ? 'to' : 'from'
  const far = direction === 'back' ? 'from' : 'to'
  const walk = (at: string, how: string | null, seen: ReadonlySet<string>): LineageTree => ({
    name: at,
    how,
    next: edges
      .filter(edge => edge[near] === at && !seen.has(edge[far]))
      .map(edge => walk(edge[far], edge.how, new Set([...seen, at]))),
  })
  return walk(name, null, new Set())
}

/** The columns that a name stands for: itself, or every column of the table it names. Throws `LINEAGE_UNKNOWN`. */
export function columnsNamed(edges: readonly Edge[], name: string): readonly string[] {
  const all = [...new Set(edges.flatMap(edge => [edge.from, edge.to]))]
  const found = all.filter(it => it === name || it.startsWith(`${name}.`))
  if (found.length > 0) return found
  const tables = [...new Set(all.map(it => it.slice(0, it.lastIndexOf('.'))))]
  throw fail('LINEAGE_UNKNOWN', { name, known: tables.filter(it => !it.startsWith('source:')).join(', ') })
}
