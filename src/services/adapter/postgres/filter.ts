import { microsText } from '../../../core/cell-text.ts'
import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import type { ChangeMark, KeyBound, PlaceRange, RowFilter, TableShape } from '../contract.ts'
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

/** A column of a key, as it is compared. */
export interface KeyPart {
  readonly name: string
  readonly nullable: boolean
  readonly value: Sql
  bound(text: string): Sql
}

/**
 * The key of a table, as its order is meant. By themselves keys are compared by the source: its types, its collations; a literal
 * without a type takes the one of its column. In the common order texts go by their bytes in UTF-8.
 */
export function keyParts(
  table: CatalogTable,
  shape: Pick<TableShape, 'key' | 'keyOrder'>,
  encoding: string,
): readonly KeyPart[] {
  return shape.key.map(name => {
    const column = table.columns.find(it => it.name === name)
    const nullable = column?.nullable === true
    const isText = column?.type.kind === 'text' || column?.type.kind === 'enum'
    const own = { name, nullable, value: sql`${columnOf(name)}`, bound: (text: string) => sql`${text}` }
    if (shape.keyOrder !== 'common' || !isText) return own
    const text = sql`${columnOf(name)}::text`
    if (isUtf8(encoding)) return { ...own, value: sql`(${text} collate "C")` }
    return { ...own, value: sql`convert_to(${text}, 'UTF8')`, bound: given => sql`convert_to(${given}, 'UTF8')` }
  })
}

/** A database in UTF-8 counts and orders its bytes as we do; others must convert first. */
export function isUtf8(encoding: string): boolean {
  return encoding === 'UTF8' || encoding === 'SQL_ASCII'
}

/** The condition of a filter. */
export function whereRows(table: CatalogTable, key: readonly KeyPart[], filter: RowFilter, zone: string): Sql {
  const conditions = [
    filter.after === undefined ? null : isAfter(key, filter.after),
    filter.place === undefined ? null : isAtPlace(filter.place),
    filter.upTo === undefined ? null : sql`${rowOf(key)} <= ${boundOf(key, filter.upTo)}`,
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
export function rowOf(key: readonly KeyPart[]): Sql {
  return sql`(${joinSql(key.map(({ value }) => value))})`
}

/**
 * NULL sorts last: a row that cannot be told to be at the bound or before it is after it. That is one whose key agrees
 * with the bound up to a NULL; each such case is a condition of its own, so that an index can find it.
 */
function isAfter(key: readonly KeyPart[], bound: KeyBound): Sql {
  const untold = key.flatMap(({ name, nullable }, i) => {
    if (!nullable) return []
    const equal = key.slice(0, i).map((before, j) => sql`${before.value} = ${before.bound(bound[j] as string)}`)
    return [joinSql([...equal, sql`${columnOf(name)} is null`], ' and ')]
  })
  const compared = sql`${rowOf(key)} > ${boundOf(key, bound)}`
  return untold.length === 0 ? compared : sql`(${joinSql([compared, ...untold], ' or ')})`
}

/** A bound as a row, to compare with `rowOf`. */
export function boundOf(key: readonly KeyPart[], bound: KeyBound): Sql {
  return sql`(${joinSql(key.map((part, i) => part.bound(bound[i] as string)))})`
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
