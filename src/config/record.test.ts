import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Expr } from '../core/expr.ts'
import { isNaruError } from '../core/errors.ts'
import { typeText } from '../core/types.ts'
import { resultType } from './arithmetic.ts'
import { columnDefs, t } from './column.ts'
import { columnsRow } from './fit.ts'
import { re2Of } from './pattern.ts'
import { measureOf, recordOf } from './record.ts'
import type { AnyValue, Row } from './value.ts'
import { when } from './when.ts'

const columns = {
  name: t.text(),
  qty: t.int(),
  total: t.big(),
  price: t.decimal(12, 2),
  rate: t.float(),
  ok: t.bool(),
  at: t.timestamp(),
  seen: t.timestamptz(),
  day: t.date(),
  state: t.enum('a', 'b'),
} as const
const r = columnsRow('table x', columnDefs(columns)) as Row<typeof columns>

function exprOf(value: unknown): Expr {
  const found = recordOf(value)
  if (found === null) throw new Error('not a recorded value')
  return found.expr
}

/** The tree as one line: `add(qty, 1): int64`. */
function shown(expr: Expr): string {
  const of = (...args: readonly Expr[]): string => args.map(shown).join(', ')
  switch (expr.kind) {
    case 'column':
      return expr.name
    case 'literal':
      return `${expr.value}`
    case 'call':
      return `${expr.fn}(${of(...expr.args)}): ${typeText(expr.type)}`
    case 'cast':
      return `cast(${of(expr.arg)}): ${typeText(expr.type)}`
    case 'map':
      return `map(${of(expr.arg)}; ${expr.cases.map(c => `${c[0]}=${c[1]}`).join(' ')}; ${expr.otherwise}): ${typeText(expr.type)}`
    case 'case':
      return `case(${expr.branches.map(b => `${shown(b.when)} ? ${shown(b.then)}`).join('; ')}; ${of(expr.otherwise)}): ${typeText(expr.type)}`
    case 'resolve':
      return `resolve(${expr.entity}.${expr.contributor})`
  }
}

describe('what is done with a row is recorded', () => {
  it.each<[string, AnyValue]>([
    ['trim(upper(name): text): text', r.name.upper().trim()],
    ['substring(name, 2, 3): text', r.name.substring(2, 3)],
    ['concat(name, -, name): text', r.name.concat('-', r.name)],
    ['matches(name, (?i)^a): bool', r.name.matches(/^a/i)],
    ['add(qty, 1): int64', r.qty.add(1)],
    ['divide(qty, qty): decimal(38,6)', r.qty.divide(r.qty)],
    ['multiply(price, qty): decimal(22,2)', r.price.multiply(r.qty)],
    ['add(price, 0.125): decimal(14,3)', r.price.add('0.125')],
    ['round(price, 0): decimal(11,0)', r.price.round(0)],
    ['multiply(rate, 0.5): float64', r.rate.multiply(0.5)],
    ['coalesce(qty, 0): int32', r.qty.ifNull(0)],
    ['cast(name): decimal(5,1)', r.name.as(t.decimal(5, 1))],
    ['and(lt(qty, 5): bool, not(ok): bool): bool', r.qty.lt(5).and(r.ok.not())],
    ['inZone(at, Asia/Seoul): timestamp with time zone', r.at.inZone('Asia/Seoul')],
    ['dateOf(inZone(seen, UTC): timestamp): date', r.seen.inZone('UTC').date()],
    ['map(state; a=1 b=2; reject): int32', r.state.map({ a: 1, b: 2 })],
    ['map(name; x=null; keep): text', r.name.map({ x: null }, 'keep')],
    [
      'case(gt(qty, 1): bool ? many; eq(qty, 1): bool ? name; none): text',
      when(r.qty.gt(1)).then('many').when(r.qty.eq(1)).then(r.name).otherwise('none'),
    ],
    ['case(ok ? price; 0): decimal(12,2)', when(r.ok).then(r.price).otherwise(0)],
    ['case(ok ? qty; total): int64', when(r.ok).then(r.qty).otherwise(r.total)],
  ])('%s', (text, value) => {
    expect(shown(exprOf(value))).toBe(text)
  })

  it('a measure keeps its aggregate and what it is of', () => {
    expect(measureOf(r.price.sum())).toMatchObject({ aggregate: 'sum', of: { expr: { name: 'price' } } })
  })
})

describe('what JavaScript would get wrong is refused', () => {
  const untyped = r as unknown as Readonly<Record<string, never>>
  it.each<[string, () => unknown, string]>([
    ['a template string', () => `${r.name as unknown as string}`, 'was used as a plain value'],
    ['+', () => (untyped['qty'] as unknown as number) + 1, 'was used as a plain value'],
    ['<', () => (untyped['qty'] as unknown as number) < 1, 'was used as a plain value'],
    ['a column that does not exist', () => untyped['nope'], 'table x has no column "nope"; it has name, qty'],
    ['a whole number beyond 2^53', () => r.total.eq(2 ** 53), 'write it as text'],
    ['a fraction beside a decimal', () => r.price.add(0.1), "write it as text: '0.1'"],
    ['more digits than 38', () => r.price.add('1'.repeat(39) as `${number}`), 'has 39 digits'],
    [
      'a scale that no decimal has',
      () => r.price.multiply(r.price.round(2)).multiply(r.price.as(t.decimal(38, 38))),
      'needs 42 digits',
    ],
    ['a time zone that does not exist', () => r.at.inZone('Seoul'), "'Seoul' is not a time zone"],
    [
      'branches of unlike types',
      () => when(r.ok).then(r.qty).otherwise(r.name),
      'the branches of when() give int and text',
    ],
  ])('%s', (_, make, problem) => {
    const error = thrownBy(make)
    expect(isNaruError(error, 'CONFIG_INVALID')).toBe(true)
    expect((error as Error).message).toContain(problem)
    expect((error as Error).message).toMatch(/^\S+record\.test\.ts:\d+: /)
  })
})

function thrownBy(make: () => unknown): unknown {
  try {
    make()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

const decimals = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 9 }))
  .map(([scale, whole]) => ({ kind: 'decimal', precision: whole + scale, scale }) as const)

describe('the type of arithmetic', () => {
  it('holds every result of addition, subtraction and multiplication', () => {
    fc.assert(
      fc.property(decimals, decimals, fc.constantFrom('add', 'subtract', 'multiply'), (a, b, name) => {
        const made = resultType(name, a, b)
        const most = (type: typeof a): bigint => 10n ** BigInt(type.precision) - 1n
        const at = (type: typeof a, scale: number): bigint => most(type) * 10n ** BigInt(scale - type.scale)
        const scale = Math.max(a.scale, b.scale)
        const largest = name === 'multiply' ? most(a) * most(b) : at(a, scale) + at(b, scale)
        expect(made).toMatchObject({ scale: name === 'multiply' ? a.scale + b.scale : scale })
        expect(made.kind === 'decimal' && largest < 10n ** BigInt(made.precision)).toBe(true)
      }),
    )
  })
})

describe('patterns', () => {
  it.each<[string | RegExp, string]>([
    [/^a+$/, '^a+$'],
    [/é|\d{2}/iu, '(?i)é|\\d{2}'],
    ['(?P<x>a)\\z', '(?P<x>a)\\z'],
    [/a\\1/, 'a\\\\1'],
  ])('%s is kept', (pattern, re2) => {
    expect(re2Of(pattern)).toBe(re2)
  })

  it.each<[string | RegExp, string]>([
    [/(?=a)/, 'looks ahead'],
    [/(?<!a)b/, 'looks ahead or behind'],
    [/(a)\1/, 'refers back'],
    [/\u00e9/, 'writes a character as'],
    [/[^]/, 'has an empty set'],
    [/a/g, 'has the flag "g"'],
    ['(a', 'cannot be read'],
    ['a{1001}', 'repeats over'],
  ])('%s is refused', (pattern, problem) => {
    expect(() => re2Of(pattern)).toThrow(problem)
  })
})
