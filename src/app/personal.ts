import type { Project } from '../config/model.ts'
import { stagedName } from '../run/tables.ts'

/** Columns that hold personal data, by table: what people see as `***` when they query. Exports are masked already. */
export function personalColumns(
  project: Project,
): readonly { readonly schema: string; readonly table: string; readonly columns: readonly string[] }[] {
  const staged = project.sources
    .flatMap(source => source.tables)
    .flatMap(table => {
      const columns = table.columns.filter(column => column.personal).map(column => column.name)
      const name = stagedName(table)
      return ['', '__past', '__landing', '__sweep'].map(suffix => ({
        schema: 'staging',
        table: `${name}${suffix}`,
        columns,
      }))
    })
  const kept = project.entities.flatMap(entity => {
    const personal = entity.columns.filter(column => column.personal).map(column => column.name)
    const personalKey = entity.key.some(name => personal.includes(name))
    // `_k_` columns hold a matched row as it was before repair, and a source key may be made of personal columns.
    const cleansed = entity.contributions.map(({ as }) => ({
      schema: 'cleansed',
      table: `${entity.name}_${as}`,
      columns: [...personal, ...personal.map(name => `_k_${name}`), ...(personalKey ? ['_source_key'] : [])],
    }))
    return [...cleansed, { schema: 'ods', table: entity.name, columns: personal }]
  })
  // The crosswalk is keyed by plain values: with any personal column in a key or a matched row it is hidden whole.
  const keyed = project.entities.some(entity => {
    const personal = new Set(entity.columns.filter(column => column.personal).map(column => column.name))
    const inMatch = entity.contributions.some(
      it => it.match !== null && it.map.some(({ column }) => personal.has(column)),
    )
    return inMatch || entity.key.some(name => personal.has(name))
  })
  const crosswalk = keyed ? [{ schema: 'naru', table: 'crosswalk', columns: ['source_key', 'golden_key'] }] : []
  return [...staged, ...kept, ...crosswalk].filter(it => it.columns.length > 0)
}
