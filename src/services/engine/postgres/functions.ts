import { fail } from '../../../core/errors.ts'
import type { FnName } from '../../../core/expr.ts'
import { asText } from '../../../core/dialect-functions.ts'
import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { translatePattern } from './pattern.ts'

type Compile = (args: readonly Sql[], type: ColumnType) => Sql

/** White space as JavaScript's `trim` knows it: for `trim`, and as an RE2 class. */
const SPACES =
  '\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'
const spacesPattern = translatePattern('[\\t\\n\\v\\f\\r\\p{Z}\\x{feff}]+').text

/** SQL of one portable function. */
export function postgresFunction(name: FnName, args: readonly Sql[], type: ColumnType): Sql {
  return functions[name](args, type)
}

const functions: { readonly [N in FnName]: Compile } = {
  trim: ([text]) => sql`btrim(${text as Sql}, ${SPACES})`,
  lower: ([text]) => cased('lower', text as Sql),
  // Unicode's simple upper case leaves it; the other engine takes its capital.
  upper: ([text]) => cased('upper', sql`replace(${text as Sql}, 'ß', 'ẞ')`),
  substring: args => call('substring', args),
  concat: args => sql`(${joinSql(args.map(asText), ' || ')})`,
  length: (args, type) => as(call('length', args), type),
  replace: args => call('replace', args),
  matches: ([text, pattern]) => {
    const { text: translated } = translatePattern(literalOf(pattern as Sql, 'matches'))
    return sql`(cast(${text as Sql} as text) collate "C" ~ ${translated})`
  },
  replacePattern: ([text, pattern, by]) => {
    const written = literalOf(pattern as Sql, 'replacePattern')
    const { text: translated, sameExtent } = translatePattern(written)
    if (!sameExtent) {
      const why =
        'its matches may end elsewhere there: it has alternatives, a lazy repetition, a repeated group or may be empty'
      throw fail('ENGINE_CANNOT', { engine: 'postgres', what: `replacing by the pattern /${written}/`, why })
    }
    const replacement = literalOf(by as Sql, 'replacePattern').replaceAll('\\0', '\\&')
    return sql`(regexp_replace(cast(${text as Sql} as text) collate "C", ${translated}, ${replacement}, 'g') collate "default")`
  },
  normalize: ([text]) =>
    sql`btrim(regexp_replace(normalize(${text as Sql}, nfc) collate "C", ${spacesPattern}, ' ', 'g') collate "default", ${SPACES})`,

  add: arithmetic('+'),
  subtract: arithmetic('-'),
  multiply: ([a, b], type) =>
    type.kind === 'decimal'
      ? as(sql`(${a as Sql} * ${b as Sql})`, type)
      : sql`(${as(a as Sql, type)} * ${as(b as Sql, type)})`,
  divide: ([a, b], type) => divide(a as Sql, b as Sql, type),
  negate: ([a], type) => sql`(-${as(a as Sql, type)})`,
  abs: ([a], type) => sql`abs(${as(a as Sql, type)})`,
  round: ([a, digits], type) => round(a as Sql, digits as Sql, type),

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

  year: ([time], type) => as(sql`naru_sql.year(${time as Sql})`, type),
  month: ([time], type) => field('month', time as Sql, type),
  day: ([time], type) => field('day', time as Sql, type),
  dateOf: ([time]) => sql`cast(${time as Sql} as date)`,
  inZone: ([time, zone]) => sql`timezone(${zone as Sql}, ${time as Sql})`,
}

/** By the tables of Unicode, whatever the locale of the database; comparisons stay by bytes. */
function cased(name: 'lower' | 'upper', text: Sql): Sql {
  return sql`(${rawSql(name)}(cast(${text} as text) collate "pg_c_utf8") collate "default")`
}

/** A pattern is part of the configuration, never a value of a row. */
function literalOf(piece: Sql, what: string): string {
  const [part] = piece.parts
  if (piece.parts.length === 1 && typeof part === 'object' && 'value' in part && typeof part.value === 'string') {
    return part.value
  }
  throw fail('ENGINE_CANNOT', { engine: 'postgres', what, why: 'its pattern is not written in the configuration' })
}

function field(name: 'month' | 'day', time: Sql, type: ColumnType): Sql {
  return as(sql`case when isfinite(${time}) then extract(${rawSql(name)} from ${time}) end`, type)
}

function call(name: string, args: readonly Sql[]): Sql {
  return sql`${rawSql(name)}(${joinSql(args)})`
}

function operator(symbol: string): Compile {
  return args => sql`(${joinSql(args, ` ${symbol} `)})`
}

function arithmetic(symbol: string): Compile {
  return (args, type) =>
    operator(symbol)(
      args.map(arg => as(arg, type)),
      type,
    )
}

/** A float is rounded half away from zero; the server would round its binary form to even. */
function round(value: Sql, digits: Sql, type: ColumnType): Sql {
  if (type.kind !== 'float') return as(sql`round(${value}, ${digits})`, type)
  const finite = sql`abs(${value}) < cast('infinity' as double precision)`
  return as(sql`case when ${finite} then round(cast(${value} as numeric), ${digits}) else ${value} end`, type)
}

function divide(a: Sql, b: Sql, type: ColumnType): Sql {
  if (type.kind === 'decimal') {
    const { scale } = type
    const unit = rawSql(scale === 0 ? '1' : `0.${'1'.padStart(scale, '0')}`)
    return as(sql`naru_sql.divide(${a}, ${b}, ${10n ** BigInt(scale)}, ${unit})`, type)
  }
  const float: ColumnType = type.kind === 'float' ? type : { kind: 'float', bits: 64 }
  return as(sql`(${as(a, float)} / nullif(${as(b, float)}, 0))`, type)
}

function as(value: Sql, type: ColumnType): Sql {
  switch (type.kind) {
    case 'int':
      return sql`cast(${value} as ${rawSql(type.bits === 16 ? 'smallint' : type.bits === 32 ? 'integer' : 'bigint')})`
    case 'float':
      return sql`cast(${value} as ${rawSql(type.bits === 32 ? 'real' : 'double precision')})`
    case 'decimal':
      return sql`cast(${value} as numeric(${rawSql(`${type.precision},${type.scale}`)}))`
    default:
      return value
  }
}
