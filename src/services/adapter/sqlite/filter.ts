import { microsText } from '../../../core/cell-text.ts'
import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ChangeMark, KeyBound, RowFilter, TableShape } from '../contract.ts'
import type { CatalogColumn, CatalogTable } from './catalog.ts'
import { fitted } from './types.ts'

/** The key columns of a table, as they are compared. */
export function keyColumns(table: CatalogTable, shape: TableShape, source: string): readonly CatalogColumn[] {
  return shape.key.map(name => wantedColumn(table, name, source))
}

/** A column by name; throws `SOURCE_COLUMN_GONE`. */
export function wantedColumn(table: CatalogTable, name: string, source: string): CatalogColumn {
  const column = table.columns.find(it => it.name === name)
  if (column === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: table.name, column: name })
  return column
}

/**
 * What a key column is ordered and compared by. Text is compared by its bytes whatever its collation; a text column
 * without text affinity may hold numbers, which would sort before every text, so it is compared as it is read.
 */
export function orderedBy(column: CatalogColumn): Sql {
  if (column.type.kind !== 'text') return sql`${ident(column.name)}`
  const value = column.textAffinity ? sql`${ident(column.name)}` : fitted(column.type, ident(column.name))
  return sql`${value} collate binary`
}

/** The condition of a filter over a table whose key is `key`. */
export function whereRows(table: CatalogTable, key: readonly CatalogColumn[], filter: RowFilter, source: string): Sql {
  const conditions = [
    filter.after === undefined ? null : isAfter(key, filter.after),
    filter.upTo === undefined ? null : isUpTo(key, filter.upTo),
    filter.since === undefined ? null : isSince(table, filter.since, source),
    filter.changed === undefined ? null : isChanged(table, filter.changed, source),
    filter.range === undefined ? null : inRange(wantedColumn(table, filter.range.column, source), filter.range),
    filter.where === undefined ? null : sql`(${rawSql(filter.where)})`,
  ].filter(it => it !== null)
  return conditions.length === 0 ? sql`true` : joinSql(conditions, ' and ')
}

/**
 * Each row lies on one side of every bound, also a row that cannot be compared with it: SQLite lets keys hold NULL, and
 * such a row counts as before the bound. Without NULLs the plain comparison uses the index.
 */
function isUpTo(key: readonly CatalogColumn[], bound: KeyBound): Sql {
  const compared = sql`(${rowOf(key)} <= ${boundOf(key, bound)})`
  return key.every(isComparable) ? compared : sql`(${compared} is not false)`
}

function isAfter(key: readonly CatalogColumn[], bound: KeyBound): Sql {
  return key.every(isComparable) ? sql`(${rowOf(key)} > ${boundOf(key, bound)})` : sql`(not ${isUpTo(key, bound)})`
}

function inRange(column: CatalogColumn, { from, to }: NonNullable<RowFilter['range']>): Sql {
  const value = orderedBy(column)
  const begins = sql`${value} >= ${boundValue(column, from)}`
  return to === undefined ? begins : sql`(${begins} and ${value} < ${boundValue(column, to)})`
}

function isComparable(column: CatalogColumn): boolean {
  return column.neverNull && (column.type.kind !== 'text' || column.textAffinity)
}

function rowOf(key: readonly CatalogColumn[]): Sql {
  return sql`(${joinSql(key.map(orderedBy))})`
}

function boundOf(key: readonly CatalogColumn[], bound: KeyBound): Sql {
  return sql`(${joinSql(key.map((column, i) => boundValue(column, bound[i] as string)))})`
}

function boundValue({ type }: CatalogColumn, text: string): Sql {
  switch (type.kind) {
    case 'int':
    case 'bool':
      return sql`${BigInt(text)}`
    case 'decimal':
    case 'float':
      return sql`${Number(text)}`
    case 'bytes':
      return sql`unhex(${text})`
    default:
      return sql`${text}`
  }
}

/**
 * SQLite has no time type: times are text, most often ISO 8601 in UTC, which sorts as it reads. A text that is not ISO,
 * or has a zone, cannot be compared, and a date alone may mean any time of its day: such a row is read each time, so
 * that none is lost.
 */
function isSince(table: CatalogTable, asked: NonNullable<RowFilter['since']>, source: string): Sql {
  const column = wantedColumn(table, asked.column, source)
  if (column.type.kind !== 'text') {
    throw fail('SINCE_UNSUPPORTED', { source, table: table.name, column: column.name })
  }
  const value = sql`replace(${fitted(column.type, ident(column.name))}, 'T', ' ')`
  const isIso = sql`${value} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' and substr(${value}, 11) not glob '*[-+]*'`
  const from = microsText(asked.atLeastMicros, false)
  const isBefore = sql`${value} < case length(${value}) when 10 then ${from.slice(0, 10)} else ${from} end`
  return sql`(${ident(column.name)} is not null and not (${isIso} and ${isBefore}))`
}

function isChanged(table: CatalogTable, marks: readonly ChangeMark[], source: string): Sql {
  const conditions = marks.map(mark => {
    if (mark.kind === 'stamp') return isSince(table, mark, source)
    const column = wantedColumn(table, mark.column, source)
    if (mark.kind === 'flag') return sql`${ident(column.name)} = ${flagValue(column, mark.is)}`
    return sql`${ident(column.name)} >= ${mark.atLeast}`
  })
  return sql`(${joinSql(conditions, ' or ')})`
}

/** A flag as it is compared and written: true and false are the numbers 1 and 0. */
export function flagValue({ type }: CatalogColumn, text: string): Sql {
  if (type.kind === 'bool') return sql`${text === 'true' ? 1n : 0n}`
  return type.kind === 'int' ? sql`${BigInt(text)}` : sql`${text}`
}
