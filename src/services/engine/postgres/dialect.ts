import { fail } from '../../../core/errors.ts'
import { asText } from '../../../core/dialect-functions.ts'
import { joinSql, rawSql, sql, type Dialect, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { postgresDialect } from '../../../systems/postgres/dialect.ts'
import { postgresFunction } from './functions.ts'
import { postgresCall } from './dialect-functions.ts'

/** PostgreSQL's SQL as stages write it. Times are in UTC: the engine sets its session so. */
export const postgresEngineDialect: Dialect = {
  identBytesMax: postgresDialect.identBytesMax,
  columnsMax: 1600,
  temporarySchema: 'pg_temp',
  quote: postgresDialect.quote,
  literal,
  type: typeName,
  fn: postgresFunction,
  tryCast,
  call: postgresCall,
}

function literal(value: string | number | bigint | boolean | null): string {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw fail('LITERAL_INVALID', { why: `${value} is not a finite number` })
  }
  if (typeof value === 'string') {
    if (value.includes('\0')) throw fail('LITERAL_INVALID', { why: 'it holds a NUL character' })
    if (/\p{Surrogate}/u.test(value)) throw fail('LITERAL_INVALID', { why: 'it holds half of a UTF-16 pair' })
  }
  const text = postgresDialect.literal(value)
  // In parentheses when negative: `a -${-1}` would begin a comment.
  return text.startsWith('-') ? `(${text})` : text
}

/** JSON keeps its bytes, which the server's own types do not promise, and cannot be compared otherwise. */
function typeName(type: ColumnType): string {
  return type.kind === 'json' ? 'text' : postgresDialect.type(type)
}

/** The value exactly, or NULL. The functions are those of the library: the server's own casts round, or end the query. */
function tryCast(arg: Sql, type: ColumnType): Sql {
  const text = asText(arg)
  switch (type.kind) {
    case 'text':
      return text
    case 'enum':
      if (type.values.length === 0) return sql`cast(null as text)`
      return sql`case when ${text} in (${joinSql(type.values.map(value => sql`${value}`))}) then ${text} end`
    case 'bytes':
      return sql`naru_sql.try_bytes(${arg})`
    case 'int':
      return sql`naru_sql.${rawSql(`try_int${type.bits / 8}`)}(${text})`
    case 'float':
      return sql`naru_sql.${rawSql(`try_float${type.bits / 8}`)}(${text})`
    case 'decimal': {
      const { precision, scale } = type
      const name = rawSql(`numeric(${precision},${scale})`)
      return sql`cast(naru_sql.try_decimal(${text}, ${precision}, ${scale}) as ${name})`
    }
    case 'timestamp':
      return sql`naru_sql.${rawSql(type.zoned ? 'try_timestamptz' : 'try_timestamp')}(${text})`
    case 'bool':
    case 'json':
    case 'uuid':
    case 'date':
    case 'time':
    case 'interval':
      return sql`naru_sql.${rawSql(`try_${type.kind}`)}(${text})`
  }
}
