import { joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { FactColumn } from './facts.ts'
import type { TotalsSql } from './totals.ts'

const micros = (value: Sql): Sql => sql`cast(extract(epoch from ${value}) * 1000000 as bigint)`
const bytesOf = (value: Sql): Sql => sql`octet_length(convert_to(cast(${value} as text), 'UTF8'))`
const finite = (value: Sql, then: Sql): Sql => sql`case when isfinite(${value}) then ${then} end`
const days = (value: Sql): Sql => sql`(${value} - date '1970-01-01')`

function measure({ type }: FactColumn, value: Sql): Sql | null {
  switch (type.kind) {
    case 'int':
    case 'decimal':
      return value
    case 'bool':
      return sql`cast(${value} as integer)`
    case 'date':
      return finite(value, days(value))
    case 'time':
      return micros(value)
    case 'timestamp':
      return finite(value, micros(value))
    case 'bytes':
      return sql`octet_length(${value})`
    case 'float':
    case 'interval':
      return null
    default:
      return bytesOf(value)
  }
}

function bound(column: FactColumn, value: Sql): Sql | null {
  switch (column.type.kind) {
    case 'text':
    case 'enum':
      return sql`left(cast(${value} as text), 64) collate "C"`
    case 'float':
      return sql`case when ${value} > '-Infinity' and ${value} < 'Infinity' then ${value} end`
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

function canonical({ type }: FactColumn, value: Sql): Sql | null {
  const text = sql`cast(${value} as text)`
  const orText = (number: Sql): Sql => sql`case when isfinite(${value}) then cast(${number} as text) else ${text} end`
  switch (type.kind) {
    case 'float':
    case 'interval':
      return null
    case 'bool':
      return sql`cast(cast(${value} as integer) as text)`
    case 'date':
      return orText(days(value))
    case 'time':
      return sql`cast(${micros(value)} as text)`
    case 'timestamp':
      return orText(micros(value))
    case 'bytes':
      return sql`encode(${value}, 'hex')`
    default:
      return text
  }
}

/** The figures of the contract, as PostgreSQL computes them. */
export const postgresTotals: TotalsSql = {
  measure,
  bound,
  canonical,
  text: value => sql`cast(${value} as text)`,
  join: texts => joinSql(texts.map(text => sql`coalesce(${text}, chr(30))`), ' || chr(31) || '), // prettier-ignore
  hash: row => sql`sum(cast(cast(${'x'} || left(md5(convert_to(${row}, 'UTF8')), 15) as bit(60)) as bigint))`,
}
