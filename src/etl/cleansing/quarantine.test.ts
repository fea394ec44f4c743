import { afterEach, expect, test } from 'vitest'
import { sql } from '../../core/sql.ts'
import { columnDef, controlText, int, openBench, rule, text, type Bench, type Given } from './cleansing.test.support.ts'
import { fix, listQuarantine, recycle, showQuarantine } from './quarantine.ts'

let bench: Bench
afterEach(() => bench.close())

const sizeRange = rule('size.range', 'size', { kind: 'range', min: 0, max: 100 })

async function open(given: Given = { rules: [sizeRange] }): Promise<void> {
  bench = await openBench(given)
}

test('rows can be listed by rule and shown with their history', async () => {
  await open()
  await bench.stage([
    [1, 'a', 500],
    [2, 'b', 501],
  ])
  await bench.run()
  await bench.stage([[1, 'a', 5]])
  await bench.run()
  await bench.stage([[1, 'a', 502]])
  await bench.run()
  const waiting = await bench.in(tx => listQuarantine(tx, { rule: 'size.range', state: 'open' }, 10))
  expect(waiting.map(row => [row.key, row.held, row.row['size']])).toEqual([
    ['1', true, '502'],
    ['2', false, '501'],
  ])
  const one = await bench.in(tx => showQuarantine(tx, { entity: 'item', contributor: 'shop', key: '1' }))
  expect(one.map(row => [row.state, row.resolution, row.resolvedRun])).toEqual([
    ['open', null, null],
    ['resolved', 'passed', 2n],
  ])
})

test('a recycled row is tried by the next run, with nothing new in the source', async () => {
  await open({ rules: [rule('size.ref', 'size', { kind: 'reference', to: { entity: 'item' } })] })
  await bench.in(tx => tx.execute(sql`create table ods.item (id bigint)`))
  await bench.stage([
    [1, 'a', 7],
    [2, 'b', 8],
  ])
  await bench.run()
  expect(await bench.cleansed()).toEqual([])
  await bench.in(tx => tx.execute(sql`insert into ods.item values (7)`))
  expect(await bench.run()).toMatchObject({ keys: null })
  expect(await bench.in(tx => recycle(tx, { rule: 'size.ref' }))).toBe(2)
  expect(await bench.keys(await bench.run())).toEqual([{ id: 1n, _op: 'i' }])
  expect(await bench.rows(sql`select key, state from naru.quarantine order by key`)).toEqual([
    { key: '1', state: 'resolved' },
    { key: '2', state: 'open' },
  ])
  expect(await bench.run()).toMatchObject({ keys: null })
})

test('a fix holds for this version of the row, is recorded as a correction, and gives way to the next version', async () => {
  await open({
    rules: [sizeRange],
    files: true,
    staged: [columnDef('id', text), columnDef('name', text), columnDef('size', int)],
    columns: [columnDef('id', text, { nullable: false }), columnDef('name', text), columnDef('size', int)],
  })
  await bench.stage([['k1', 'a', 'many']])
  await bench.run()
  const cell = { entity: 'item', contributor: 'shop', key: 'k1', column: 'size' }
  await bench.in(tx => fix(tx, bench.given.project, { ...cell, value: '12' }))
  await bench.run()
  expect(await bench.cleansed()).toEqual([{ id: 'k1', name: 'a', size: 12n, _held: false }])
  expect(await bench.rows(sql`select repair, "before" as b, "after" as a from naru.correction`)).toEqual([
    { repair: 'fix', b: null, a: '12' },
  ])
  // Computed again from staging, the fix is still there.
  expect(await bench.run({ rebuild: true })).toMatchObject({ keys: null })
  await bench.stage([['k1', 'a', '13']])
  await bench.run()
  expect(await bench.cleansed()).toEqual([{ id: 'k1', name: 'a', size: 13n, _held: false }])
  expect(await bench.rows(sql`select * from naru.correction`)).toEqual([])
})

test('a fix that cannot be is refused: no such row, no such column, a key, personal data, a value of another type', async () => {
  const columns = [
    columnDef('id', int, { nullable: false }),
    columnDef('name', text, { personal: true }),
    columnDef('size', int),
  ]
  await open({ rules: [sizeRange], columns })
  await bench.stage([[1, 'a', 500]])
  await bench.run()
  const one = { entity: 'item', contributor: 'shop', key: '1' }
  const tried = (cell: Parameters<typeof fix>[2]): Promise<void> => bench.in(tx => fix(tx, bench.given.project, cell))
  await expect(tried({ ...one, key: '2', column: 'size', value: '1' })).rejects.toMatchObject({
    code: 'QUARANTINE_NONE',
  })
  for (const [column, value] of [
    ['nothing', '1'],
    ['id', '2'],
    ['name', 'b'],
    ['size', '1.5'],
  ] as const) {
    await expect(tried({ ...one, column, value })).rejects.toMatchObject({ code: 'QUARANTINE_FIX' })
  }
  await tried({ ...one, column: 'size', value: null })
  await bench.run()
  expect(await bench.cleansed()).toHaveLength(1)
})

test('personal values stand in no control table: not in keys, rows, lost texts or corrections', async () => {
  const personal = { personal: true }
  await open({
    files: true,
    stagedKey: ['mail'],
    key: ['mail'],
    staged: [columnDef('mail', text, personal), columnDef('name', text), columnDef('size', int, personal)],
    columns: [
      columnDef('mail', text, { nullable: false, personal: true }),
      columnDef('name', text, personal),
      columnDef('size', int, personal),
    ],
    rules: [sizeRange, rule('name.required', 'name', { kind: 'required' }, { severity: 'warn' })],
    cleanse: [
      {
        column: 'name',
        expr: { kind: 'call', fn: 'trim', args: [{ kind: 'column', name: 'name', type: text }], type: text },
      },
    ],
  })
  await bench.stage([
    ['canary-1@x', ' canary-2 ', '5'],
    ['canary-3@x', 'canary-4', 'canary-5'],
    ['canary-6@x', null, '50000'],
  ])
  await bench.run()
  const texts = await controlText(bench)
  expect(texts).not.toContain('canary')
  expect(texts).not.toContain('50000')
  expect(await bench.rows(sql`select "before" as b, "after" as a from naru.correction`)).toEqual([
    { b: '***', a: '***' },
  ])
  // The fingerprint of a personal key still finds its row.
  await bench.in(tx => tx.execute(sql`update staging.shop_item set size = '6' where mail = 'canary-3@x'`))
  expect(await bench.in(tx => recycle(tx, {}))).toBe(2)
  expect(await bench.run()).toMatchObject({ inserted: 1 })
})
