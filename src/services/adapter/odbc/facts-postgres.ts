import { microsText } from '../../../core/cell-text.ts'
import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { TXN } from './constants.ts'
import type { SystemFacts } from './facts.ts'
import { momentText, standardLiteral } from './facts-generic.ts'
import { postgresTotals } from './totals-postgres.ts'
import { postgresWrites } from './writes-postgres.ts'

const plain: Readonly<Record<string, ColumnType>> = {
  boolean: { kind: 'bool' },
  smallint: { kind: 'int', bits: 16 },
  integer: { kind: 'int', bits: 32 },
  bigint: { kind: 'int', bits: 64 },
  real: { kind: 'float', bits: 32 },
  'double precision': { kind: 'float', bits: 64 },
  bytea: { kind: 'bytes' },
  uuid: { kind: 'uuid' },
  json: { kind: 'json' },
  jsonb: { kind: 'json' },
  date: { kind: 'date' },
}

/** `format_type` spells a type and its modifiers. What is not here is text: the server's own cast. */
function typeOf(declared: string): ColumnType {
  const known = plain[declared]
  if (known !== undefined) return known
  const numeric = /^numeric\((\d+),(-?\d+)\)$/.exec(declared)
  if (numeric !== null) {
    const [precision, scale] = [Number(numeric[1]), Number(numeric[2])]
    return precision <= 38 && scale >= 0 && scale <= precision
      ? { kind: 'decimal', precision, scale }
      : { kind: 'text' }
  }
  if (/^time(\(\d\))? without time zone$/.test(declared)) return { kind: 'time' }
  if (/^timestamp(\(\d\))? without time zone$/.test(declared)) return { kind: 'timestamp', zoned: false }
  if (/^timestamp(\(\d\))? with time zone$/.test(declared)) return { kind: 'timestamp', zoned: true }
  return { kind: 'text' }
}

/** Types whose value the driver gives unaltered; the others are cast by the server, which spells them exactly. */
const unaltered: readonly ColumnType['kind'][] = ['bool', 'int', 'float', 'bytes']

/** PostgreSQL through psqlODBC. */
export const postgresSystem: SystemFacts = {
  isOf: dbms => /postgres/i.test(dbms),
  isolations: TXN.REPEATABLE_READ,
  session: [
    `set timezone = 'UTC'`,
    `set datestyle = 'ISO, YMD'`,
    `set intervalstyle = 'postgres'`,
    'set extra_float_digits = 3',
    `set bytea_output = 'hex'`,
    'set standard_conforming_strings = on',
  ],
  begin: [],
  clockMicros: 'select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)',
  hasSnapshot: true,
  defaultSchema: 'select current_schema()',
  declaredTypes: (schema, table) => sql`
    select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
      case when a.attnotnull then 'NO' else 'YES' end
    from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where a.attnum > 0 and not a.attisdropped and n.nspname not in ('pg_catalog', 'information_schema')
      and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname = coalesce(${schema}, n.nspname)
      and c.relname = coalesce(${table}, c.relname)
    order by a.attnum`,
  typeOf,
  select: ({ type }, value) => {
    if (unaltered.includes(type.kind)) return { sql: value, via: 'native' }
    const isLong = type.kind === 'text' || type.kind === 'json'
    return { sql: sql`cast(${value} as text)`, via: isLong ? 'native' : 'text' }
  },
  ordered: (_, value) => value,
  byBytes: value => sql`cast(${value} as text) collate "C"`,
  keyText: (_, value) => sql`cast(${value} as text)`,
  // A literal without a type takes the type of the column that it is compared with.
  keyValue: (_, text) => sql`${text}`,
  since: ({ type }, value, micros) => {
    const moment = momentText(type, micros)
    if (moment === null) return null
    return type.kind === 'timestamp' && type.zoned
      ? sql`${value} >= ${microsText(micros, true)}`
      : sql`${value} >= ${moment}`
  },
  nth: (skip: number): Sql => rawSql(` offset ${skip} limit 1`),
  literal: standardLiteral,
  totals: postgresTotals,
  writes: postgresWrites,
  queries: {
    make: query => [sql`savepoint naru_query`, sql`create temporary view naru_query as ${query}`],
    columns: sql`select attname, format_type(atttypid, atttypmod) from pg_catalog.pg_attribute
      where attrelid = cast('pg_temp.naru_query' as regclass) and attnum > 0 order by attnum`,
    drop: sql`rollback to savepoint naru_query`,
  },
}
