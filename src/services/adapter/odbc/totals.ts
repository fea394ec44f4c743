import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnTotals, ControlTotals } from '../contract.ts'
import type { FactColumn } from './facts.ts'
import type { TextRow } from './messages.ts'

/** How a system spells the figures of the contract. Values are given as SQL of the column. */
export interface TotalsSql {
  /** The number that is summed: value, bytes, days, microseconds; `null` when the type has no sum. */
  readonly measure: (column: FactColumn, value: Sql) => Sql | null
  /** What the least and the greatest are taken of; `null` when the type has none. */
  readonly bound: (column: FactColumn, value: Sql) => Sql | null
  /** The value as the content hash spells it; `null` when it is not part of it. */
  readonly canonical: (column: FactColumn, value: Sql) => Sql | null
  readonly text: (value: Sql) => Sql
  /** One text of the canonical texts, with their separator. */
  readonly join: (texts: readonly Sql[]) => Sql
  /** The sum over rows of the first 15 hexadecimal digits of md5. */
  readonly hash: (row: Sql) => Sql
}

/** A column with the SQL that names it. */
export interface NamedColumn {
  readonly column: FactColumn
  readonly value: Sql
}

/** The columns of a SELECT that gives the totals in one row; `totalsOf` reads it. Without `facts` it only counts. */
export function totalsList(columns: readonly NamedColumn[], facts: TotalsSql | null, hash: boolean): Sql {
  const none = rawSql('null')
  const figures = columns.flatMap(({ column, value }) => {
    const count = sql`count(${value})`
    if (facts === null) return [count]
    const [measure, bound] = [facts.measure(column, value), facts.bound(column, value)]
    const text = (of: Sql | null, name: 'sum' | 'min' | 'max'): Sql =>
      of === null ? none : facts.text(sql`${rawSql(name)}(${of})`)
    return [count, text(measure, 'sum'), text(bound, 'min'), text(bound, 'max')]
  })
  return joinSql([sql`count(*)`, facts === null || !hash ? none : rowHash(columns, facts), ...figures])
}

function rowHash(columns: readonly NamedColumn[], facts: TotalsSql): Sql {
  const texts = columns.map(({ column, value }) => facts.canonical(column, value)).filter(it => it !== null)
  return facts.text(facts.hash(texts.length === 0 ? sql`${''}` : facts.join(texts)))
}

/** The totals in the words of the contract. */
export function totalsOf(row: TextRow, columns: readonly NamedColumn[], facts: TotalsSql | null): ControlTotals {
  const width = facts === null ? 1 : 4
  return {
    rows: BigInt(row[0] as string),
    hash: row[1] ?? null,
    columns: columns.map(({ column }, i): ColumnTotals => {
      const [count, sum = null, min = null, max = null] = row.slice(2 + i * width, 2 + (i + 1) * width)
      return { column: column.name, count: BigInt(count as string), sum, min, max }
    }),
  }
}
