import { joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { FactColumn } from './facts.ts'
import type { TotalsSql } from './totals.ts'

const wide = (value: Sql): Sql => sql`convert(${value} using utf8mb4)`

function measure({ type, nativeType }: FactColumn, value: Sql): Sql | null {
  switch (type.kind) {
    case 'int':
    case 'decimal':
      return /^(bit|year)/i.test(nativeType) ? sql`cast(${value} as unsigned)` : value
    case 'bool':
      return sql`cast(${value} as unsigned)`
    case 'date':
      return sql`datediff(${value}, '1970-01-01')`
    case 'time':
      return sql`cast(time_to_sec(${value}) * 1000000 as signed)`
    case 'timestamp':
      return sql`timestampdiff(microsecond, timestamp '1970-01-01 00:00:00', ${value})`
    case 'bytes':
      return sql`octet_length(${value})`
    case 'uuid':
      return sql`octet_length(cast(${value} as char))`
    case 'float':
    case 'interval':
      return null
    default:
      return sql`octet_length(${wide(value)})`
  }
}

function bound(column: FactColumn, value: Sql): Sql | null {
  switch (column.type.kind) {
    case 'text':
    case 'enum':
      return sql`left(${wide(value)}, 64) collate utf8mb4_nopad_bin`
    case 'float':
      return sql`cast(${value} as double)`
    case 'int':
    case 'decimal':
    case 'date':
    case 'time':
    case 'timestamp':
      return measure(column, value)
    default:
      return null
  }
}

function canonical(column: FactColumn, value: Sql): Sql | null {
  switch (column.type.kind) {
    case 'float':
    case 'interval':
      return null
    case 'text':
    case 'json':
    case 'enum':
      return wide(value)
    case 'uuid':
      return sql`cast(${value} as char)`
    case 'bytes':
      return sql`lower(hex(${value}))`
    default:
      return sql`cast(${measure(column, value) as Sql} as char)`
  }
}

/** The figures of the contract, as MariaDB computes them. */
export const mariadbTotals: TotalsSql = {
  measure,
  bound,
  canonical,
  text: value => sql`cast(${value} as char)`,
  join: texts => sql`concat(${joinSql(texts.map(text => sql`coalesce(${text}, char(30))`), ', char(31), ')})`, // prettier-ignore
  hash: row => sql`sum(cast(conv(left(md5(${row}), 15), 16, 10) as unsigned))`,
}
