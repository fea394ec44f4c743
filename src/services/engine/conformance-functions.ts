import assert from 'node:assert/strict'
import { compileExpr, fnNames, type Expr, type FnName } from '../../core/expr.ts'
import { ident, sql } from '../../core/sql.ts'
import type { ColumnType } from '../../core/types.ts'
import { signal, type GroupedPromise, type PromiseGroup } from './conformance-support.ts'
import type { Cell, Engine } from './contract.ts'

const text: ColumnType = { kind: 'text' }
const bool: ColumnType = { kind: 'bool' }
const int: ColumnType = { kind: 'int', bits: 32 }
const long: ColumnType = { kind: 'int', bits: 64 }
const float: ColumnType = { kind: 'float', bits: 64 }
const date: ColumnType = { kind: 'date' }
const timestamp: ColumnType = { kind: 'timestamp', zoned: false }
const timestamptz: ColumnType = { kind: 'timestamp', zoned: true }
const decimal = (precision: number, scale: number): ColumnType => ({ kind: 'decimal', precision, scale })

/** A literal of a type, as a config gives it: typed text for what is no number, text or truth value. */
const of = (type: ColumnType, value: string | number | bigint | boolean | null): Expr => ({
  kind: 'literal',
  value,
  type,
})
const s = (value: string | null): Expr => of(text, value)
const b = (value: boolean | null): Expr => of(bool, value)
const i = (value: number | null): Expr => of(int, value)
const f = (value: number): Expr => of(float, value)
const d = (value: string, precision = 12, scale = 2): Expr => of(decimal(precision, scale), value)
const day = (value: string): Expr => of(date, value)
const local = (value: string): Expr => of(timestamp, value)
const moment = (value: string): Expr => of(timestamptz, value)

type Case = readonly [args: readonly Expr[], type: ColumnType, result: Cell]

/** Each portable function on the values where systems differ. */
const cases: { readonly [N in FnName]: readonly Case[] } = {
  trim: [
    [[s('  a b  ')], text, 'a b'],
    [[s('\t\n\u00a0\u3000a\u2003\r\ufeff')], text, 'a'],
    [[s('')], text, ''],
    [[s(null)], text, null],
  ],
  lower: [
    [[s('ÄÉ Ω AB')], text, 'äé ω ab'],
    [[s(null)], text, null],
  ],
  upper: [
    [[s('äé ω ab')], text, 'ÄÉ Ω AB'],
    [[s(null)], text, null],
  ],
  substring: [
    [[s('héllo 한국'), i(2), i(3)], text, 'éll'],
    [[s('héllo 한국'), i(7)], text, '한국'],
    [[s('abc'), i(3), i(10)], text, 'c'],
    [[s('abc'), i(9), i(1)], text, ''],
    [[s(null), i(1), i(1)], text, null],
  ],
  concat: [
    [[s('a'), s('b'), s('c')], text, 'abc'],
    [[s('a'), s('')], text, 'a'],
    [[s('a'), s(null)], text, null],
  ],
  length: [
    [[s('한국어')], int, 3],
    [[s('👩🏽')], int, 2],
    [[s('')], int, 0],
    [[s(null)], int, null],
  ],
  replace: [
    [[s('a.b.c'), s('.'), s('')], text, 'abc'],
    [[s('aaa'), s('aa'), s('b')], text, 'ba'],
    [[s(null), s('a'), s('b')], text, null],
  ],
  matches: [
    [[s('JFK-1'), s('^[A-Z]{3}')], bool, true],
    [[s('xJFK'), s('^[A-Z]{3}$')], bool, false],
    [[s('a\nb'), s('a.b')], bool, false],
    [[s('한국'), s('^\\p{Hangul}+$')], bool, true],
    [[s(null), s('a')], bool, null],
  ],
  replacePattern: [
    [[s('a1b22'), s('[0-9]+'), s('#')], text, 'a#b#'],
    [[s('john smith'), s('(\\w+) (\\w+)'), s('\\2 \\1')], text, 'smith john'],
    [[s(null), s('a'), s('b')], text, null],
  ],
  normalize: [
    [[s('\u1100\u1161\u11a8')], text, '\uac01'],
    [[s('  e\u0301  b\u00a0\n c ')], text, 'é b c'],
    [[s(null)], text, null],
  ],
  add: [
    [[i(2), i(3)], long, 5n],
    [[i(2_147_483_647), i(1)], long, 2_147_483_648n],
    [[d('0.10'), d('0.20')], decimal(13, 2), '0.30'],
    [[d('0.10'), i(null)], decimal(13, 2), null],
    [[f(0.1), f(0.2)], float, 0.1 + 0.2],
  ],
  subtract: [
    [[i(2), i(3)], long, -1n],
    [[d('1.00'), d('0.01', 12, 4)], decimal(13, 4), '0.9900'],
  ],
  multiply: [
    [[i(2_147_483_647), i(2)], long, 4_294_967_294n],
    [[d('1.05'), d('-3.33')], decimal(24, 4), '-3.4965'],
    [[d('9999999999.99'), d('9999999999.99')], decimal(24, 4), '99999999999800000000.0001'],
    [[f(0.5), f(3)], float, 1.5],
    [[i(null), i(2)], long, null],
  ],
  divide: [
    [[i(7), i(2)], decimal(38, 6), '3.500000'],
    [[d('1.00'), d('3.00')], decimal(38, 8), '0.33333333'],
    [[d('2.00'), d('3.00')], decimal(38, 8), '0.66666667'],
    [[d('-2.00'), d('3.00')], decimal(38, 8), '-0.66666667'],
    [[i(1), i(16)], decimal(38, 3), '0.063'],
    [[i(-1), i(16)], decimal(38, 3), '-0.063'],
    [[i(5), i(2)], decimal(38, 0), '3'],
    // A float has 53 bits, about 16 digits: it would end in ...678901.
    [[d('123456789012345678.90', 20, 2), i(1)], decimal(38, 8), '123456789012345678.90000000'],
    [[d('9999999999.99'), d('0.01')], decimal(38, 8), '999999999999.00000000'],
    [[i(0), i(5)], decimal(38, 6), '0.000000'],
    [[i(1), i(0)], decimal(38, 6), null],
    [[i(null), i(2)], decimal(38, 6), null],
    [[f(1), f(4)], float, 0.25],
    [[f(1), f(0)], float, null],
  ],
  negate: [
    [[i(5)], int, -5],
    [[d('-1.50')], decimal(12, 2), '1.50'],
    [[i(null)], int, null],
  ],
  abs: [
    [[i(-5)], int, 5],
    [[d('-1.50')], decimal(12, 2), '1.50'],
    [[f(-0.5)], float, 0.5],
  ],
  round: [
    [[d('2.345', 12, 3), i(2)], decimal(12, 2), '2.35'],
    [[d('-2.345', 12, 3), i(2)], decimal(12, 2), '-2.35'],
    [[d('2.50'), i(0)], decimal(12, 0), '3'],
    [[f(2.25), i(1)], float, 2.3],
  ],
  eq: [
    [[s('a'), s('a')], bool, true],
    [[s('a'), s('A')], bool, false],
    [[s('a'), s('a ')], bool, false],
    [[s(''), s(null)], bool, null],
    [[d('1.50'), d('1.5', 2, 1)], bool, true],
  ],
  ne: [
    [[i(1), i(2)], bool, true],
    [[i(1), i(null)], bool, null],
  ],
  lt: [
    [[i(1), i(2)], bool, true],
    // By bytes, not by the rules of a language.
    [[s('Z'), s('a')], bool, true],
    [[s('é'), s('z')], bool, false],
    [[day('2001-01-01'), day('2001-01-02')], bool, true],
  ],
  le: [[[i(2), i(2)], bool, true]],
  gt: [[[moment('2001-01-01 09:00:00+09:00'), moment('2001-01-01 00:00:00+00:00')], bool, false]],
  ge: [[[moment('2001-01-01 09:00:00+09:00'), moment('2001-01-01 00:00:00+00:00')], bool, true]],
  and: [
    [[b(true), b(null)], bool, null],
    [[b(false), b(null)], bool, false],
    [[b(true), b(true), b(true)], bool, true],
  ],
  or: [
    [[b(true), b(null)], bool, true],
    [[b(false), b(null)], bool, null],
  ],
  not: [
    [[b(true)], bool, false],
    [[b(null)], bool, null],
  ],
  isNull: [
    [[s('')], bool, false],
    [[s(null)], bool, true],
  ],
  coalesce: [
    [[s(null), s('a'), s('b')], text, 'a'],
    [[s(null), s(null)], text, null],
  ],
  year: [
    [[day('2024-02-29')], int, 2024],
    [[moment('2001-01-01 00:30:00+09:00')], int, 2000],
    [[day('infinity')], int, null],
  ],
  month: [[[local('2024-02-29 23:59:59')], int, 2]],
  day: [[[day('2024-02-29')], int, 29]],
  dateOf: [
    [[moment('2001-01-01 00:30:00+09:00')], date, '2000-12-31'],
    [[local('1969-12-31 23:59:59.999999')], date, '1969-12-31'],
  ],
  inZone: [
    [[moment('2001-01-01 00:00:00+00:00'), s('Asia/Seoul')], timestamp, '2001-01-01 09:00:00'],
    [[local('2001-01-01 09:00:00'), s('Asia/Seoul')], timestamptz, '2001-01-01 00:00:00+00'],
    // The hour that a clock shows twice, and the one that it never shows.
    [[moment('2024-11-03 05:30:00+00:00'), s('America/New_York')], timestamp, '2024-11-03 01:30:00'],
    [[moment('2024-11-03 06:30:00+00:00'), s('America/New_York')], timestamp, '2024-11-03 01:30:00'],
    [[local('2024-03-10 02:30:00'), s('America/New_York')], timestamptz, '2024-03-10 07:30:00+00'],
  ],
}

const groups: readonly (readonly [group: PromiseGroup, fns: readonly FnName[]])[] = [
  ['NULL', ['isNull', 'coalesce', 'and', 'or', 'not']],
  ['Text', ['trim', 'lower', 'upper', 'substring', 'concat', 'length', 'replace', 'normalize']],
  ['Order and comparison of text', ['eq', 'ne', 'lt', 'le', 'gt', 'ge']],
  ['Regular expressions', ['matches', 'replacePattern']],
  ['Arithmetic and decimals', ['add', 'subtract', 'multiply', 'negate', 'abs']],
  ['Division', ['divide']],
  ['Rounding', ['round']],
  ['Dates and time zones', ['year', 'month', 'day', 'dateOf', 'inZone']],
]

function groupOf(fn: FnName): PromiseGroup {
  const [group] = groups.find(([, fns]) => fns.includes(fn)) ?? []
  assert.ok(group !== undefined, `the function ${fn} is in no group`)
  return group
}

/** The portable functions, executed and compared by value. */
export const functionPromises: readonly GroupedPromise[] = fnNames.map(fn => ({
  group: groupOf(fn),
  name: `${fn} gives the same values on every engine`,
  check: async (engine: Engine) => {
    for (const [args, type, result] of cases[fn]) {
      const found = await valueOf(engine, { kind: 'call', fn, args, type })
      assert.deepEqual(found, result, `${fn}(${args.map(arg => (arg.kind === 'literal' ? arg.value : '')).join(', ')})`)
    }
  },
}))

/** The value of an expression without columns, in its own type. */
export async function valueOf(engine: Engine, expr: Expr): Promise<Cell> {
  const scope = { dialect: engine.dialect, column: (name: string) => sql`${ident(name)}` }
  const result = await engine.query(sql`select ${compileExpr(expr, scope)} as v`, signal)
  let value: Cell = null
  for await (const page of result.pages) value = page[0]?.[0] ?? null
  return value
}
