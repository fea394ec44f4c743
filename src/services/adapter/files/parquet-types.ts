import { ident, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnDef, ColumnType } from '../../../core/types.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'

/** How a column of a file becomes the declared one, and when a value of it cannot. */
export interface Conversion {
  readonly value: Sql
  /** True where the value is lost; `null` when that cannot be. */
  readonly fault: Sql | null
}

const numbers = /^(?:U?(?:TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\))$/
const instants = /^(?:DATE|TIMESTAMP(?:_S|_MS|_NS)?|TIMESTAMPTZ)$/
const times = /^TIME(?:_NS)?$/
const wide = ' of more digits than can be read'
const nested = /\]$|^(?:STRUCT|MAP|UNION|VARIANT)\b/

/**
 * The conversion of a column whose type in the file is `foundType`, in DuckDB's words; `null` when there is none. What it
 * changes is cast back and compared, so that a value arrives exactly or not at all.
 */
export function conversionOf({ name, type }: ColumnDef, foundType: string): Conversion | null {
  const found = foundType === 'TIMESTAMP WITH TIME ZONE' ? 'TIMESTAMPTZ' : foundType
  const given = sql`${ident(name)}`
  const wanted = duckdbDialect.type(type)
  if (isJsonText(type, found)) return { value: given, fault: null }
  if (found === wanted) return { value: given, fault: null }
  if (found.endsWith(wide)) return null
  if (nested.test(found)) return type.kind === 'json' || type.kind === 'text' ? jsonOf(given) : null
  if (wanted === 'VARCHAR') return textOf(given, type, found)
  if (found === 'VARCHAR' || found.startsWith('ENUM')) {
    const value = duckdbDialect.tryCast(sql`cast(${given} as varchar)`, type)
    return checked(value, sql`${value} is null`)
  }
  const alike = [numbers, instants, times].some(group => group.test(found) && group.test(wanted))
  if (!alike) return null
  const value = sql`try_cast(${given} as ${rawSql(wanted)})`
  return checked(value, sql`try_cast(${value} as ${rawSql(found)}) is distinct from ${given}`)

  function checked(value: Sql, fault: Sql): Conversion {
    return { value, fault: sql`${given} is not null and (${fault})` }
  }
}

/** NaN and the infinities come as words, which are no JSON: every value is looked at when it is copied. */
function jsonOf(given: Sql): Conversion {
  return { value: sql`cast(to_json(${given}) as varchar)`, fault: null }
}

function isJsonText(type: ColumnType, found: string): boolean {
  return type.kind === 'json' && (found === 'VARCHAR' || found === 'JSON')
}

function textOf(given: Sql, type: ColumnType, found: string): Conversion {
  if (type.kind === 'json') return jsonOf(given)
  if (found !== 'BLOB') return { value: sql`cast(${given} as varchar)`, fault: null }
  const value = sql`try(decode(${given}))`
  return { value, fault: sql`${given} is not null and ${value} is null` }
}

const typesByName: Readonly<Record<string, ColumnType>> = {
  BOOLEAN: { kind: 'bool' },
  TINYINT: { kind: 'int', bits: 16 },
  UTINYINT: { kind: 'int', bits: 16 },
  SMALLINT: { kind: 'int', bits: 16 },
  USMALLINT: { kind: 'int', bits: 32 },
  INTEGER: { kind: 'int', bits: 32 },
  UINTEGER: { kind: 'int', bits: 64 },
  BIGINT: { kind: 'int', bits: 64 },
  UBIGINT: { kind: 'decimal', precision: 20, scale: 0 },
  FLOAT: { kind: 'float', bits: 32 },
  DOUBLE: { kind: 'float', bits: 64 },
  BLOB: { kind: 'bytes' },
  UUID: { kind: 'uuid' },
  JSON: { kind: 'json' },
  DATE: { kind: 'date' },
  TIME: { kind: 'time' },
  TIMESTAMP: { kind: 'timestamp', zoned: false },
  TIMESTAMP_S: { kind: 'timestamp', zoned: false },
  TIMESTAMP_MS: { kind: 'timestamp', zoned: false },
  TIMESTAMP_NS: { kind: 'timestamp', zoned: false },
  'TIMESTAMP WITH TIME ZONE': { kind: 'timestamp', zoned: true },
  INTERVAL: { kind: 'interval' },
}

/** What a column is called whose decimals have more digits than the engine reads: there is no conversion from it. */
export function wideDecimal(precision: number, scale: number): string {
  return `DECIMAL(${precision},${scale})${wide}`
}

/** The type that holds every value of a column of `found`, in DuckDB's words; what has none is text. */
export function describedType(found: string): { readonly type: ColumnType; readonly nativeType: string } {
  if (found.endsWith(wide)) return { type: { kind: 'text' }, nativeType: `${found}: leave it out` }
  if (nested.test(found)) return { type: { kind: 'json' }, nativeType: found }
  const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(found)
  if (decimal !== null) {
    return { type: { kind: 'decimal', precision: Number(decimal[1]), scale: Number(decimal[2]) }, nativeType: found }
  }
  const type = Object.hasOwn(typesByName, found) ? (typesByName[found] as ColumnType) : ({ kind: 'text' } as const)
  // Others of the same column are whole microseconds more often than not, and then nothing is lost.
  const note = found === 'TIMESTAMP_NS' ? ', rows with parts of a microsecond are set aside' : ''
  return { type, nativeType: `${found}${note}` }
}
