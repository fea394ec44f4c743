import { expect, test } from 'vitest'
import type { Expr } from '../../core/expr.ts'
import { sql } from '../../core/sql.ts'
import type { ColumnType } from '../../core/types.ts'
import type { RuleDef } from '../../config/model.ts'
import { isNaruError } from '../../core/errors.ts'
import { ruleResultsOf } from '../../run/rule-results.ts'
import {
  col,
  columnDef,
  int,
  openBench,
  rule,
  text,
  type Bench,
  type Cellish,
  type Given,
} from './cleansing.test.support.ts'

const decimal: ColumnType = { kind: 'decimal', precision: 10, scale: 2 }
const date: ColumnType = { kind: 'date' }
const bool: ColumnType = { kind: 'bool' }

function call(fn: Extract<Expr, { kind: 'call' }>['fn'], args: readonly Expr[], type: ColumnType): Expr {
  return { kind: 'call', fn, args, type }
}

/** One control, a value that passes, and the bug that it must catch. */
interface Case {
  readonly name: string
  readonly type: ColumnType
  readonly check: RuleDef['check']
  readonly good: readonly Cellish[]
  readonly bad: readonly Cellish[]
}

const cases: readonly Case[] = [
  { name: 'required', type: int, check: { kind: 'required' }, good: [0], bad: [null] },
  { name: 'range of numbers', type: int, check: { kind: 'range', min: 1, max: 9 }, good: [1, 9, null], bad: [0, 10] },
  { name: 'range with one end', type: int, check: { kind: 'range', min: null, max: 9 }, good: [-99, 9], bad: [10] },
  {
    name: 'range of exact decimals',
    type: decimal,
    check: { kind: 'range', min: '0.005', max: '1.005' },
    good: ['0.01', '1.00'],
    bad: ['0.00', '1.01'],
  },
  {
    name: 'range of dates',
    type: date,
    check: { kind: 'range', min: '2001-01-01', max: '2001-12-31' },
    good: ['2001-01-01', '2001-12-31'],
    bad: ['2000-12-31', '2002-01-01'],
  },
  {
    name: 'range against not-a-number',
    type: { kind: 'float', bits: 64 },
    check: { kind: 'range', min: 0, max: 1 },
    good: [0.5],
    bad: ['nan', 'infinity'],
  },
  {
    name: 'oneOf texts',
    type: text,
    check: { kind: 'oneOf', values: ['a', "b'c"] },
    good: ['a', "b'c", null],
    bad: ['A', ''],
  },
  { name: 'oneOf numbers', type: int, check: { kind: 'oneOf', values: [1, 2] }, good: [1, 2], bad: [3] },
  { name: 'oneOf nothing', type: int, check: { kind: 'oneOf', values: [] }, good: [null], bad: [1] },
  {
    name: 'pattern',
    type: text,
    check: { kind: 'pattern', re2: '^[A-Z]{3}$' },
    good: ['ICN', null],
    bad: ['icn', 'ICNX'],
  },
  {
    name: 'reference to a staged table',
    type: int,
    check: { kind: 'reference', to: { source: 'shop', table: 'item' } },
    good: [1, null],
    bad: [-5],
  },
  {
    name: 'reference to an entity',
    type: int,
    check: { kind: 'reference', to: { entity: 'item' } },
    good: [7, null],
    bad: [8],
  },
  {
    name: 'expression',
    type: int,
    check: {
      kind: 'expression',
      expr: call('lt', [col('value', int), { kind: 'literal', value: 5, type: int }], bool),
    },
    good: [4, null],
    bad: [5],
  },
  { name: 'unique', type: int, check: { kind: 'unique' }, good: [1, 2, null, null], bad: [1, 2, 2] },
]

test.each(cases)('the control catches its bug: $name', async ({ type, check, good, bad }) => {
  const columns = [columnDef('id', int, { nullable: false }), columnDef('value', type)]
  const bench = await openBench({ staged: columns, columns, rules: [rule('value.rule', 'value', check)] })
  try {
    await bench.in(tx => tx.execute(sql`create table ods.item as select cast(7 as bigint) as id`))
    const values = [...good, ...bad]
    await bench.stage(values.map((value, i) => [i + 1, value]))
    await bench.run()
    const failed = await bench.rows(sql`select key from naru.quarantine order by cast(key as bigint)`)
    expect(failed.map(row => Number(row['key']) - 1)).toEqual(values.flatMap((_, i) => (i < good.length ? [] : [i])))
    expect((await bench.cleansed()).map(row => Number(row['id']) - 1)).toEqual(good.map((_, i) => i))
  } finally {
    await bench.close()
  }
})

async function withBench(given: Given, body: (bench: Bench) => Promise<void>): Promise<void> {
  const bench = await openBench(given)
  try {
    await body(bench)
  } finally {
    await bench.close()
  }
}

test('of rows with the same values one passes: the one that is there, else a good one, else the smallest key', async () => {
  const rules = [
    rule('name.unique', 'name', { kind: 'unique' }),
    rule('size.range', 'size', { kind: 'range', min: 0, max: 9 }),
  ]
  await withBench({ rules }, async bench => {
    await bench.stage([
      [1, 'a', 99],
      [2, 'a', 1],
      [3, 'a', 2],
      [5, 'b', 1],
    ])
    await bench.run()
    expect((await bench.cleansed()).map(row => row['id'])).toEqual([2n, 5n])
    expect(await bench.rows(sql`select key, rules from naru.quarantine order by key`)).toEqual([
      { key: '1', rules: ['name.unique', 'size.range'] },
      { key: '3', rules: ['name.unique'] },
    ])
    // A new row with a smaller key does not drive out the one that is there, changed or not.
    await bench.stage([
      [4, 'b', 1],
      [5, 'b', 7],
      [0, 'a', 1],
    ])
    await bench.run()
    expect((await bench.cleansed()).map(row => [row['id'], row['size']])).toEqual([
      [2n, 1n],
      [5n, 7n],
    ])
  })
})

test('a text that does not fit its type sets the row aside with the text', async () => {
  const staged = [columnDef('id', int), columnDef('name', text), columnDef('size', int)]
  await withBench({ files: true, staged }, async bench => {
    await bench.stage([
      ['1', 'a', '12'],
      ['2', 'b', 'twelve'],
      ['x', 'c', '1'],
    ])
    await bench.run()
    expect(await bench.cleansed()).toEqual([{ id: 1n, name: 'a', size: 12n, _source_key: '1', _held: false }])
    expect(await bench.rows(sql`select key, rules, lost from naru.quarantine order by key`)).toEqual([
      { key: '2', rules: ['size.cast'], lost: '{"size.cast":"twelve"}' },
      { key: 'x', rules: ['id.cast'], lost: '{"id.cast":"x"}' },
    ])
  })
})

test('a value that an exhaustive map does not know sets the row aside; a branch that is not taken cannot fail', async () => {
  const mapped: Expr = {
    kind: 'map',
    arg: col('name', text),
    cases: [
      ['n', 'new'],
      ['-', null],
    ],
    otherwise: 'reject',
    type: text,
  }
  const sometimes: Expr = {
    kind: 'case',
    branches: [
      {
        when: call('eq', [col('name', text), { kind: 'literal', value: 'n', type: text }], bool),
        // oxlint-disable-next-line unicorn/no-thenable -- the word of SQL
        then: { kind: 'cast', arg: col('note', text), type: int },
      },
    ],
    otherwise: { kind: 'literal', value: null, type: int },
    type: int,
  }
  const given: Given = {
    staged: [columnDef('id', int), columnDef('name', text), columnDef('note', text)],
    map: [
      { column: 'id', expr: col('id', int) },
      { column: 'name', expr: mapped },
      { column: 'size', expr: sometimes },
    ],
  }
  await withBench(given, async bench => {
    await bench.stage([
      [1, 'n', '5'],
      [2, '-', 'no number'],
      [3, 'z', null],
      [4, 'n', 'no number'],
    ])
    await bench.run()
    expect(await bench.cleansed()).toEqual([
      { id: 1n, name: 'new', size: 5n, _held: false },
      { id: 2n, name: null, size: null, _held: false },
    ])
    expect(await bench.rows(sql`select key, lost from naru.quarantine order by key`)).toEqual([
      { key: '3', lost: '{"name.map":"z"}' },
      { key: '4', lost: '{"size.cast":"no number"}' },
    ])
  })
})

test('a row whose condition cannot be computed is set aside, not left out', async () => {
  const given: Given = {
    files: true,
    staged: [columnDef('id', text), columnDef('size', int)],
    columns: [columnDef('id', text, { nullable: false })],
    where: call('gt', [col('size', int), { kind: 'literal', value: 3, type: int }], bool),
  }
  await withBench(given, async bench => {
    await bench.stage([
      ['a', '5'],
      ['b', '1'],
      ['c', 'few'],
    ])
    await bench.run()
    expect((await bench.cleansed()).map(row => row['id'])).toEqual(['a'])
    expect(await bench.rows(sql`select key, rules, lost from naru.quarantine`)).toEqual([
      { key: 'c', rules: ['_where.cast'], lost: '{"_where.cast":"few"}' },
    ])
  })
})

test('a rule with severity block stops the run; the error carries what the rules found', async () => {
  const rules = [rule('size.block', 'size', { kind: 'range', min: 0, max: 9 }, { severity: 'block' })]
  await withBench({ rules }, async bench => {
    await bench.stage([
      [1, 'a', 1],
      [2, 'b', 10],
    ])
    const error: unknown = await bench.run().catch((thrown: unknown) => thrown)
    expect(isNaruError(error, 'REJECT_LIMIT') && [error.exit, error.message]).toEqual([
      3,
      '1 of 2 rows of "item" from "shop" break the rule size.block; 0 are allowed, so nothing of this run became visible',
    ])
    expect(ruleResultsOf(error).find(result => result.rule === 'size.block')).toMatchObject({
      rowsFailed: 1,
      rowsChecked: 2,
      samples: ['2'],
    })
    expect(await bench.rows(sql`select * from naru.rule_result`)).toEqual([])
  })
})

test.each([
  { limit: { rows: 1 }, failing: 1, stops: false },
  { limit: { rows: 1 }, failing: 2, stops: true },
  { limit: { share: 0.2 }, failing: 2, stops: false },
  { limit: { share: 0.2 }, failing: 3, stops: true },
])('a limit of $limit lets $failing of 10 rows pass: not $stops', async ({ limit, failing, stops }) => {
  const rules = [rule('size.range', 'size', { kind: 'range', min: 0, max: 9 }, { limit })]
  await withBench({ rules }, async bench => {
    await bench.stage(Array.from({ length: 10 }, (_, i) => [i, 'a', i < failing ? 99 : 1]))
    const error: unknown = await bench.run().then(
      () => null,
      (thrown: unknown) => thrown,
    )
    expect(isNaruError(error, 'REJECT_LIMIT')).toBe(stops)
  })
})

test('a reference to an entity that is not there is an error, not a pass', async () => {
  const rules = [rule('size.ref', 'size', { kind: 'reference', to: { entity: 'item' } })]
  await withBench({ rules }, async bench => {
    await bench.stage([[1, 'a', 1]])
    await expect(bench.run()).rejects.toMatchObject({ code: 'REFERENCE_NOT_BUILT' })
  })
})
