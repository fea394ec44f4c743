import { afterEach, expect, test } from 'vitest'
import { sql } from '../../core/sql.ts'
import { col, int, openBench, rule, text, type Bench, type Given } from './cleansing.test.support.ts'

let bench: Bench
afterEach(() => bench.close())
async function open(given: Given = {}): Promise<Bench> {
  bench = await openBench(given)
  return bench
}

const sizeRange = rule('size.range', 'size', { kind: 'range', min: 0, max: 100 })
const trimmed: Given['cleanse'] = [
  { column: 'name', expr: { kind: 'call', fn: 'trim', args: [col('name', text)], type: text } },
]

test('good rows are written, a row that breaks a rule goes to quarantine with every rule it broke', async () => {
  await open({ rules: [sizeRange, rule('name.required', 'name', { kind: 'required' }, { severity: 'warn' })] })
  await bench.stage([
    [1, 'a', 5],
    [2, null, 500],
    [3, null, 7],
  ])
  const changes = await bench.run()
  expect(changes).toMatchObject({ scope: 'all', keys: null, inserted: 2 })
  expect(await bench.cleansed()).toEqual([
    { id: 1n, name: 'a', size: 5n, _held: false },
    { id: 3n, name: null, size: 7n, _held: false },
  ])
  expect(await bench.rows(sql`select key, rules, held, state, "row" from naru.quarantine`)).toEqual([
    {
      key: '2',
      rules: ['size.range', 'name.required'],
      held: false,
      state: 'open',
      row: '{"id":"2","name":null,"size":"500"}',
    },
  ])
  expect(
    await bench.rows(sql`select rule, phase, rows_checked, rows_failed, samples from naru.rule_result order by rule`),
  ).toEqual([
    { rule: 'id.not-null', phase: 'after', rows_checked: 3n, rows_failed: 0n, samples: '[]' },
    { rule: 'name.required', phase: 'after', rows_checked: 3n, rows_failed: 2n, samples: '["2","3"]' },
    { rule: 'size.range', phase: 'after', rows_checked: 3n, rows_failed: 1n, samples: '["2"]' },
  ])
})

test('a key whose new version fails keeps the version before it, flagged, until a good one arrives', async () => {
  await open({ rules: [sizeRange] })
  await bench.stage([[1, 'a', 5]])
  await bench.run()
  await bench.stage([[1, 'b', 500]])
  const held = await bench.run()
  expect(held).toMatchObject({ scope: 'delta', inserted: 0, updated: 1, deleted: 0 })
  expect(await bench.cleansed()).toEqual([{ id: 1n, name: 'a', size: 5n, _held: true }])
  expect(await bench.rows(sql`select held, state from naru.quarantine`)).toEqual([{ held: true, state: 'open' }])
  await bench.stage([[1, 'c', 6]])
  expect(await bench.keys(await bench.run())).toEqual([{ id: 1n, _op: 'u' }])
  expect(await bench.cleansed()).toEqual([{ id: 1n, name: 'c', size: 6n, _held: false }])
  expect(await bench.rows(sql`select state, resolution, resolved_run from naru.quarantine`)).toEqual([
    { state: 'resolved', resolution: 'passed', resolved_run: 3n },
  ])
})

test('a deleted row leaves the cleansed table and closes its quarantine', async () => {
  await open({ rules: [sizeRange] })
  await bench.stage([
    [1, 'a', 5],
    [2, 'b', 500],
  ])
  await bench.run()
  await bench.stage([], [[1], [2]])
  const changes = await bench.run()
  expect(changes).toMatchObject({ inserted: 0, updated: 0, deleted: 1 })
  expect(await bench.keys(changes)).toEqual([{ id: 1n, _op: 'd' }])
  expect(await bench.cleansed()).toEqual([])
  expect(await bench.rows(sql`select key, state, resolution from naru.quarantine`)).toEqual([
    { key: '2', state: 'resolved', resolution: 'gone' },
  ])
})

test('repairs leave one correction a cell, those of a key are replaced with its next version', async () => {
  await open({ cleanse: trimmed, rules: [sizeRange] })
  await bench.stage([
    [1, ' a ', 5],
    [2, 'b', 6],
    [3, ' bad', 500],
  ])
  await bench.run()
  const corrections = sql`select run, key, "column" as c, repair, "before" as b, "after" as a from naru.correction order by key`
  expect(await bench.rows(corrections)).toEqual([{ run: 1n, key: '1', c: 'name', repair: 'cleanse', b: ' a ', a: 'a' }])
  await bench.stage([
    [1, ' c', 5],
    [2, 'd ', 6],
  ])
  await bench.run()
  expect(await bench.rows(corrections)).toEqual([
    { run: 2n, key: '1', c: 'name', repair: 'cleanse', b: ' c', a: 'c' },
    { run: 2n, key: '2', c: 'name', repair: 'cleanse', b: 'd ', a: 'd' },
  ])
  await bench.stage([[1, 'e', 999]])
  await bench.run()
  // The version that is held keeps its corrections.
  expect(await bench.rows(corrections)).toHaveLength(2)
})

test('a delta touches only its keys and hands on only what differs', async () => {
  await open({ cleanse: trimmed })
  await bench.stage(Array.from({ length: 50 }, (_, i) => [i, `n${i}`, i]))
  await bench.run()
  await bench.stage([
    [7, ' n7 ', 7],
    [8, 'changed', 8],
    [99, 'new', 9],
  ])
  const changes = await bench.run()
  expect(await bench.keys(changes)).toEqual([
    { id: 8n, _op: 'u' },
    { id: 99n, _op: 'i' },
  ])
  expect(
    await bench.rows(sql`select rows_checked from naru.rule_result where run = 2 and rule = 'id.not-null'`),
  ).toEqual([{ rows_checked: 3n }])
})

test('nothing changed gives an empty change set', async () => {
  await open()
  await bench.stage([[1, 'a', 1]])
  await bench.run()
  expect(await bench.run()).toMatchObject({ scope: 'delta', keys: null, inserted: 0, updated: 0, deleted: 0 })
})

test('computing everything again hands on only what differs', async () => {
  await open({ rules: [sizeRange], cleanse: trimmed })
  await bench.stage([
    [1, 'a', 1],
    [2, ' b', 2],
    [3, 'c', 300],
  ])
  await bench.run()
  expect(await bench.run({ rebuild: true })).toMatchObject({ scope: 'delta', keys: null })
  await bench.in(tx => tx.execute(sql`update cleansed.item_shop set name = 'spoilt' where id = 2`))
  const changes = await bench.run({ scope: 'all' })
  expect(await bench.keys(changes)).toEqual([{ id: 2n, _op: 'u' }])
  expect(await bench.rows(sql`select key, state from naru.quarantine`)).toEqual([{ key: '3', state: 'open' }])
  expect(await bench.rows(sql`select count(*) as n from naru.correction`)).toEqual([{ n: 1n }])
})

test('a table whose columns changed in the config is made anew', async () => {
  await open()
  await bench.stage([[1, 'a', 1]])
  await bench.run()
  await bench.in(tx => tx.execute(sql`alter table cleansed.item_shop rename column size to old_size`))
  expect(await bench.run()).toMatchObject({ scope: 'all', inserted: 1 })
  expect(await bench.cleansed()).toEqual([{ id: 1n, name: 'a', size: 1n, _held: false }])
})

test('a condition of the contribution leaves rows out, and takes them out when they no longer meet it', async () => {
  await open({
    where: {
      kind: 'call',
      fn: 'gt',
      args: [col('size', int), { kind: 'literal', value: 3, type: int }],
      type: { kind: 'bool' },
    },
  })
  await bench.stage([
    [1, 'a', 1],
    [2, 'b', 5],
    [3, 'c', null],
  ])
  await bench.run()
  expect((await bench.cleansed()).map(row => row['id'])).toEqual([2n])
  await bench.stage([[2, 'b', 2]])
  expect(await bench.keys(await bench.run())).toEqual([{ id: 2n, _op: 'd' }])
})
