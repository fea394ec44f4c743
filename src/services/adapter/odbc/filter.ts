import { fail } from '../../../core/errors.ts'
import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ChangeMark, KeyBound, RowFilter } from '../contract.ts'
import { columnOf, wantedColumn, type CatalogTable } from './catalog.ts'
import type { FactColumn, SystemFacts } from './facts.ts'

/** The condition of a filter over a table that is cut by `key`. */
export function whereRows(
  facts: SystemFacts,
  table: CatalogTable,
  key: readonly FactColumn[],
  filter: RowFilter,
  source: string,
): Sql {
  const conditions = [
    filter.after === undefined ? null : isAfter(facts, key, filter.after),
    filter.upTo === undefined ? null : isUpTo(facts, key, filter.upTo),
    filter.since === undefined ? null : isSince(facts, table, filter.since, source),
    filter.changed === undefined ? null : isChanged(facts, table, filter.changed, source),
    filter.range === undefined ? null : inRange(facts, table, filter.range, source),
    filter.where === undefined ? null : sql`(${rawSql(filter.where)})`,
  ].filter(it => it !== null)
  return conditions.length === 0 ? sql`` : sql` where ${joinSql(conditions, ' and ')}`
}

interface Part {
  readonly column: FactColumn
  readonly value: Sql
  readonly bound: Sql
}

function partsOf(facts: SystemFacts, key: readonly FactColumn[], bound: KeyBound): readonly Part[] {
  return key.map((column, i) => ({
    column,
    value: facts.ordered(column, columnOf(column.name)),
    bound: facts.keyValue(column, bound[i] as string),
  }))
}

/**
 * Written out, because few systems compare rows as a whole. NULL counts as the least: a row with NULL in its key is not
 * after any bound, and `isUpTo` is the exact opposite. The first part stands alone as well, so that an index is used.
 */
function isAfter(facts: SystemFacts, key: readonly FactColumn[], bound: KeyBound): Sql {
  const parts = partsOf(facts, key, bound)
  const [first] = parts as readonly [Part]
  if (parts.length === 1) return sql`${first.value} > ${first.bound}`
  return sql`(${first.value} >= ${first.bound} and ${compared(parts, '>', false)})`
}

function isUpTo(facts: SystemFacts, key: readonly FactColumn[], bound: KeyBound): Sql {
  const parts = partsOf(facts, key, bound)
  const [first] = parts as readonly [Part]
  if (parts.length === 1) return orNull(first, sql`${first.value} <= ${first.bound}`)
  return sql`(${orNull(first, sql`${first.value} <= ${first.bound}`)} and ${compared(parts, '<', true)})`
}

/** `a > x or (a = x and (b > y or ...))`. */
function compared(parts: readonly Part[], sign: '<' | '>', withEqual: boolean): Sql {
  const [part, ...rest] = parts as readonly [Part, ...Part[]]
  const { value, bound } = part
  const isLast = rest.length === 0
  const beyond = sql`${value} ${rawSql(isLast && withEqual ? `${sign}=` : sign)} ${bound}`
  const here = sign === '<' ? orNull(part, beyond) : beyond
  return isLast ? here : sql`(${here} or (${value} = ${bound} and ${compared(rest, sign, withEqual)}))`
}

function orNull({ column, value }: Part, condition: Sql): Sql {
  return column.nullable ? sql`(${condition} or ${value} is null)` : condition
}

function inRange(facts: SystemFacts, table: CatalogTable, range: NonNullable<RowFilter['range']>, source: string): Sql {
  const column = wantedColumn(table, range.column, source)
  if (column.type.kind === 'text') {
    // As the engine compares: it takes what is in the range and did not come for deleted.
    const { byBytes } = facts
    if (byBytes === null) {
      const problem = 'its source compares text in an order of its own; go by a number or a time'
      throw fail('BACKFILL_RANGE', { table: table.name, problem })
    }
    const value = byBytes(columnOf(column.name))
    return between(value, range, text => byBytes(sql`${text}`))
  }
  const value = facts.ordered(column, columnOf(column.name))
  return between(value, range, text => facts.keyValue(column, text))
}

function between(value: Sql, { from, to }: NonNullable<RowFilter['range']>, bound: (text: string) => Sql): Sql {
  const begins = sql`${value} >= ${bound(from)}`
  return to === undefined ? begins : sql`(${begins} and ${value} < ${bound(to)})`
}

function isSince(facts: SystemFacts, table: CatalogTable, since: NonNullable<RowFilter['since']>, source: string): Sql {
  const column = wantedColumn(table, since.column, source)
  const condition = facts.since(column, columnOf(column.name), since.atLeastMicros)
  if (condition === null) throw fail('SINCE_UNSUPPORTED', { source, table: table.name, column: column.name })
  return condition
}

function isChanged(facts: SystemFacts, table: CatalogTable, marks: readonly ChangeMark[], source: string): Sql {
  const conditions = marks.map(mark => {
    if (mark.kind === 'stamp') return isSince(facts, table, mark, source)
    const column = wantedColumn(table, mark.column, source)
    const value = columnOf(column.name)
    if (mark.kind === 'version') return sql`${value} >= ${facts.keyValue(column, String(mark.atLeast))}`
    // Every system takes the number for true and false.
    const text = column.type.kind === 'bool' ? (mark.is === 'true' ? '1' : '0') : mark.is
    return sql`${value} = ${facts.keyValue(column, text)}`
  })
  return sql`(${joinSql(conditions, ' or ')})`
}
