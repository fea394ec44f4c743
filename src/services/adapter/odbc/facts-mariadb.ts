import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { TXN } from './constants.ts'
import type { FactColumn, SystemFacts } from './facts.ts'
import { momentText, plainKeyValue, standardLiteral } from './facts-generic.ts'
import { mariadbTotals } from './totals-mariadb.ts'
import { mariadbWrites } from './writes-mariadb.ts'

const int = (bits: 16 | 32 | 64): ColumnType => ({ kind: 'int', bits })
const unsigned64: ColumnType = { kind: 'decimal', precision: 20, scale: 0 }

/** Types by their first word: without and with `unsigned`. */
const integers: Readonly<Record<string, readonly [ColumnType, ColumnType]>> = {
  tinyint: [int(16), int(16)],
  smallint: [int(16), int(32)],
  mediumint: [int(32), int(32)],
  int: [int(32), int(64)],
  bigint: [int(64), unsigned64],
}

const others: Readonly<Record<string, ColumnType>> = {
  float: { kind: 'float', bits: 64 },
  double: { kind: 'float', bits: 64 },
  year: int(16),
  date: { kind: 'date' },
  time: { kind: 'time' },
  datetime: { kind: 'timestamp', zoned: false },
  timestamp: { kind: 'timestamp', zoned: true },
  uuid: { kind: 'uuid' },
}

/** `information_schema` spells a type: `int(10) unsigned`, `decimal(10,2)`. */
function typeOf(declared: string): ColumnType {
  const name = declared.toLowerCase()
  const word = /^[a-z]+/.exec(name)?.[0] ?? ''
  const integer = integers[word]
  if (integer !== undefined) return name.includes('unsigned') ? integer[1] : integer[0]
  if (word === 'decimal') {
    const [, precision, scale] = /^decimal\((\d+),(\d+)\)/.exec(name) ?? []
    return Number(precision) <= 38
      ? { kind: 'decimal', precision: Number(precision), scale: Number(scale) }
      : { kind: 'text' }
  }
  if (word === 'bit') return name === 'bit(1)' ? { kind: 'bool' } : unsigned64
  if (/^(tiny|medium|long)?blob|^(var)?binary|^geometry|^point|^linestring|^polygon|^multi/.test(name))
    return { kind: 'bytes' }
  return others[word] ?? { kind: 'text' }
}

function select({ type, nativeType }: FactColumn, value: Sql): ReturnType<SystemFacts['select']> {
  switch (type.kind) {
    case 'int':
      return /^year/i.test(nativeType)
        ? { sql: sql`cast(${value} as signed)`, via: 'native' }
        : { sql: value, via: 'native' }
    case 'bool':
      return { sql: sql`cast(${value} as unsigned)`, via: 'text' }
    // As a double: the server itself prints a float with six digits.
    case 'float':
      return { sql: /^float/i.test(nativeType) ? sql`cast(${value} as double)` : value, via: 'native' }
    case 'decimal':
      return { sql: /^bit/i.test(nativeType) ? sql`cast(${value} as unsigned)` : value, via: 'text' }
    case 'bytes':
      return { sql: value, via: 'native' }
    case 'text':
      return { sql: value, via: 'utf8' }
    default:
      return { sql: sql`cast(${value} as char)`, via: 'text' }
  }
}

/** MariaDB and MySQL through MariaDB Connector/ODBC. */
export const mariadbSystem: SystemFacts = {
  isOf: dbms => /maria|mysql/i.test(dbms),
  isolations: TXN.REPEATABLE_READ,
  session: [
    `set time_zone = '+00:00', sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,ANSI_QUOTES,NO_ENGINE_SUBSTITUTION', group_concat_max_len = 1048576`,
  ],
  begin: ['start transaction with consistent snapshot'],
  clockMicros: 'select cast(unix_timestamp(now(6)) * 1000000 as signed)',
  hasSnapshot: true,
  defaultSchema: null,
  declaredTypes: (_, table) => sql`
    select null, table_name, column_name, column_type, is_nullable from information_schema.columns
    where table_schema = database() and table_name = coalesce(${table}, table_name) order by ordinal_position`,
  typeOf,
  select,
  ordered: (_, value) => value,
  byBytes: value => sql`cast(convert(${value} using utf8mb4) as binary)`,
  keyText: ({ type }, value) => (type.kind === 'bytes' ? sql`hex(${value})` : sql`cast(${value} as char)`),
  keyValue: (column, text) =>
    column.type.kind === 'bytes' && /^[0-9a-f]*$/i.test(text) ? rawSql(`x'${text}'`) : plainKeyValue(column, text),
  since: ({ type }, value, micros) => {
    const moment = momentText(type, micros)
    return moment === null ? null : sql`${value} >= ${moment}`
  },
  nth: (skip: number): Sql => rawSql(` limit 1 offset ${skip}`),
  literal: standardLiteral,
  totals: mariadbTotals,
  writes: mariadbWrites(typeOf),
  queries: {
    make: query => [sql`create temporary table naru_query as ${query} limit 0`],
    columns: sql`show columns from naru_query`,
    drop: sql`drop temporary table naru_query`,
  },
}
