import { createHash } from 'node:crypto'
import { ident, joinSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { ColumnDef } from '../core/types.ts'
import type { Project } from '../config/model.ts'
import { holdsStill, type StageContext } from '../run/context.ts'
import { cleansedTable } from '../run/mapping.ts'
import { keyColumns, kindOfRelation, stagingNames } from '../run/tables.ts'
import { dimensionTable, factTables } from '../warehouse/index.ts'

interface Keyed {
  readonly table: Ident
  readonly key: readonly ColumnDef[]
}

/**
 * For engines that find rows by an index: gives the tables in which change sets look their keys up one on the key. Called
 * behind the stages, so that a first load fills tables without. What is there is left as it is.
 */
export async function ensureKeyIndexes(ctx: StageContext): Promise<void> {
  for (const { table, key } of keyedTables(ctx.project)) {
    const path = table.path.join('.')
    await holdsStill(ctx, `index ${path}`, async () => {
      if ((await kindOfRelation(ctx.tx, table)) !== 'table') return false
      const name = `key_${createHash('sha256').update(path).digest('hex').slice(0, 16)}`
      await ctx.tx.execute(sql`create index if not exists ${ident(name)} on ${table} ${indexed(key)}`)
      return true
    })
  }
}

/** A text may be longer than an ordered index takes: then by hash of one. */
function indexed(key: readonly ColumnDef[]): Sql {
  const ordered = key.filter(({ type }) => !['text', 'json', 'bytes', 'enum'].includes(type.kind))
  if (ordered.length > 0) return sql`(${joinSql(ordered.map(({ name }) => ident(name)))})`
  return sql`using hash (${ident((key[0] as ColumnDef).name)})`
}

function keyedTables(project: Project): readonly Keyed[] {
  const of = (columns: readonly ColumnDef[], names: readonly string[]): readonly ColumnDef[] =>
    names.map(name => columns.find(column => column.name === name) as ColumnDef)
  const exported = (name: string): readonly ColumnDef[] => {
    const found = project.exports.find(it => it.name === name)
    return found === undefined ? [] : of(found.columns, found.key)
  }
  const staged = project.sources.flatMap(source =>
    source.tables.map(table => ({ table: stagingNames(table).image, key: keyColumns(table) })),
  )
  const entities = project.entities.flatMap(entity => {
    const key = of(entity.columns, entity.key)
    const keyed = entity.contributions.filter(it => it.match === null)
    return [...keyed.map(it => cleansedTable(entity, it)), ident('ods', entity.name)].map(table => ({ table, key }))
  })
  const exports = project.exports.map(it => ({ table: ident('export', it.name), key: exported(it.name) }))
  const dimensions = project.dimensions.flatMap(it =>
    it.kind === 'calendar' ? [] : [{ table: dimensionTable(it.name), key: exported(it.export) }],
  )
  const facts = project.facts.map(it => ({ table: factTables(it.name).fact, key: exported(it.export) }))
  return [...staged, ...entities, ...exports, ...dimensions, ...facts].filter(({ key }) => key.length > 0)
}
