import assert from 'node:assert/strict'
import * as dialect from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import type { EnginePromise } from './conformance-support.ts'
import { signal } from './conformance-support.ts'
import type { Cell, Engine, Row } from './contract.ts'

type Case = readonly [made: Sql, result: Cell]

const date = (text: string): Sql => sql`cast(${text} as date)`
const time = (text: string): Sql => sql`cast(${text} as timestamp)`
const double = (text: string): Sql => sql`cast(${text} as double precision)`
const decimal = (text: string): Sql => sql`cast(${text} as decimal(12, 2))`

/** Each dialect function on the values where systems differ. Those without a common result are checked below. */
const cases: Readonly<Record<string, readonly Case[]>> = {
  asText: [
    [dialect.asText(sql`${'a'}`), 'a'],
    [dialect.asText(sql`cast(7 as smallint)`), '7'],
    [dialect.asText(sql`cast(12 as integer)`), '12'],
    [dialect.asText(sql`cast(${2n ** 63n - 1n} as bigint)`), '9223372036854775807'],
    [dialect.asText(decimal('1.50')), '1.50'],
    [dialect.asText(double('1')), '1.0'],
    [dialect.asText(double('-0.1')), '-0.1'],
    [dialect.asText(double('0.0001')), '0.0001'],
    [dialect.asText(double('0.00001')), '1e-05'],
    [dialect.asText(double('123456.789')), '123456.789'],
    [dialect.asText(double('1e15')), '1000000000000000.0'],
    [dialect.asText(double('1234567890123456')), '1234567890123456.0'],
    [dialect.asText(double('1e16')), '1e+16'],
    [dialect.asText(double('1.5e300')), '1.5e+300'],
    [dialect.asText(double('infinity')), 'inf'],
    [dialect.asText(double('-infinity')), '-inf'],
    [dialect.asText(double('nan')), 'nan'],
    [dialect.asText(sql`cast('1000000' as real)`), '1000000.0'],
    [dialect.asText(sql`cast('0.1' as real)`), '0.1'],
    [dialect.asText(sql`(1 = 1)`), 'true'],
    [dialect.asText(date('2024-02-29')), '2024-02-29'],
    [dialect.asText(date('infinity')), 'infinity'],
    [dialect.asText(time('2024-02-29 10:00:00.50')), '2024-02-29 10:00:00.5'],
    [dialect.asText(time('-infinity')), '-infinity'],
    [dialect.asText(sql`cast('10:00:00' as time)`), '10:00:00'],
    [dialect.asText(sql`cast('2024-01-01 00:00:00+00' as timestamptz)`), '2024-01-01 00:00:00+00'],
    [dialect.asText(sql`cast('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' as uuid)`), 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    [dialect.asText(sql`cast(${null} as integer)`), null],
  ],
  toJson: [
    [dialect.toJson(sql`cast(${'a"b\\\n\t\u0001é한'} as varchar)`), '"a\\"b\\\\\\n\\t\\u0001é한"'],
    [dialect.toJson(sql`cast(7 as integer)`), '7'],
    [dialect.toJson(sql`(1 = 1)`), 'true'],
    [dialect.toJson(time('2024-01-01 00:00:00')), '"2024-01-01 00:00:00"'],
    [dialect.toJson(date('2024-01-01')), '"2024-01-01"'],
  ],
  jsonField: [
    [dialect.jsonField(sql`${'{"a b":"x","n":1}'}`, 'a b'), 'x'],
    [dialect.jsonField(sql`${'{"a b":"x","n":1}'}`, 'n'), '1'],
    [dialect.jsonField(sql`${'{"a":null}'}`, 'a'), null],
    [dialect.jsonField(sql`${'{"a":1}'}`, 'b'), null],
  ],
  byteLength: [
    [dialect.byteLength(sql`cast(${'한a'} as varchar)`), 4],
    [dialect.byteLength(sql`cast(${''} as varchar)`), 0],
  ],
  sha256: [[dialect.sha256Of(sql`${'한'}`), '89233692031a62c60e6ef602b4cd9f3cb52a6dd8013fe9873c36101a7e3920e0']],
  hexNumber: [
    [dialect.hexNumber(sql`${'ff'}`), 255n],
    [dialect.hexNumber(sql`${'fffffffffffffff'}`), 2n ** 60n - 1n],
  ],
  micros: [
    [dialect.microsOf(time('2001-01-01 00:00:00.000001')), 978_307_200_000_001n],
    [dialect.microsOf(time('1969-12-31 23:59:59.999999')), -1n],
    [dialect.microsOf(date('1970-01-02')), 86_400_000_000n],
    [dialect.microsOf(sql`cast('24:00:00' as time)`), 86_400_000_000n],
  ],
  timestampOf: [
    [dialect.timestampOf(sql`cast(978307200000001 as bigint)`), '2001-01-01 00:00:00.000001'],
    [dialect.timestampOf(sql`cast(${-1n} as bigint)`), '1969-12-31 23:59:59.999999'],
    [dialect.timestampOf(sql`cast(${9_214_646_399_999_999n} as bigint)`), '2261-12-31 23:59:59.999999'],
  ],
  same: [
    [sql`(${dialect.same(sql`cast(${null} as integer)`, sql`cast(${null} as integer)`)})`, true],
    [sql`(${dialect.same(sql`cast(${null} as varchar)`, sql`cast(${''} as varchar)`)})`, false],
    [sql`(${dialect.same(sql`1`, sql`1`)})`, true],
  ],
  hasDigit: [
    [dialect.hasDigit(sql`${'A12'}`), true],
    [dialect.hasDigit(sql`${'Ⅷ'}`), true],
    [dialect.hasDigit(sql`${'AB'}`), false],
  ],
  typos: [
    [dialect.typos(sql`${'ab'}`, sql`${'ba'}`), 1n],
    [dialect.typos(sql`${'kitten'}`, sql`${'sitting'}`), 3n],
    [dialect.typos(sql`${'ca'}`, sql`${'abc'}`), 2n],
    [dialect.typos(sql`${'한국어'}`, sql`${'한어'}`), 3n],
    [dialect.typos(sql`${'same'}`, sql`${'same'}`), 0n],
  ],
}

const words: readonly (readonly [text: string, words: readonly string[]])[] = [
  ["Chicago O'Hare-Int'l.", ['CHICAGO', 'INTL', 'OHARE']],
  ['São Tomé; Zürich/Ålesund', ['ALESUND', 'SAO', 'TOME', 'ZURICH']],
  ['김포 공항 2번', ['2번', '공항', '김포']],
  ['  ', []],
]

async function rowsOf(engine: Engine, query: Sql): Promise<readonly Row[]> {
  return engine.transaction(signal, tx => tx.rows(query))
}

/** The functions that stages need beside the common SQL, executed and compared by value. */
export const dialectFunctionPromises: readonly EnginePromise[] = [
  ...Object.entries(cases).map(([name, all]) => ({
    name: `${name} gives what stages count on`,
    check: async (engine: Engine) => {
      const columns = all.map(([made], i) => sql`${made} as ${ident(`c${i}`)}`)
      const [row] = await rowsOf(engine, sql`select ${joinSql(columns)}`)
      all.forEach(([, result], i) => {
        const found = row?.[`c${i}`] ?? null
        const number = typeof result === 'number' || typeof result === 'bigint'
        assert.deepEqual(
          number ? BigInt(found as bigint) : found,
          number ? BigInt(result) : result,
          `${name}, case ${i}`,
        )
      })
    },
  })),
  {
    name: 'words are cut alike, without case, accents and punctuation',
    check: async engine => {
      for (const [text, expected] of words) {
        const found = await rowsOf(engine, sql`select ${dialect.wordsOf(sql`${text}`)} as word order by 1`)
        assert.deepEqual(
          found.map(row => row['word']),
          expected,
        )
      }
    },
  },
  {
    name: 'equal values have equal hashes, other values others, also as whole rows',
    check: async engine => {
      const values = sql`(values (1, 'a'), (1, 'a'), (2, 'a'), (1, cast(${null} as varchar))) as v(n, t)`
      const both = [ident('v', 'n'), ident('v', 't')]
      const rows = await rowsOf(
        engine,
        sql`select count(distinct ${dialect.hashOf(both)}) as a, count(distinct ${dialect.hashOfRow(ident('v'))}) as b,
          count(${dialect.hashOf(both)}) as n from ${values}`,
      )
      assert.deepEqual(rows, [{ a: 3n, b: 3n, n: 4n }])
    },
  },
  {
    name: 'large tables join by keys in which NULL equals NULL',
    check: async engine => {
      const side = sql`select case when n % 2 = 0 then n end as k, n from generate_series(1, 20000) as s(n)`
      const rows = await rowsOf(
        engine,
        sql`select count(*) as n from (select distinct k from (${side}) x) a
          full join (select distinct k from (${side}) x) b on ${dialect.same(sql`a.k`, sql`b.k`)}
          where a.k is not distinct from b.k`,
      )
      assert.deepEqual(rows, [{ n: 10_001n }])
    },
  },
  {
    name: 'a temporary table is replaced, counted and described, and its name may be long',
    check: async engine => {
      await engine.transaction(signal, async tx => {
        for (const name of ['t', 'x'.repeat(200), `${'x'.repeat(199)}y`]) {
          const table = ident('temp', name)
          assert.equal(await tx.replaceTemp(table, sql`select 1 as a union all select 2`), 2)
          await tx.replaceTemp(table, sql`select ${name} as b, cast(2 as bigint) as c`)
          assert.deepEqual(await tx.rows(sql`select * from ${table}`), [{ b: name, c: 2n }])
          assert.deepEqual(
            (await tx.columns(table)).map(column => column.name),
            ['b', 'c'],
          )
          assert.equal(await tx.exists(table), true)
        }
        const first = await tx.rows(sql`select b from ${ident('temp', 'x'.repeat(200))}`)
        assert.deepEqual(first, [{ b: 'x'.repeat(200) }])
        assert.deepEqual(await tx.columns(ident('no_such_table')), [])
      })
    },
  },
]
