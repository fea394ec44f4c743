import { microsText } from '../../../core/cell-text.ts'
import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import type { ChangeMark, KeyBound, PlaceRange, RowFilter } from '../contract.ts'
import type { CatalogTable } from './catalog.ts'
import { isAtPlace, placeOf } from './places.ts'

/**
 * What is read, in a FROM clause: the table, a query that has its name, or the part of the table that a place is in. All
 * columns are named through the alias: an output column never hides them.
 */
export function fromTable(table: CatalogTable, place?: PlaceRange): Sql {
  if (table.query !== undefined) return sql`(${rawSql(table.query)}) as t`
  if (place === undefined) return sql`${ident(table.schema, table.relation)} as t`
  const { schema, relation } = placeOf(place)
  return sql`only ${ident(schema, relation)} as t`
}

export function columnOf(name: string): Ident {
  return ident('t', name)
}

/** The condition of a filter. Keys are compared by the source: its types, its collations. */
export function whereRows(table: CatalogTable, key: readonly string[], filter: RowFilter, zone: string): Sql {
  const conditions = [
    filter.after === undefined ? null : isAfter(table, key, filter.after),
    filter.place === undefined ? null : isAtPlace(filter.place),
    filter.upTo === undefined ? null : sql`${rowOf(key)} <= ${boundOf(filter.upTo)}`,
    filter.since === undefined ? null : sinceCondition(table, filter.since, zone),
    filter.changed === undefined ? null : isChanged(table, filter.changed, zone),
    filter.range === undefined ? null : inRange(table, filter.range),
    filter.where === undefined ? null : sql`(${rawSql(filter.where)})`,
  ].filter(it => it !== null)
  return conditions.length === 0 ? sql`true` : joinSql(conditions, ' and ')
}

/**
 * Literals without a type take the one of the column: a wall time is compared as such, whatever the zone. Text is compared
 * by its bytes, as the engine does, which takes what is in the range and did not come for deleted.
 */
function inRange(table: CatalogTable, { column, from, to }: NonNullable<RowFilter['range']>): Sql {
  const isText = table.columns.some(it => it.name === column && it.type.kind === 'text')
  const value = isText ? sql`${columnOf(column)}::text collate "C"` : columnOf(column)
  return to === undefined ? sql`${value} >= ${from}` : sql`${value} >= ${from} and ${value} < ${to}`
}

/** The key columns as a row, which is compared as a whole. */
export function rowOf(key: readonly string[]): Sql {
  return sql`(${joinSql(key.map(columnOf))})`
}

/**
 * NULL sorts last: a row that cannot be told to be at the bound or before it is after it. That is one whose key agrees
 * with the bound up to a NULL; each such case is a condition of its own, so that an index can find it.
 */
function isAfter(table: CatalogTable, key: readonly string[], bound: KeyBound): Sql {
  const isNullable = (name: string): boolean => table.columns.some(it => it.name === name && it.nullable)
  const untold = key.flatMap((name, i) => {
    if (!isNullable(name)) return []
    const equal = key.slice(0, i).map((before, j) => sql`${columnOf(before)} = ${bound[j] as string}`)
    return [joinSql([...equal, sql`${columnOf(name)} is null`], ' and ')]
  })
  const compared = sql`${rowOf(key)} > ${boundOf(bound)}`
  return untold.length === 0 ? compared : sql`(${joinSql([compared, ...untold], ' or ')})`
}

/** Literals without a type: each takes the type of the column it is compared with. */
export function boundOf(bound: KeyBound): Sql {
  return sql`(${joinSql(bound.map(value => sql`${value}`))})`
}

function sinceCondition(table: CatalogTable, since: NonNullable<RowFilter['since']>, zone: string): Sql {
  const type = table.columns.find(column => column.name === since.column)?.type
  const from = sql`${microsText(since.atLeastMicros, true)}::timestamptz`
  if (type?.kind === 'timestamp' && type.zoned) return sql`${columnOf(since.column)} >= ${from}`
  if (type?.kind === 'timestamp') return sql`${columnOf(since.column)} >= ${earliestWallTime(from, zone)}`
  if (type?.kind === 'date') return sql`${columnOf(since.column)} >= ${earliestWallTime(from, zone)}::date`
  throw fail('INTERNAL', { what: `"${since.column}" of "${table.name}" is no time column` })
}

/** Literals without a type take the one of the column: `true` is one of a flag. */
function isChanged(table: CatalogTable, marks: readonly ChangeMark[], zone: string): Sql {
  const conditions = marks.map(mark => {
    if (mark.kind === 'stamp') return sinceCondition(table, mark, zone)
    const column = columnOf(mark.column)
    return mark.kind === 'flag' ? sql`${column} = ${mark.is}` : sql`${column} >= ${String(mark.atLeast)}`
  })
  return sql`(${joinSql(conditions, ' or ')})`
}

/**
 * The earliest time that a clock on the wall of the zone shows at or after an instant. When clocks are put back within
 * a day of it, rows written after that carry smaller stamps: they must not be lost, so the later offset counts as well.
 */
function earliestWallTime(instant: Sql, zone: string): Sql {
  const day = sql`interval '24 hours'`
  return sql`least(${instant} at time zone ${zone}, ((${instant} + ${day}) at time zone ${zone}) - ${day})`
}
