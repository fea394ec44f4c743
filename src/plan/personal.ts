import type { ContributionDef, EntityDef, Project, SourceTableDef } from '../config/model.ts'
import { personalPart } from '../config/personal.ts'

/**
 * Which columns hold personal data: those that are declared so, and those that hold the same values because of a
 * mapping or a repair. Exports and the warehouse hold none: what is personal left the ODS masked.
 */
export interface PersonalData {
  /** Columns of a staged table. */
  inStaged(source: string, table: string): ReadonlySet<string>
  /** Columns of an entity, in `cleansed` and in `ods`. */
  inEntity(entity: string): ReadonlySet<string>
  /** True when the key of a contributor's rows tells a personal value. */
  inSourceKey(entity: string, contributor: string): boolean
  inGoldenKey(entity: string): boolean
}

export function personalData(project: Project): PersonalData {
  const inStaged = (source: string, name: string): ReadonlySet<string> => {
    const columns = tableOf(project, source, name)?.columns ?? []
    return new Set(columns.filter(column => column.personal).map(column => column.name))
  }
  const inEntity = (name: string): ReadonlySet<string> => {
    const entity = entityOf(project, name)
    return entity === undefined ? new Set() : personalOf(entity, inStaged)
  }
  const inGoldenKey = (name: string): boolean => {
    const entity = entityOf(project, name)
    return entity === undefined || entity.key.some(column => inEntity(name).has(column))
  }
  const inSourceKey = (name: string, contributor: string): boolean => {
    const from = entityOf(project, name)?.contributions.find(it => it.as === contributor)
    if (from === undefined) return true // no longer in the config: nobody says that it is not
    // Rows without a key are called by their mapped values.
    if (from.match !== null) return from.map.some(({ column }) => inEntity(name).has(column))
    const key = tableOf(project, from.source, from.table)?.key ?? []
    return inGoldenKey(name) || key.some(column => inStaged(from.source, from.table).has(column))
  }
  return { inStaged, inEntity, inSourceKey, inGoldenKey }
}

/** Every table that the engine keeps from a source to the ODS, with its personal columns: `***` when people query. */
export function personalTables(
  project: Project,
): readonly { readonly schema: string; readonly table: string; readonly columns: readonly string[] }[] {
  const personal = personalData(project)
  const staged = project.sources
    .flatMap(source => source.tables)
    .flatMap(({ source, name }) =>
      ['', '__past', '__landing', '__sweep'].map(suffix => ({
        schema: 'staging',
        table: `${source}_${name}${suffix}`,
        columns: [...personal.inStaged(source, name)],
      })),
    )
  const kept = project.entities.flatMap(entity => [
    ...entity.contributions.map(from => cleansedTable(personal, entity, from)),
    { schema: 'ods', table: entity.name, columns: [...personal.inEntity(entity.name)] },
  ])
  // The crosswalk is keyed by plain values of all entities: with one that is personal it is hidden whole.
  const keyed = project.entities.some(
    ({ name, contributions }) =>
      personal.inGoldenKey(name) || contributions.some(({ as }) => personal.inSourceKey(name, as)),
  )
  const crosswalk = { schema: 'naru', table: 'crosswalk', columns: keyed ? ['source_key', 'golden_key'] : [] }
  return [...staged, ...kept, crosswalk]
}

/** `_k_` columns hold a matched row as it was before repair, `_source_key` the staged key of a row. */
function cleansedTable(
  personal: PersonalData,
  entity: EntityDef,
  { as, match }: ContributionDef,
): ReturnType<typeof personalTables>[number] {
  const columns = [...personal.inEntity(entity.name)]
  const sourceKey = personal.inSourceKey(entity.name, as) ? ['_source_key'] : []
  const own = match === null ? sourceKey : columns.map(name => `_k_${name}`)
  return { schema: 'cleansed', table: `${entity.name}_${as}`, columns: [...columns, ...own] }
}

function personalOf(entity: EntityDef, inStaged: PersonalData['inStaged']): ReadonlySet<string> {
  const declared = entity.columns.filter(column => column.personal).map(column => column.name)
  const mapped = entity.contributions.flatMap(from => {
    const hidden = inStaged(from.source, from.table)
    return from.map.filter(({ expr }) => personalPart(expr, name => hidden.has(name)) !== null)
  })
  const known = new Set([...declared, ...mapped.map(({ column }) => column)])
  // A repair reads the mapped values, not what other repairs made of them.
  const repaired = entity.cleanse.filter(({ expr }) => personalPart(expr, name => known.has(name)) !== null)
  return new Set([...known, ...repaired.map(({ column }) => column)])
}

function entityOf(project: Project, name: string): EntityDef | undefined {
  return project.entities.find(it => it.name === name)
}

function tableOf(project: Project, source: string, name: string): SourceTableDef | undefined {
  return project.sources.find(it => it.name === source)?.tables.find(it => it.name === name)
}
