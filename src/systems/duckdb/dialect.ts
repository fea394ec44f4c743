import { fail } from '../../core/errors.ts'
import type { Dialect } from '../../core/sql.ts'
import type { ColumnType } from '../../core/types.ts'
import { duckdbFunction } from './functions.ts'
import { duckdbCall } from './dialect-functions.ts'
import { tryCast } from './try-cast.ts'

/** DuckDB's SQL. Times are in UTC: the engine sets its session so. */
export const duckdbDialect: Dialect = {
  // DuckDB has no limit of its own; no system that we read from allows more.
  identBytesMax: 1024,
  quote: name => `"${name.replaceAll('"', '""')}"`,
  literal,
  type: typeName,
  fn: duckdbFunction,
  tryCast: (arg, type) => tryCast(arg, type, typeName(type)),
  call: duckdbCall,
}

/**
 * Up to 15 digits stay a decimal, exact beside decimals. With more, DuckDB would turn the decimal into a double by a
 * division that may be off by one unit in the last place; a text with an exponent is read as the double itself.
 */
function floatText(value: number): string {
  const text = String(value)
  const digits = text.replace(/e.*$/, '').replace(/\D/g, '')
  return digits.length <= 15 ? text : value.toExponential()
}

function literal(value: string | number | bigint | boolean | null): string {
  switch (typeof value) {
    case 'string':
      return textLiteral(value)
    case 'number':
      if (!Number.isFinite(value)) throw fail('LITERAL_INVALID', { why: `${value} is not a finite number` })
      return numberLiteral(floatText(value))
    case 'bigint':
      // Beyond 38 digits DuckDB would read a float, and round.
      if (String(value).length > 38) throw fail('LITERAL_INVALID', { why: `${value} has more than 37 digits` })
      return numberLiteral(String(value))
    case 'boolean':
      return String(value)
    default:
      return 'null'
  }
}

/** In parentheses when negative: `a -${-1}` would begin a comment. */
function numberLiteral(text: string): string {
  return text.startsWith('-') ? `(${text})` : text
}

function textLiteral(value: string): string {
  if (value.includes('\0')) throw fail('LITERAL_INVALID', { why: 'it holds a NUL character' })
  if (/\p{Surrogate}/u.test(value)) throw fail('LITERAL_INVALID', { why: 'it holds half of a UTF-16 pair' })
  return `'${value.replaceAll("'", "''")}'`
}

function typeName(type: ColumnType): string {
  switch (type.kind) {
    case 'bool':
      return 'BOOLEAN'
    case 'int':
      return type.bits === 16 ? 'SMALLINT' : type.bits === 32 ? 'INTEGER' : 'BIGINT'
    case 'float':
      return type.bits === 32 ? 'FLOAT' : 'DOUBLE'
    case 'decimal':
      return `DECIMAL(${type.precision},${type.scale})`
    // Enums keep their text, so that a new value of the source is data and not a change of the table;
    // JSON keeps its bytes, which DuckDB's own type does not promise.
    case 'text':
    case 'enum':
    case 'json':
      return 'VARCHAR'
    case 'bytes':
      return 'BLOB'
    case 'uuid':
      return 'UUID'
    case 'date':
      return 'DATE'
    case 'time':
      return 'TIME'
    case 'timestamp':
      return type.zoned ? 'TIMESTAMPTZ' : 'TIMESTAMP'
    case 'interval':
      return 'INTERVAL'
  }
}
