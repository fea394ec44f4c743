import { microsText } from '../../../core/cell-text.ts'
import { fail } from '../../../core/errors.ts'
import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ChangeMark, KeyBound, RowFilter } from '../contract.ts'
import type { CatalogColumn, CatalogTable } from './catalog.ts'
import { columnOf, givenLiteral, keyLiteral } from './columns.ts'

/** The condition of a filter. Keys are compared by the source: its types, its collations. */
export function whereRows(table: CatalogTable, key: readonly CatalogColumn[], filter: RowFilter): Sql {
  const conditions = [
    filter.after === undefined ? null : isAfter(key, filter.after),
    filter.upTo === undefined ? null : isUpTo(key, filter.upTo),
    filter.since === undefined ? null : sinceCondition(table, filter.since),
    filter.changed === undefined ? null : isChanged(table, filter.changed),
    filter.range === undefined ? null : inRange(table, filter.range),
    filter.where === undefined ? null : sql`(${rawSql(filter.where)})`,
  ].filter(it => it !== null)
  return conditions.length === 0 ? sql`true` : joinSql(conditions, ' and ')
}

/**
 * `key > bound`, column by column: the server uses no index for a comparison of rows. NULL sorts first here, and a row
 * with NULL in its key is behind a bound only when a column before the NULL says so.
 */
function isAfter(key: readonly CatalogColumn[], bound: KeyBound): Sql {
  const first = sql`${columnOf(key[0] as CatalogColumn)} >= ${keyLiteral(key[0] as CatalogColumn, bound[0] as string)}`
  return sql`(${first} and ${compared(key, bound, '>', sql`>`)})`
}

function isUpTo(key: readonly CatalogColumn[], bound: KeyBound): Sql {
  if (key.some(column => column.nullable)) return sql`(${isAfter(key, bound)} is not true)`
  const first = sql`${columnOf(key[0] as CatalogColumn)} <= ${keyLiteral(key[0] as CatalogColumn, bound[0] as string)}`
  return sql`(${first} and ${compared(key, bound, '<', sql`<=`)})`
}

/** `(a < 1 or (a = 1 and (b < 2 or (b = 2 and c <= 3))))` */
function compared(key: readonly CatalogColumn[], bound: KeyBound, strict: '<' | '>', last: Sql): Sql {
  const [column, ...rest] = key as readonly [CatalogColumn, ...CatalogColumn[]]
  const [text, ...texts] = bound as readonly [string, ...string[]]
  const value = keyLiteral(column, text)
  if (rest.length === 0) return sql`${columnOf(column)} ${last} ${value}`
  const further = compared(rest, texts, strict, last)
  return sql`(${columnOf(column)} ${rawSql(strict)} ${value} or (${columnOf(column)} = ${value} and ${further}))`
}

/** Text is compared by its bytes, as the engine does, which takes what is in the range and did not come for deleted. */
function inRange(table: CatalogTable, { column: name, from, to }: NonNullable<RowFilter['range']>): Sql {
  const column = columnNamed(table, name)
  if (column.type.kind === 'text') {
    const bytesOf = (value: Sql): Sql => sql`cast(convert(${value} using utf8mb4) as binary)`
    const value = bytesOf(sql`${columnOf(column)}`)
    return between(value, bytesOf(sql`${from}`), to === undefined ? null : bytesOf(sql`${to}`))
  }
  return between(
    sql`${columnOf(column)}`,
    givenLiteral(column, from),
    to === undefined ? null : givenLiteral(column, to),
  )
}

function between(value: Sql, from: Sql, to: Sql | null): Sql {
  return to === null ? sql`${value} >= ${from}` : sql`(${value} >= ${from} and ${value} < ${to})`
}

function columnNamed(table: CatalogTable, name: string): CatalogColumn {
  const column = table.columns.find(it => it.name === name)
  if (column === undefined) throw fail('INTERNAL', { what: `"${name}" of "${table.name}" is not there` })
  return column
}

function sinceCondition(table: CatalogTable, since: NonNullable<RowFilter['since']>): Sql {
  const column = columnNamed(table, since.column)
  const value = columnOf(column)
  const from = sql`cast(${microsText(since.atLeastMicros, false)} as datetime(6))`
  if (column.type.kind === 'timestamp' && column.type.zoned) return sql`${value} >= ${from}`
  if (column.type.kind === 'timestamp') return sql`${value} >= ${earliestWallTime(from)}`
  if (column.type.kind === 'date') return sql`${value} >= date(${earliestWallTime(from)})`
  throw fail('INTERNAL', { what: `"${since.column}" of "${table.name}" is no time column` })
}

function isChanged(table: CatalogTable, marks: readonly ChangeMark[]): Sql {
  const conditions = marks.map(mark => {
    if (mark.kind === 'stamp') return sinceCondition(table, mark)
    const column = columnNamed(table, mark.column)
    if (mark.kind === 'version') return sql`${columnOf(column)} >= ${mark.atLeast}`
    return sql`${columnOf(column)} = ${flagValue(column, mark.is)}`
  })
  return sql`(${joinSql(conditions, ' or ')})`
}

/** A flag as it is compared and written: true and false are the numbers 1 and 0. */
export function flagValue({ type }: CatalogColumn, text: string): Sql {
  if (type.kind === 'bool') return rawSql(text === 'true' ? '1' : '0')
  return type.kind === 'int' ? sql`${BigInt(text)}` : sql`${text}`
}

/**
 * The earliest time that a clock on the wall of the server shows at or after an instant: DATETIME has no zone, and its
 * writers stamp in that of the server unless they say otherwise. When clocks are put back within a day of it, rows
 * written after that carry smaller stamps: they must not be lost, so the later offset counts as well.
 */
function earliestWallTime(instant: Sql): Sql {
  const wall = (at: Sql): Sql => sql`convert_tz(${at}, '+00:00', @@global.time_zone)`
  return sql`least(${wall(instant)}, ${wall(sql`${instant} + interval 1 day`)} - interval 1 day)`
}
