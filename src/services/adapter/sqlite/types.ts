import { joinSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'

/** Digits that a 64-bit float keeps in any decimal, and SQLite keeps decimals as floats. */
export const decimalDigitsMax = 15

/**
 * The type of a column from how it is declared. SQLite gives a column an affinity, not a type, so every value is still
 * checked. What the declaration does not pin down (dates, numerics without digits, no declaration) is text: the value as
 * SQLite prints it, exact.
 */
export function typeOf(declared: string): ColumnType {
  const name = declared.trim().toUpperCase()
  const decimal = /^(?:DECIMAL|NUMERIC|DEC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)$/.exec(name)
  if (decimal !== null) return decimalOf(Number(decimal[1]), Number(decimal[2] ?? 0))
  if (/^BOOL(EAN)?$/.test(name)) return { kind: 'bool' }
  // Before "INT", which SQLite itself looks for first, so that POINT or INTERVAL stay what they hold.
  if (name === 'INT2') return { kind: 'int', bits: 16 }
  if (name === 'INT4') return { kind: 'int', bits: 32 }
  if (/\b(?:BIG|MEDIUM|SMALL|TINY)?INT(?:EGER)?\d?\b/.test(name)) return { kind: 'int', bits: 64 }
  if (/CHAR|CLOB|TEXT/.test(name)) return { kind: 'text' }
  if (/BLOB/.test(name)) return { kind: 'bytes' }
  if (/REAL|FLOA|DOUB/.test(name)) return { kind: 'float', bits: 64 }
  return { kind: 'text' }
}

function decimalOf(precision: number, scale: number): ColumnType {
  const fits = precision >= 1 && precision <= decimalDigitsMax && scale <= precision
  return fits ? { kind: 'decimal', precision, scale } : { kind: 'text' }
}

/** True when SQLite itself turns every number stored in the column into text. */
export function hasTextAffinity(declared: string): boolean {
  const name = declared.toUpperCase()
  return !name.includes('INT') && /CHAR|CLOB|TEXT/.test(name)
}

/**
 * The value of a column as its type holds it, NULL when it does not: bool as 0 or 1, decimals as the integer without
 * their point, text with the numbers that were stored among it. Reading and totals both use it, so they mean the same.
 */
export function fitted(type: ColumnType, column: Ident): Sql {
  const value = sql`${column}`
  switch (type.kind) {
    case 'bool':
      return sql`case when typeof(${value}) = 'integer' and ${value} in (0, 1) then ${value} end`
    case 'int': {
      const limit = 1n << BigInt(type.bits - 1)
      const inside = type.bits === 64 ? sql`` : sql` and ${value} between ${-limit} and ${limit - 1n}`
      return sql`case when typeof(${value}) = 'integer'${inside} then ${value} end`
    }
    case 'decimal':
      return fittedDecimal(value, type)
    case 'float':
      // Integers among the floats (a view may give them) are taken while a float holds them exactly.
      return sql`case typeof(${value}) when 'real' then ${value} when 'integer' then
        case when ${value} between ${-(1n << 53n)} and ${1n << 53n} then cast(${value} as real) end end`
    case 'bytes':
      return sql`case when typeof(${value}) = 'blob' then ${value} end`
    default:
      return sql`case when typeof(${value}) <> 'blob' then cast(${value} as text) end`
  }
}

/**
 * 12.34 is stored as the float next to it. It is that decimal exactly when dividing 1234 by 100 gives the same float:
 * both are integers that a float holds, so the division rounds as the parser of "12.34" did.
 */
function fittedDecimal(value: Sql, type: Extract<ColumnType, { kind: 'decimal' }>): Sql {
  const power = 10n ** BigInt(type.scale)
  const most = 10n ** BigInt(type.precision) - 1n
  const whole = most / power
  const unscaled = sql`cast(round(${value} * ${power}.0) as integer)`
  return sql`case typeof(${value})
    when 'integer' then case when ${value} between ${-whole} and ${whole} then ${value} * ${power} end
    when 'real' then case when abs(${value}) < ${whole + 1n} and abs(${unscaled}) <= ${most}
      and ${unscaled} / ${power}.0 = ${value} then ${unscaled} end end`
}

/** Bytes of the values that differ in length, for the limit of a row. */
export function rowBytes(columns: readonly Ident[]): Sql {
  if (columns.length === 0) return sql`0`
  return joinSql(
    columns.map(column => sql`coalesce(octet_length(${column}), 0)`),
    ' + ',
  )
}
