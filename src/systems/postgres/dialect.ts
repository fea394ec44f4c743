import { fail } from '../../core/errors.ts'
import type { Dialect } from '../../core/sql.ts'
import type { ColumnType } from '../../core/types.ts'

/** SQL as PostgreSQL reads it. Rules and repairs never run in a source, so it has no portable functions. */
export const postgresDialect: Dialect = {
  identBytesMax: 63,
  quote: name => `"${name.replaceAll('"', '""')}"`,
  literal,
  type: nativeTypeOf,
  fn: () => {
    throw fail('INTERNAL', { what: 'a row function was sent to a PostgreSQL source' })
  },
  tryCast: () => {
    throw fail('INTERNAL', { what: 'a cast with rejects was sent to a PostgreSQL source' })
  },
}

function literal(value: string | number | bigint | boolean | null): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (typeof value !== 'string') return String(value)
  // The E form means the same under every setting of standard_conforming_strings.
  return ` E'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

function nativeTypeOf(type: ColumnType): string {
  switch (type.kind) {
    case 'bool':
      return 'boolean'
    case 'int':
      return type.bits === 16 ? 'smallint' : type.bits === 32 ? 'integer' : 'bigint'
    case 'float':
      return type.bits === 32 ? 'real' : 'double precision'
    case 'decimal':
      return `numeric(${type.precision},${type.scale})`
    case 'bytes':
      return 'bytea'
    case 'json':
      return 'json'
    case 'timestamp':
      return type.zoned ? 'timestamp with time zone' : 'timestamp'
    case 'text':
    case 'enum':
      return 'text'
    case 'uuid':
    case 'date':
    case 'time':
    case 'interval':
      return type.kind
  }
}
