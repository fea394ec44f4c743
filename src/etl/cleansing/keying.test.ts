import { afterEach, expect, test } from 'vitest'
import type { Expr } from '../../core/expr.ts'
import { sql } from '../../core/sql.ts'
import { col, columnDef, int, openBench, rule, text, type Bench, type Given } from './cleansing.test.support.ts'
import { recycle } from './quarantine.ts'

let bench: Bench
afterEach(() => bench.close())

const upper = (name: string): Expr => ({ kind: 'call', fn: 'upper', args: [col(name, text)], type: text })

const derived: Given = {
  staged: [columnDef('id', int), columnDef('code', text), columnDef('size', int)],
  columns: [columnDef('code', text, { nullable: false }), columnDef('size', int)],
  key: ['code'],
  map: [
    { column: 'code', expr: upper('code') },
    { column: 'size', expr: col('size', int) },
  ],
  rules: [rule('size.range', 'size', { kind: 'range', min: 0, max: 100 })],
}

test('a computed key follows its staged row: it moves, and goes with it', async () => {
  bench = await openBench(derived)
  await bench.stage([
    [1, 'a', 1],
    [2, 'b', 2],
  ])
  await bench.run()
  expect(await bench.cleansed()).toEqual([
    { code: 'A', size: 1n, _source_key: '1', _held: false },
    { code: 'B', size: 2n, _source_key: '2', _held: false },
  ])
  await bench.stage([[1, 'c', 1]])
  expect(await bench.keys(await bench.run())).toEqual([
    { code: 'A', _op: 'd' },
    { code: 'C', _op: 'i' },
  ])
  await bench.stage([], [[2]])
  expect(await bench.keys(await bench.run())).toEqual([{ code: 'B', _op: 'd' }])
  expect((await bench.cleansed()).map(row => row['code'])).toEqual(['C'])
})

test('two staged rows with one computed key: the first keeps it, the other goes to quarantine', async () => {
  bench = await openBench(derived)
  await bench.stage([
    [1, 'a', 1],
    [2, 'A', 2],
    [3, null, 3],
  ])
  await bench.run()
  expect(await bench.rows(sql`select key, rules from naru.quarantine order by key`)).toEqual([
    { key: '2', rules: ['_key.unique'] },
    { key: '3', rules: ['code.not-null'] },
  ])
  await bench.stage([[0, 'a', 5]])
  await bench.run()
  expect((await bench.cleansed()).map(row => row['_source_key'])).toEqual(['1'])
  // Its holder is gone: the key is free for the row that waited.
  await bench.stage([], [[1], [0]])
  await bench.in(tx => recycle(tx, { key: '2' }))
  expect(await bench.keys(await bench.run())).toEqual([{ code: 'A', _op: 'u' }])
  expect((await bench.cleansed()).map(row => row['_source_key'])).toEqual(['2'])
})

test('two keys exchanged in one delta change places', async () => {
  bench = await openBench(derived)
  await bench.stage([
    [1, 'a', 1],
    [2, 'b', 2],
  ])
  await bench.run()
  await bench.stage([
    [1, 'b', 1],
    [2, 'a', 2],
  ])
  await bench.run()
  expect((await bench.cleansed()).map(row => [row['code'], row['_source_key']])).toEqual([
    ['A', '2'],
    ['B', '1'],
  ])
})

const matched: Given = {
  staged: [columnDef('id', int), columnDef('airport', text), columnDef('state', text)],
  columns: [columnDef('code', text, { nullable: false }), columnDef('name', text), columnDef('state', text)],
  key: ['code'],
  match: true,
  map: [
    { column: 'name', expr: col('airport', text) },
    { column: 'state', expr: col('state', text) },
  ],
  cleanse: [{ column: 'name', expr: upper('name') }],
  rules: [
    rule('code.required', 'code', { kind: 'required' }),
    rule('state.domain', 'state', { kind: 'oneOf', values: ['TX', 'AK'] }),
  ],
}

test('rows without a key become one row for each distinct set of mapped values', async () => {
  bench = await openBench(matched)
  await bench.stage([
    [1, 'Bear', 'AK'],
    [2, 'Bear', 'AK'],
    [3, 'bear', null],
    [4, 'Oak', 'ZZ'],
  ])
  const changes = await bench.run()
  expect(changes).toMatchObject({ scope: 'all', inserted: 2 })
  expect(await bench.cleansed()).toEqual([
    { code: null, name: 'BEAR', state: 'AK', _k_name: 'Bear', _k_state: 'AK', _rows: 2n, _held: false },
    { code: null, name: 'BEAR', state: null, _k_name: 'bear', _k_state: null, _rows: 1n, _held: false },
  ])
  expect(await bench.rows(sql`select key, rules from naru.quarantine`)).toEqual([
    { key: 'Oak/ZZ', rules: ['state.domain'] },
  ])
})

test('a delta computes only the identities it touches, those that rows left included', async () => {
  bench = await openBench(matched)
  await bench.stage([
    [1, 'Bear', 'AK'],
    [2, 'Bear', 'AK'],
    [3, 'bear', null],
    [4, 'Oak', 'ZZ'],
  ])
  await bench.run()
  await bench.stage([
    [2, 'Elk', 'TX'],
    [3, 'Elk', 'TX'],
    [4, 'Oak', 'TX'],
  ])
  expect(await bench.keys(await bench.run())).toEqual([
    { _k_name: 'Elk', _k_state: 'TX', _op: 'i' },
    { _k_name: 'Oak', _k_state: 'TX', _op: 'i' },
    { _k_name: 'bear', _k_state: null, _op: 'd' },
  ])
  expect((await bench.cleansed()).map(row => [row['_k_name'], row['_rows']])).toEqual([
    ['Bear', 1n],
    ['Elk', 2n],
    ['Oak', 1n],
  ])
  expect(await bench.rows(sql`select key, state, resolution from naru.quarantine`)).toEqual([
    { key: 'Oak/ZZ', state: 'resolved', resolution: 'gone' },
  ])
})

test('a resolved key comes from the crosswalk, by the source values in the order of the contribution', async () => {
  const golden: Expr = {
    kind: 'resolve',
    entity: 'item',
    contributor: 'shop',
    // Given in another order than the map of the contribution.
    by: [
      { column: 'size', value: col('size', int) },
      { column: 'name', value: col('name', text) },
    ],
    type: int,
    personal: false,
  }
  bench = await openBench({
    columns: [
      columnDef('id', int, { nullable: false }),
      columnDef('name', text),
      columnDef('size', int),
      columnDef('golden', int),
    ],
    staged: [columnDef('id', int), columnDef('name', text), columnDef('size', int)],
    map: [
      { column: 'id', expr: col('id', int) },
      { column: 'name', expr: col('name', text) },
      { column: 'size', expr: col('size', int) },
      { column: 'golden', expr: golden },
    ],
  })
  await bench.in(async tx => {
    await tx.execute(sql`create table naru.crosswalk (
      entity varchar, contributor varchar, source_key varchar, golden_key varchar, score double, rule varchar, run bigint)`)
    await tx.execute(sql`insert into naru.crosswalk values
      ('item', 'shop', ${'a\\/b/1'}, '77', 1, 'exact', 1), ('item', 'shop', ${'c/\\N'}, '78', 1, 'exact', 1),
      ('item', 'shop', 'd/1', ${null}, 0, 'none', 1)`)
  })
  await bench.stage([
    [1, 'a/b', 1],
    [2, 'c', null],
    [3, 'd', 1],
    [4, 'unknown', 1],
  ])
  await bench.run()
  expect((await bench.cleansed()).map(row => row['golden'])).toEqual([77n, 78n, null, null])
})
