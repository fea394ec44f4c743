import { columnsOf } from '../core/expr.ts'
import type { ContributionDef, EntityDef, Project, SourceTableDef } from '../config/model.ts'
import { shownText } from './sample.ts'

/** What stands for a value that is not shown. */
export const MASKED = '***'

/**
 * Which columns are personal. The control tables are masked where they are written; the report masks again, so that
 * no single mistake there brings a personal value onto a page that people pass around.
 */
export interface PersonalColumns {
  inStaged(source: string, table: string): ReadonlySet<string>
  /** Columns of an entity that are personal or made from something personal. */
  inEntity(entity: string): ReadonlySet<string>
  /** True when the key of a contributor's rows tells a personal value. */
  inSourceKey(entity: string, contributor: string): boolean
  inGoldenKey(entity: string): boolean
}

/** A key as the report shows it: a personal one only as the fingerprint that the stages write for it. */
export function shownKey(key: string | null, personal: boolean): string | null {
  return !personal || key === null || /^#[0-9a-f]{32}$/.test(key) ? shownText(key) : MASKED
}

export function personalColumns(project: Project): PersonalColumns {
  const staged = (source: string, table: string): ReadonlySet<string> =>
    new Set(
      tableOf(project, source, table)
        ?.columns.filter(column => column.personal)
        .map(c => c.name),
    )
  const ofEntity = (name: string): ReadonlySet<string> => {
    const entity = project.entities.find(it => it.name === name)
    return new Set(entity === undefined ? [] : entity.columns.map(c => c.name).filter(c => isPersonal(entity, c)))
  }
  const isPersonal = (entity: EntityDef, column: string): boolean =>
    entity.columns.some(c => c.name === column && c.personal) ||
    entity.contributions.some(from => readsPersonal(from, column))
  const readsPersonal = (from: ContributionDef, column: string): boolean => {
    const hidden = staged(from.source, from.table)
    const expr = from.map.find(mapped => mapped.column === column)?.expr
    return expr !== undefined && columnsOf(expr).some(name => hidden.has(name))
  }
  const inGoldenKey = (name: string): boolean => {
    const entity = project.entities.find(it => it.name === name)
    return entity === undefined || entity.key.some(column => ofEntity(name).has(column))
  }
  return {
    inStaged: staged,
    inEntity: ofEntity,
    inSourceKey: (entity, contributor) => {
      const from = contributionOf(project, entity, contributor)
      if (from === undefined) return true // no longer in the config: nobody says that it is not
      // Rows without a key are called by their mapped values.
      if (from.match !== null) return from.map.some(({ column }) => ofEntity(entity).has(column))
      const key = tableOf(project, from.source, from.table)?.key ?? []
      return inGoldenKey(entity) || key.some(name => staged(from.source, from.table).has(name))
    },
    inGoldenKey,
  }
}

export function contributionOf(project: Project, entity: string, contributor: string): ContributionDef | undefined {
  return project.entities.find(it => it.name === entity)?.contributions.find(it => it.as === contributor)
}

function tableOf(project: Project, source: string, table: string): SourceTableDef | undefined {
  return project.sources.find(it => it.name === source)?.tables.find(it => it.name === table)
}
