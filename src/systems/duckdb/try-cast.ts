import { joinSql, rawSql, sql, type Sql } from '../../core/sql.ts'
import type { ColumnType } from '../../core/types.ts'

/**
 * A cast that gives NULL instead of another value. DuckDB's own TRY_CAST reads '12.345' as 12.35, '1.5' as the integer
 * 2, '2024-01-05x' as a date, and drops a time zone and what follows the microseconds. So a value passes only when its
 * text has a form that the type holds in full, or is the text of the result (a value of the same type).
 */
export function tryCast(arg: Sql, type: ColumnType, typeName: string): Sql {
  const text = sql`cast(${arg} as varchar)`
  const cast = sql`try_cast(${arg} as ${rawSql(typeName)})`
  // Numbers go by their text: 0.3 as a float would become the decimal 0.299999999999999989.
  const ofText = sql`try_cast(${text} as ${rawSql(typeName)})`
  switch (type.kind) {
    case 'text':
      return text
    case 'enum':
      return tryEnum(text, type.values)
    case 'json':
      return sql`case when json_valid(${text}) and not regexp_matches(${withoutStrings(text)}, ${laxJson}) then ${text} end`
    case 'bytes':
      return tryBytes(arg, text)
    case 'bool':
      return tryBool(text)
    case 'uuid':
      return cast
    case 'int':
      return tryExact(ofText, text, wholeNumber)
    case 'decimal':
      return tryExact(ofText, text, type.scale === 0 ? wholeNumber : decimalNumber(type.scale))
    case 'float':
      return tryFloat(ofText, text)
    case 'date':
      return tryTime(cast, text, dateOnly)
    case 'time':
      return tryTime(cast, text, timeOnly)
    case 'timestamp':
      return tryTime(cast, text, type.zoned ? moment : localTime)
    case 'interval':
      return sql`case when not regexp_matches(${text}, ${'\\.\\d{6}\\d*[1-9]'}) then ${cast} end`
  }
}

// DuckDB's json_valid also takes a comma behind the last element, NaN and the infinities, which no other reader does.
const laxJson = '(?i)na|i|,\\s*[\\]}]'

function withoutStrings(text: Sql): Sql {
  return sql`regexp_replace(${text}, ${'"([^"\\\\]|\\\\.)*"'}, '', 'g')`
}

// RE2 patterns of a whole text. DuckDB would also take 1_000 and 0x1F, which are names and typing errors elsewhere.
const wholeNumber = '\\s*[+-]?\\d+(\\.0*)?\\s*'
const scientific = '(?i)\\s*[+-]?(\\d+\\.?\\d*|\\.\\d+)e[+-]?\\d+\\s*'
const anyNumber = '(?i)\\s*[+-]?(\\d+\\.?\\d*|\\.\\d+)(e[+-]?\\d+)?\\s*'
const notFinite = '(?i)\\s*([+-]?inf(inity)?|nan)\\s*'
const day = '\\d{4,6}-\\d{1,2}-\\d{1,2}( \\(BC\\))?'
const clock = '\\d{1,2}:\\d{2}(:\\d{2}(\\.\\d{1,6}0*)?)?'
const dateOnly = `\\s*${day}([ T]00:00(:00(\\.0*)?)?)?\\s*`
const timeOnly = `\\s*${clock}\\s*`
const localTime = `\\s*${day}([ T]${clock})?\\s*`
const moment = `(?i)\\s*${day}([ T]${clock}( ?(Z|UTC|[+-]\\d{2}(:?\\d{2}(:?\\d{2})?)?))?)?\\s*`

function decimalNumber(scale: number): string {
  return `\\s*[+-]?(\\d+(\\.\\d{0,${scale}}0*)?|\\.\\d{1,${scale}}0*)\\s*`
}

/** Scientific notation passes when the result is the same number: it is how large and small floats are printed. */
function tryExact(cast: Sql, text: Sql, pattern: string): Sql {
  return sql`case
    when regexp_full_match(${text}, ${pattern}) then ${cast}
    when regexp_full_match(${text}, ${scientific}) and try_cast(${text} as double) = cast(${cast} as double) then ${cast} end`
}

/** A number too large for a float would be read as infinity. */
function tryFloat(cast: Sql, text: Sql): Sql {
  return sql`case
    when regexp_full_match(${text}, ${anyNumber}) and isfinite(${cast}) then ${cast}
    when regexp_full_match(${text}, ${notFinite}) then ${cast} end`
}

function tryTime(cast: Sql, text: Sql, pattern: string): Sql {
  return sql`case when cast(${cast} as varchar) = ${text} or regexp_full_match(${text}, ${pattern}) then ${cast} end`
}

function tryEnum(text: Sql, values: readonly string[]): Sql {
  if (values.length === 0) return sql`cast(null as varchar)`
  return sql`case when ${text} in (${joinSql(values.map(value => sql`${value}`))}) then ${text} end`
}

/** The spellings that PostgreSQL reads as well. */
function tryBool(text: Sql): Sql {
  return sql`case
    when lower(trim(${text})) in ('true', 't', 'yes', 'y', 'on', '1') then true
    when lower(trim(${text})) in ('false', 'f', 'no', 'n', 'off', '0') then false end`
}

/** Text is hexadecimal, with or without a leading \x. */
function tryBytes(arg: Sql, text: Sql): Sql {
  return sql`case
    when typeof(${arg}) = 'BLOB' then try_cast(${arg} as blob)
    when regexp_full_match(${text}, ${'(\\\\x)?([0-9a-fA-F]{2})*'}) then unhex(regexp_replace(${text}, ${'^\\\\x'}, '')) end`
}
