import { microsText } from '../../../core/cell-text.ts'
import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import type { FactColumn, SystemFacts } from './facts.ts'
import { plainKeyValue, standardLiteral } from './facts-generic.ts'
import { sqliteWrites } from './writes-sqlite.ts'

/** Digits that a 64-bit float keeps in any decimal, and SQLite keeps decimals as floats. */
const DECIMAL_DIGITS_MAX = 15

/** From the declaration; what it does not pin down is text, as in the adapter of SQLite files. */
function typeOf(declared: string): ColumnType {
  const name = declared.trim().toUpperCase()
  const decimal = /^(?:DECIMAL|NUMERIC|DEC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)$/.exec(name)
  if (decimal !== null) {
    const [precision, scale] = [Number(decimal[1]), Number(decimal[2] ?? 0)]
    const fits = precision >= 1 && precision <= DECIMAL_DIGITS_MAX && scale <= precision
    return fits ? { kind: 'decimal', precision, scale } : { kind: 'text' }
  }
  if (/^BOOL(EAN)?$/.test(name)) return { kind: 'bool' }
  if (name === 'INT2') return { kind: 'int', bits: 16 }
  if (name === 'INT4') return { kind: 'int', bits: 32 }
  if (/\b(?:BIG|MEDIUM|SMALL|TINY)?INT(?:EGER)?\d?\b/.test(name)) return { kind: 'int', bits: 64 }
  if (/CHAR|CLOB|TEXT/.test(name)) return { kind: 'text' }
  if (/BLOB/.test(name)) return { kind: 'bytes' }
  if (/REAL|FLOA|DOUB/.test(name)) return { kind: 'float', bits: 64 }
  return { kind: 'text' }
}

/**
 * Any column may hold a value of any type, and the driver would make a number of whatever stands there. So each value
 * is spelled by SQLite itself, and one of another type as words that no parser takes.
 */
function select({ type }: FactColumn, value: Sql): ReturnType<SystemFacts['select']> {
  const misfit = sql`typeof(${value}) || ' ' || quote(substr(${value}, 1, 250))`
  const only = (condition: Sql, then: Sql): Sql =>
    sql`case when ${value} is null then null when ${condition} then ${then} else ${misfit} end`
  switch (type.kind) {
    case 'bool':
      return {
        sql: only(sql`typeof(${value}) = 'integer' and ${value} in (0, 1)`, sql`cast(${value} as text)`),
        via: 'text',
      }
    case 'int':
      return { sql: only(sql`typeof(${value}) = 'integer'`, sql`cast(${value} as text)`), via: 'text' }
    case 'decimal': {
      // The decimal that is printed is the value only when it reads back as the same float. A cast to text may have an exponent.
      const printed = sql`case typeof(${value}) when 'integer' then cast(${value} as text) else printf(${`%.${type.scale}f`}, ${value}) end`
      const isExact = sql`typeof(${value}) = 'integer' or (typeof(${value}) = 'real' and cast(${printed} as real) = ${value})`
      return { sql: only(isExact, printed), via: 'text' }
    }
    case 'float':
      return {
        sql: only(
          sql`typeof(${value}) = 'real' or (typeof(${value}) = 'integer' and ${value} between ${-(1n << 53n)} and ${1n << 53n})`,
          // The driver and a cast keep 15 digits; 17 would do, but SQLite's own printing errs in the last of them.
          sql`printf('%!.20g', ${value})`,
        ),
        via: 'text',
      }
    case 'bytes':
      return { sql: only(sql`typeof(${value}) = 'blob'`, sql`hex(${value})`), via: 'hex' }
    default: {
      // The byte FF is in no text, so what is behind it is told as no text. The driver ends a text at its first NUL.
      const refused = sql`cast(x'ff' || cast(${misfit} as blob) as text)`
      return {
        sql: sql`case when ${value} is null then null
          when typeof(${value}) = 'blob' or instr(cast(${value} as blob), x'00') > 0 then ${refused} else cast(${value} as text) end`,
        via: 'utf8',
      }
    }
  }
}

/**
 * Times are text, most often ISO 8601 in UTC, which sorts as it reads. A text that is not ISO, or has a zone, cannot be
 * compared, and a date alone may mean any time of its day: such a row is read each time, so that none is lost.
 */
function since({ type }: FactColumn, column: Sql, micros: bigint): Sql | null {
  if (type.kind !== 'text') return null
  const value = sql`replace(cast(${column} as text), 'T', ' ')`
  const isIso = sql`${value} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' and substr(${value}, 11) not glob '*[-+]*'`
  const from = microsText(micros, false)
  const isBefore = sql`${value} < case length(${value}) when 10 then ${from.slice(0, 10)} else ${from} end`
  return sql`(${column} is not null and not (${isIso} and ${isBefore}))`
}

/** SQLite through the driver of Christian Werner. */
export const sqliteSystem: SystemFacts = {
  isOf: dbms => /sqlite/i.test(dbms),
  isolations: null,
  session: [],
  // The view of a transaction is that of its first read.
  begin: ['select count(*) from sqlite_master'],
  clockMicros: null,
  hasSnapshot: true,
  defaultSchema: null,
  declaredTypes: (_, table) => sql`
    select null, m.name, x.name, x.type, case when x."notnull" = 0 and x.pk = 0 then 'YES' else 'NO' end
    from sqlite_master m, pragma_table_xinfo(m.name) x
    where m.type in ('table', 'view') and x.hidden <> 1 and m.name = coalesce(${table}, m.name) order by x.cid`,
  typeOf,
  select,
  byBytes: value => sql`cast(${value} as text) collate binary`,
  ordered: ({ type }, value) => (type.kind === 'text' ? sql`cast(${value} as text) collate binary` : value),
  keyText: ({ type }, value) => (type.kind === 'bytes' ? sql`hex(${value})` : sql`cast(${value} as text)`),
  keyValue: (column, text) =>
    column.type.kind === 'bytes' && /^[0-9a-f]*$/i.test(text) ? rawSql(`x'${text}'`) : plainKeyValue(column, text),
  since,
  nth: (skip: number): Sql => rawSql(` limit 1 offset ${skip}`),
  literal: standardLiteral,
  totals: null,
  writes: sqliteWrites(typeOf, DECIMAL_DIGITS_MAX),
  queries: {
    make: query => [sql`create temporary view naru_query as ${query}`],
    columns: sql`select name, type from pragma_table_xinfo('naru_query') order by cid`,
    drop: sql`drop view temp.naru_query`,
  },
}
