import assert from 'node:assert/strict'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { joinSql, sql } from '../../../core/sql.ts'
import { typeText } from '../../../core/types.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { never, openTestEngine } from '../../../testing/engine.ts'
import { familyGlob, familiesOf } from './families.ts'
import { inferType } from './infer.ts'

const of = (...values: readonly (string | null)[]): string => typeText(inferType(values).type)

describe('the type of a column of text', () => {
  test.each([
    ['whole numbers', ['0', '-7', null, '9223372036854775807', '-9223372036854775808'], 'int64'],
    ['a number beyond 64 bits is an identifier', ['1', '9223372036854775808'], 'text'],
    ['leading zeros are of identifiers', ['1', '007'], 'text'],
    ['a sign that is no minus', ['+1'], 'text'],
    ['spaces', [' 1'], 'text'],
    ['an empty text is a value', ['1', ''], 'text'],
    ['no value', [null, null], 'text'],
    ['decimals of one form keep it', ['12.50', '-0.25'], 'decimal(18,2)'],
    ['decimals of several forms get room', ['12.5', '3', '0.125'], 'decimal(18,5)'],
    ['long decimals', [`${'9'.repeat(30)}.12345678`], 'decimal(38,8)'],
    ['decimals without end', [`${'9'.repeat(30)}.123456789`], 'text'],
    ['an exponent', ['1e5'], 'text'],
    ['no point in front, none at the end', ['.5', '5.'], 'text'],
    ['truth', ['true', 'false', null], 'bool'],
    ['truth in other words', ['true', 'yes'], 'text'],
    ['truth in capitals', ['True'], 'text'],
    ['days', ['2024-02-29', '0001-01-01', '9999-12-31'], 'date'],
    ['a day that is none', ['2023-02-29'], 'text'],
    ['days of MySQL', ['0000-00-00'], 'text'],
    ['days in the order of a country', ['31.12.2024'], 'text'],
    ['times', ['2024-02-29T23:59:59.999999', '2024-02-29 00:00'], 'timestamp'],
    ['a leap second', ['2016-12-31T23:59:60'], 'text'],
    ['parts of a microsecond', ['2024-02-29T00:00:00.0000001'], 'text'],
    ['moments', ['2024-02-29T23:59:59Z', '2024-02-29 00:00:00+09:00'], 'timestamp with time zone'],
    ['with and without a zone', ['2024-02-29T23:59:59Z', '2024-02-29T23:59:59'], 'text'],
    ['days and times', ['2024-02-29', '2024-02-29T23:59:59'], 'text'],
  ] as const)('%s', (_, values, wanted) => assert.equal(of(...values), wanted))
})

describe('a value of the sample', () => {
  let engine: Awaited<ReturnType<typeof openTestEngine>>
  beforeAll(async () => {
    engine = await openTestEngine()
  })
  afterAll(() => engine?.close())

  const digits = (max: number): fc.Arbitrary<string> =>
    fc.array(fc.constantFrom(...'0123456789'), { minLength: 1, maxLength: max }).map(it => it.join(''))
  const two = (max: number): fc.Arbitrary<string> => fc.nat(max).map(it => String(it).padStart(2, '0'))
  const day = fc.tuple(fc.nat(9999), two(13), two(32)).map(([y, m, d]) => `${String(y).padStart(4, '0')}-${m}-${d}`)
  const clock = fc.tuple(two(24), two(60), two(60)).map(it => it.join(':'))
  const zone = fc.constantFrom('', 'Z', '+09:00', '-11:30', '+13:59', '+14:00')
  const kinds = [
    digits(20),
    fc.bigInt(-(2n ** 64n), 2n ** 64n).map(String),
    fc.tuple(fc.constantFrom('', '-'), digits(30), digits(12)).map(([sign, a, b]) => `${sign}${a}.${b}`),
    fc.constantFrom('true', 'false', 'TRUE', '', '0', '-0', '1.', '.5', 'NaN', 'infinity'),
    day,
    fc.tuple(day, fc.constantFrom('T', ' '), clock, zone).map(it => it.join('')),
    fc.tuple(day, fc.constant('T'), clock, fc.constant('.'), digits(7), zone).map(it => it.join('')),
  ]
  const samples = fc.constantFrom(...kinds).chain(kind => fc.array(kind, { minLength: 1, maxLength: 4 }))

  test('always casts to the type that was told from it', async () => {
    await fc.assert(
      fc.asyncProperty(samples, async values => {
        const { type } = inferType(values)
        const casts = values.map(
          value => sql`${duckdbDialect.tryCast(sql`cast(${value} as varchar)`, type)} is not null`,
        )
        const [row] = await engine.transaction(never, tx => tx.rows(sql`select ${joinSql(casts, ' and ')} as fits`))
        assert.equal(row?.['fits'], true, `${values.join(' | ')} as ${typeText(type)}`)
      }),
      { numRuns: 500 },
    )
  })
})

test.each([
  ['orders_2026-01-03.csv', 'orders_*.csv', 'orders'],
  ['orders.csv', 'orders.csv', 'orders'],
  ['in/orders_20260103_120000.csv.gz', 'in/orders_*.csv.gz', 'orders'],
  ['2026-01-03.json', '*.json', 'json'],
  ['sale/2026/01/15.ndjson', 'sale/*/*/*.ndjson', 'sale'],
  ['orders/day=2026-01-01/part-0.parquet', 'orders/day=*/part-*.parquet', 'orders'],
  ['day=2026-01-01/part-0.parquet', 'day=*/part-*.parquet', 'part'],
  ['2026 sales.v2.csv', '* sales.v*.csv', 'sales_v'],
])('%s belongs to %s, in short %s', (name, glob, shortName) => {
  assert.equal(familyGlob(name), glob)
  assert.equal(familiesOf([{ name, bytes: 1, modifiedMicros: 0n }])[0]?.shortName, shortName)
})
