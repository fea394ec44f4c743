import { microsText } from '../../../core/cell-text.ts'
import { fail } from '../../../core/errors.ts'
import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ChangeMark, KeyBound, RowFilter, TableShape } from '../contract.ts'
import type { CatalogColumn, CatalogTable } from './catalog.ts'
import { columnOf, givenLiteral, keyLiteral, keyText, textValue } from './columns.ts'

/** A column of a key, as it is compared. */
export interface KeyPart {
  readonly nullable: boolean
  readonly value: Sql
  /** The text of a bound. */
  readonly text: Sql
  bound(text: string): Sql
}

/** By itself a key is compared by the source: its types, its collations. In the common order texts go by their bytes in UTF-8. */
export function keyPart(column: CatalogColumn, order: TableShape['keyOrder']): KeyPart {
  const { nullable, type } = column
  if (order === 'common' && (type.kind === 'text' || type.kind === 'enum' || type.kind === 'uuid')) {
    const text = textValue(column)
    return { nullable, value: sql`cast(${text} as binary)`, text, bound: given => bytesOf(sql`${given}`) }
  }
  return {
    nullable,
    value: sql`${columnOf(column)}`,
    text: keyText(column),
    bound: given => keyLiteral(column, given),
  }
}

/** A text by its bytes, which no collation changes. */
function bytesOf(text: Sql): Sql {
  return sql`cast(convert(${text} using utf8mb4) as binary)`
}

/** The condition of a filter. */
export function whereRows(table: CatalogTable, key: readonly KeyPart[], filter: RowFilter): Sql {
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
function isAfter(key: readonly KeyPart[], bound: KeyBound): Sql {
  const [column] = key as readonly [KeyPart, ...KeyPart[]]
  const first = sql`${column.value} >= ${column.bound(bound[0] as string)}`
  return sql`(${first} and ${compared(key, bound, '>', sql`>`)})`
}

function isUpTo(key: readonly KeyPart[], bound: KeyBound): Sql {
  if (key.some(column => column.nullable)) return sql`(${isAfter(key, bound)} is not true)`
  const [column] = key as readonly [KeyPart, ...KeyPart[]]
  const first = sql`${column.value} <= ${column.bound(bound[0] as string)}`
  return sql`(${first} and ${compared(key, bound, '<', sql`<=`)})`
}

/** `(a < 1 or (a = 1 and (b < 2 or (b = 2 and c <= 3))))` */
function compared(key: readonly KeyPart[], bound: KeyBound, strict: '<' | '>', last: Sql): Sql {
  const [column, ...rest] = key as readonly [KeyPart, ...KeyPart[]]
  const [text, ...texts] = bound as readonly [string, ...string[]]
  const value = column.bound(text)
  if (rest.length === 0) return sql`${column.value} ${last} ${value}`
  const further = compared(rest, texts, strict, last)
  return sql`(${column.value} ${rawSql(strict)} ${value} or (${column.value} = ${value} and ${further}))`
}

/** Text is compared by its bytes, as the engine does, which takes what is in the range and did not come for deleted. */
function inRange(table: CatalogTable, { column: name, from, to }: NonNullable<RowFilter['range']>): Sql {
  const column = columnNamed(table, name)
  if (column.type.kind === 'text') {
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
