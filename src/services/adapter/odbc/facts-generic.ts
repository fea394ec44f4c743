import { microsText } from '../../../core/cell-text.ts'
import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { SQLT } from './constants.ts'
import type { FactColumn, SystemFacts } from './facts.ts'

/** A clock on a wall shows at most so much less than UTC: what is stamped without a zone is read again from there on. */
const WALL_BEHIND_MICROS = 12n * 3_600_000_000n

/** A moment as every system reads it, in UTC. A column without a zone is compared with the earliest wall clock. */
export function momentText(type: ColumnType, micros: bigint): string | null {
  if (type.kind === 'timestamp' && type.zoned) return microsText(micros, false)
  if (type.kind === 'timestamp') return microsText(micros - WALL_BEHIND_MICROS, false)
  if (type.kind === 'date') return microsText(micros - WALL_BEHIND_MICROS, false).slice(0, 10)
  return null
}

/** A number stands bare, so that no system compares it as a float or as text; everything else is a value. */
export function plainKeyValue({ type }: FactColumn, text: string): Sql {
  const isNumber = (type.kind === 'int' || type.kind === 'decimal') && /^-?\d+(\.\d+)?$/.test(text)
  return isNumber ? rawSql(text) : sql`${text}`
}

/** Standard SQL. A backslash is a letter in it; only systems that are known to agree get texts as literals. */
export function standardLiteral(value: string | number | bigint | boolean | null): string {
  if (value === null) return 'null'
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value)
}

/** The column type of what a driver's catalog tells: SQL type, size, digits, and whether the name says unsigned. Unknown types are text. */
export function reflectedType(sqlType: number, size: number, digits: number, isUnsigned = false): ColumnType {
  if (isUnsigned && sqlType === SQLT.SMALLINT) return { kind: 'int', bits: 32 }
  if (isUnsigned && sqlType === SQLT.INTEGER) return { kind: 'int', bits: 64 }
  if (isUnsigned && sqlType === SQLT.BIGINT) return { kind: 'decimal', precision: 20, scale: 0 }
  switch (sqlType) {
    case SQLT.BIT:
      return { kind: 'bool' }
    case SQLT.TINYINT:
    case SQLT.SMALLINT:
      return { kind: 'int', bits: 16 }
    case SQLT.INTEGER:
      return { kind: 'int', bits: 32 }
    case SQLT.BIGINT:
      return { kind: 'int', bits: 64 }
    case SQLT.REAL:
      return { kind: 'float', bits: 32 }
    case SQLT.FLOAT:
    case SQLT.DOUBLE:
      return { kind: 'float', bits: 64 }
    case SQLT.DECIMAL:
    case SQLT.NUMERIC:
      return size >= 1 && size <= 38 && digits >= 0 && digits <= size
        ? { kind: 'decimal', precision: size, scale: digits }
        : { kind: 'text' }
    case SQLT.DATE:
      return { kind: 'date' }
    case SQLT.TIME:
      return { kind: 'time' }
    case SQLT.TIMESTAMP:
      return { kind: 'timestamp', zoned: false }
    case SQLT.BINARY:
    case SQLT.VARBINARY:
    case SQLT.LONGVARBINARY:
      return { kind: 'bytes' }
    case SQLT.GUID:
      return { kind: 'uuid' }
    default:
      return { kind: 'text' }
  }
}

/** A system of which nothing is known but what its driver tells. */
export const genericSystem: SystemFacts = {
  isOf: () => true,
  isolations: null,
  session: [],
  begin: [],
  clockMicros: null,
  hasSnapshot: false,
  defaultSchema: null,
  declaredTypes: null,
  typeOf: () => ({ kind: 'text' }),
  select: ({ type }, value) => ({
    sql: value,
    via: ['decimal', 'time', 'uuid'].includes(type.kind) ? 'text' : 'native',
  }),
  ordered: (_, value) => value,
  byBytes: null,
  keyText: (_, value) => value,
  keyValue: plainKeyValue,
  since: ({ type }, value, micros) => {
    const moment = momentText(type, micros)
    return moment === null ? null : sql`${value} >= ${moment}`
  },
  nth: null,
  // Texts become parameters: see `genericDialect`.
  literal: standardLiteral,
  totals: null,
  writes: null,
  queries: null,
}
