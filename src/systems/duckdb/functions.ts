import type { FnName } from '../../core/expr.ts'
import { joinSql, rawSql, sql, type Sql } from '../../core/sql.ts'
import type { ColumnType } from '../../core/types.ts'

type Compile = (args: readonly Sql[], type: ColumnType) => Sql

/** White space as JavaScript's `trim` knows it: for `trim`, and as an RE2 class. */
const SPACES =
  '\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'
const SPACES_RE2 = '[\\t\\n\\v\\f\\r\\p{Z}\\x{feff}]+'

/** SQL of one portable function. */
export function duckdbFunction(name: FnName, args: readonly Sql[], type: ColumnType): Sql {
  return functions[name](args, type)
}

const functions: { readonly [N in FnName]: Compile } = {
  trim: ([text]) => trim(text as Sql),
  lower: args => call('lower', args),
  upper: args => call('upper', args),
  /** From a position counted from 1, in characters. */
  substring: args => call('substring', args),
  /** NULL when one part is NULL. */
  concat: args =>
    sql`(${joinSql(
      args.map(arg => sql`cast(${arg} as varchar)`),
      ' || ',
    )})`,
  length: (args, type) => as(call('length', args), type),
  replace: args => call('replace', args),
  /** True when the pattern (RE2) is found anywhere. */
  matches: args => call('regexp_matches', args),
  /** Replaces every match (RE2); `\1` is the first group. */
  replacePattern: args => sql`regexp_replace(${joinSql(args)}, 'g')`,
  /** Unicode normal form C, white space collapsed and trimmed. */
  normalize: ([text]) => trim(sql`regexp_replace(nfc_normalize(${text as Sql}), ${SPACES_RE2}, ' ', 'g')`),

  add: arithmetic('+'),
  subtract: arithmetic('-'),
  multiply: ([a, b], type) =>
    // Casting the factors of a decimal would round them, or pass the 38 digits; their product has all their places.
    type.kind === 'decimal'
      ? as(sql`(${type.precision > 18 ? inWideDecimal(a as Sql) : (a as Sql)} * ${b as Sql})`, type)
      : sql`(${as(a as Sql, type)} * ${as(b as Sql, type)})`,
  divide: ([a, b], type) => divide(a as Sql, b as Sql, type),
  negate: ([a], type) => sql`(-${as(a as Sql, type)})`,
  abs: ([a], type) => sql`abs(${as(a as Sql, type)})`,
  /** Half away from zero. */
  round: (args, type) => as(call('round', args), type),

  eq: operator('='),
  ne: operator('<>'),
  lt: operator('<'),
  le: operator('<='),
  gt: operator('>'),
  ge: operator('>='),
  and: operator('and'),
  or: operator('or'),
  not: ([a]) => sql`(not ${a as Sql})`,
  isNull: ([a]) => sql`(${a as Sql} is null)`,
  coalesce: args => call('coalesce', args),

  year: (args, type) => as(call('year', args), type),
  month: (args, type) => as(call('month', args), type),
  day: (args, type) => as(call('day', args), type),
  /** The date in UTC; give `inZone` for another place. */
  dateOf: ([time]) => sql`cast(${time as Sql} as date)`,
  /** A moment as the clock of that zone shows it, or the other way round. */
  inZone: ([time, zone]) => sql`timezone(${zone as Sql}, ${time as Sql})`,
}

function trim(text: Sql): Sql {
  return sql`trim(${text}, ${SPACES})`
}

function call(name: string, args: readonly Sql[]): Sql {
  return sql`${rawSql(name)}(${joinSql(args)})`
}

function operator(symbol: string): Compile {
  return args => sql`(${joinSql(args, ` ${symbol} `)})`
}

/** In the type of the result, so that an overflow is an error only when the result does not fit. */
function arithmetic(symbol: string): Compile {
  return (args, type) =>
    operator(symbol)(
      args.map(arg => as(arg, type)),
      type,
    )
}

function as(value: Sql, type: ColumnType): Sql {
  switch (type.kind) {
    case 'int':
      return sql`cast(${value} as ${rawSql(type.bits === 16 ? 'smallint' : type.bits === 32 ? 'integer' : 'bigint')})`
    case 'float':
      return sql`cast(${value} as ${rawSql(type.bits === 32 ? 'float' : 'double')})`
    case 'decimal':
      return sql`cast(${value} as ${decimal(type.precision, type.scale)})`
    default:
      return value
  }
}

/** Products of decimals with up to 18 digits stay in 64 bits and overflow: one factor of 19 digits makes them 128. */
function inWideDecimal(value: Sql): Sql {
  return sql`(${value} * cast(1 as decimal(19, 0)))`
}

function decimal(precision: number, scale: number): Sql {
  return rawSql(`decimal(${precision},${scale})`)
}

/** NULL when the divisor is zero. */
function divide(a: Sql, b: Sql, type: ColumnType): Sql {
  if (type.kind !== 'decimal') {
    const float: ColumnType = type.kind === 'float' ? type : { kind: 'float', bits: 64 }
    return as(sql`(${as(a, float)} / nullif(${as(b, float)}, 0))`, type)
  }
  return divideExactly(a, b, type.precision, type.scale)
}

/**
 * DuckDB divides decimals as floats. Here both become whole numbers of the result's smallest unit, are divided as
 * 128-bit integers, and are rounded half away from zero. The result's scale must be at least the operands' scales.
 */
function divideExactly(a: Sql, b: Sql, precision: number, scale: number): Sql {
  const unit = rawSql(`${10n ** BigInt(scale)}::hugeint`)
  const units = (value: Sql): Sql =>
    sql`cast(cast(${value} as ${decimal(38, scale)}) * ${rawSql(`${10n ** BigInt(scale)}::decimal(38,0)`)} as hugeint)`
  const top = sql`(abs(${units(a)}) * ${unit})`
  const bottom = sql`nullif(abs(${units(b)}), 0)`
  const rounded = sql`((2 * ${top} + ${bottom}) // (2 * ${bottom}))`
  const sign = sql`(sign(${a}) * sign(${b}))`
  const smallest = rawSql(scale === 0 ? '1' : `0.${'1'.padStart(scale, '0')}`)
  return sql`cast(cast(${sign} * ${rounded} as decimal(38,0)) * ${smallest} as ${decimal(precision, scale)})`
}
