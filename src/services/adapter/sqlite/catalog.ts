import { ident, sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import { describedColumn, type TableDescription } from '../contract.ts'
import type { Database, SqliteRow } from './database.ts'
import { hasTextAffinity, typeOf } from './types.ts'

/** A table or view as the file describes it. */
export interface CatalogTable {
  readonly name: string
  readonly isView: boolean
  readonly columns: readonly CatalogColumn[]
  readonly key: readonly string[]
}

export interface CatalogColumn extends ColumnDef {
  readonly nativeType: string
  readonly textAffinity: boolean
  /** SQLite itself keeps NULL out: it lets most primary keys hold it, by an old mistake. */
  readonly neverNull: boolean
}

/** Every table and view of the file; a view that no longer works is left out, as nobody can read it. */
export function describeAll(database: Database): readonly TableDescription[] {
  const found = database.rows(sql`
    select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite\\_%' escape '\\' order by name`)
  return found.flatMap(row => {
    const table = readTable(database, String(row['name']))
    return table === null || table.columns.length === 0 ? [] : [describe(database, table)]
  })
}

/** The table as the contract describes it. */
export function describe(database: Database, table: CatalogTable): TableDescription {
  const columns = table.columns.map(describedColumn)
  return { name: table.name, columns, key: table.key, rowsEstimate: estimateRows(database, table) }
}

/** One table or view by its name as SQLite compares names; `null` when there is none that can be read. */
export function readTable(database: Database, name: string): CatalogTable | null {
  const [found] = database.rows(sql`
    select name, type from sqlite_master where type in ('table', 'view') and name = ${name} collate nocase`)
  if (found === undefined) return null
  const isView = found['type'] === 'view'
  const infos = readColumns(database, name, isView)
  if (infos === null) return null
  const keyWidth = infos.filter(info => info['pk'] !== 0).length
  const columns = infos.map(info => columnOf(info, keyWidth))
  return { name: String(found['name']), isView, columns, key: keyOf(database, name, infos) }
}

function readColumns(database: Database, name: string, isView: boolean): readonly SqliteRow[] | null {
  try {
    // hidden: 1 is no column but an argument of a virtual table; 2 and 3 are generated columns.
    return database.rows(sql`
      select name, type, "notnull", pk from pragma_table_xinfo(${name}) where hidden <> 1 order by cid`)
  } catch (error) {
    if (isView) return null
    throw error
  }
}

function columnOf(info: SqliteRow, keyWidth: number): CatalogColumn {
  const nativeType = String(info['type'])
  const isRowid = info['pk'] === 1 && keyWidth === 1 && nativeType.toUpperCase() === 'INTEGER'
  return {
    name: String(info['name']),
    type: typeOf(nativeType),
    nullable: info['notnull'] === 0 && info['pk'] === 0,
    personal: false,
    nativeType,
    textAffinity: hasTextAffinity(nativeType),
    neverNull: info['notnull'] === 1 || isRowid,
  }
}

function keyOf(database: Database, name: string, infos: readonly SqliteRow[]): readonly string[] {
  const primary = infos.filter(info => info['pk'] !== 0).sort((a, b) => Number(a['pk']) - Number(b['pk']))
  if (primary.length > 0) return primary.map(info => String(info['name']))
  const required = new Set(infos.filter(info => info['notnull'] === 1).map(info => info['name']))
  const indexes = database.rows(sql`
    select name from pragma_index_list(${name}) where "unique" = 1 and partial = 0 order by name`)
  for (const index of indexes) {
    const columns = database.rows(sql`select name from pragma_index_info(${String(index['name'])}) order by seqno`)
    if (columns.every(column => required.has(column['name'] ?? null))) {
      return columns.map(column => String(column['name']))
    }
  }
  return []
}

/** Counted: the file keeps no estimate, and its copy was just read. Views may be costly, so they are not counted. */
function estimateRows(database: Database, table: CatalogTable): number | null {
  if (table.isView) return null
  const [row] = database.rows(sql`select count(*) as n from ${ident(table.name)}`)
  return Number(row?.['n'])
}
