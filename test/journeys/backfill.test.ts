import { afterEach, describe, expect, test } from 'vitest'
import { backfillRange } from '../../src/app/backfill.ts'
import { adapters, type AdapterImplementation } from '../../src/app/registry.ts'
import { fail } from '../../src/core/errors.ts'
import { sqlite, t } from '../../src/index.ts'
import type { RowFilter, Snapshot } from '../../src/services/adapter/contract.ts'
import { makeStore, type Store } from '../support/store.ts'
import { readingThrough } from '../support/reading-through.ts'

/** Sixty days of rows, two a day, whose change time never moves: what a poll does not see. */
const setup = `
  create table sale (id integer primary key not null, amount integer not null, sold text not null, changed text not null);
  insert into sale with recursive n(i) as (select 0 union all select i + 1 from n where i < 119)
  select i, i, date('2026-01-01', '+' || (i / 2) || ' days'), '2026-03-01 00:00:00' from n;`
const columns = { id: t.big(), amount: t.big(), sold: t.text(), changed: t.text() }
const schema = { sale: { key: ['id'], columns } } as const

const open: Store[] = []
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
})

async function saleStore(): Promise<Store> {
  const store = await makeStore(setup, path => ({ shop: sqlite('shop', { path, schema, retries: 0 }) }))
  open.push(store)
  await store.run()
  return store
}

const january = { column: 'sold', from: '2026-01-01', to: '2026-02-01' }
const only = { selectors: ['shop.sale'] }

function breakingAfter(reads: number, asked: RowFilter[] = []): Record<string, AdapterImplementation> {
  const breaking = readingThrough('sqlite', snapshot => ({
    read: async function* (...given: Parameters<Snapshot['read']>) {
      if (asked.length === reads) throw fail('SOURCE_READ', { source: 'shop', table: 'sale', problem: 'it broke' })
      asked.push(given[2])
      yield* snapshot.read(...given)
    },
  }))
  return { ...adapters, sqlite: breaking }
}

const change = `
  update sale set amount = -1 where id in (3, 100); delete from sale where id in (4, 101);
  insert into sale values (500, 5, '2026-01-15', '2026-03-01 00:00:00'), (501, 5, '2026-02-15', '2026-03-01 00:00:00')`

describe('a backfill', () => {
  test('replaces the range and nothing else, and leaves the position alone', async () => {
    const store = await saleStore()
    const position = await store.rows('select * from naru.position')
    store.execute(change)
    const run = await store.run({ ...only, range: january })
    expect(run.rowsStaged).toBe(3)
    expect(
      await store.rows('select id, amount from staging.shop_sale where id in (3, 4, 100, 101, 500, 501) order by id'),
    ).toEqual([
      { id: 3n, amount: -1n },
      { id: 100n, amount: 100n },
      { id: 101n, amount: 101n },
      { id: 500n, amount: 5n },
    ])
    expect(await store.rows('select * from naru.position')).toEqual(position)
    expect(
      await store.rows('select scope, range_column, range_from, range_to from naru.load order by load desc limit 1'),
    ).toEqual([{ scope: 'range', range_column: 'sold', range_from: '2026-01-01', range_to: '2026-02-01' }])
  })

  test('a row that stands elsewhere in the source now is not taken for deleted, and that is said', async () => {
    const store = await saleStore()
    store.execute(`update sale set sold = '2026-03-15' where id = 3; delete from sale where id = 4`)
    const run = await store.run({ ...only, range: january })
    expect(await store.rows('select id, sold from staging.shop_sale where id in (3, 4)')).toEqual([
      { id: 3n, sold: '2026-01-02' },
    ])
    expect(run.notes.join()).toContain('1 staged rows')
    await store.run({ ...only, range: { column: 'sold', from: '2026-03-01', to: '2026-04-01' } })
    expect(await store.rows('select sold from staging.shop_sale where id = 3')).toEqual([{ sold: '2026-03-15' }])
  })

  test('goes on behind the last part when it broke, and reads a part again that changed', async () => {
    const store = await saleStore()
    store.execute(change)
    await expect(store.run({ ...only, range: january, adapters: breakingAfter(20) })).rejects.toMatchObject({
      code: 'SOURCE_READ',
    })
    store.execute('update sale set amount = -7 where id = 6')
    const asked: RowFilter[] = []
    await store.run({ ...only, range: january, adapters: breakingAfter(Infinity, asked) })
    expect(asked.map(filter => filter.range?.from)).toEqual([
      '2026-01-04',
      ...Array.from({ length: 11 }, (_, i) => `2026-01-${21 + i}`),
      // The keys of the source, because a row is missing: it may stand elsewhere.
      undefined,
    ])
    expect(await store.rows('select amount from staging.shop_sale where id in (3, 6) order by id')).toEqual([
      { amount: -1n },
      { amount: -7n },
    ])
  })

  test('can be undone', async () => {
    const store = await saleStore()
    const before = await store.state()
    store.execute(change)
    await store.run({ ...only, range: january })
    const { undoLoad } = await import('../../src/app/undo.ts')
    const { signal } = new AbortController()
    await undoLoad(store.open(), { load: '2', cascade: false, keepPosition: false, emit: () => {}, signal })
    expect(await store.state()).toEqual(before)
  })

  test('by a key of whole numbers', async () => {
    const store = await saleStore()
    store.execute('update sale set amount = -1; delete from sale where id = 12')
    await store.run({ ...only, range: { column: 'id', from: '10', to: '20' } })
    expect(await store.rows('select id from staging.shop_sale where amount = -1 order by id')).toEqual(
      [10n, 11n, 13n, 14n, 15n, 16n, 17n, 18n, 19n].map(id => ({ id })),
    )
    expect(await store.rows('select count(*) as n from staging.shop_sale')).toEqual([{ n: 119n }])
  })

  test('that was broken off gives way to a run, which says so', async () => {
    const store = await saleStore()
    await expect(store.run({ ...only, range: january, adapters: breakingAfter(5) })).rejects.toMatchObject({
      code: 'SOURCE_READ',
    })
    const run = await store.run()
    expect(run.notes.join()).toContain(
      'the backfill of sold from 2026-01-01 to 2026-02-01 was not finished: run it again',
    )
  })

  test('of a table that was not read yet is refused', async () => {
    const store = await makeStore(setup, path => ({ shop: sqlite('shop', { path, schema }) }))
    open.push(store)
    await expect(store.run({ ...only, range: january })).rejects.toMatchObject({ code: 'BACKFILL_UNREAD' })
  })
})

describe('the range of a backfill', () => {
  const typed = {
    id: t.big(),
    day: t.date(),
    wall: t.timestamp(),
    moment: t.timestamptz(),
    price: t.float().null(),
  }
  const project = async (): Promise<Parameters<typeof backfillRange>[0]> => {
    const store = await makeStore('select 1', path => ({
      shop: sqlite('shop', {
        path,
        schema: { sale: { key: ['id'], columns: typed } },
        changes: { sale: { technique: 'timestamp', column: 'moment', deletes: 'keep', lag: '1m' } },
      }),
    }))
    open.push(store)
    return store.open().project
  }

  test.each([
    ['id', '1', '20', '1', '20'],
    ['day', '2026-01-01', '2026-02-01', '2026-01-01', '2026-02-01'],
    ['wall', '2026-01-01', '2026-01-01T12:30', '2026-01-01 00:00:00', '2026-01-01 12:30:00'],
    ['moment', '2026-01-01', '2026-01-02 06:00Z', '2026-01-01 00:00:00+00', '2026-01-02 06:00:00+00'],
    [undefined, '2026-01-01', '2026-01-02', '2026-01-01 00:00:00+00', '2026-01-02 00:00:00+00'],
  ])('of %s from %s to %s is spelled as the column is compared', async (by, from, to, first, end) => {
    const range = backfillRange(await project(), ['shop.sale'], { from, to, by })
    expect(range).toEqual({ column: by ?? 'moment', from: first, to: end })
  })

  test.each([
    [['shop.sale', 'shop.other'], { from: '1', to: '2', by: 'id' }, 'it is of one table'],
    [[], { from: '1', to: '2', by: 'id' }, 'it is of one table'],
    [['shop'], { from: '1', to: '2', by: 'id' }, 'there is no such table; the config has shop.sale'],
    [['shop.sale'], { from: '1', to: undefined, by: 'id' }, 'a range has --from and --to'],
    [['shop.sale'], { from: '1', to: '2', by: 'nope' }, 'there is no column nope'],
    [['shop.sale'], { from: '9', to: '10', by: 'price' }, 'is no float'],
    [['shop.sale'], { from: '10', to: '9', by: 'id' }, '10 is not before 9'],
    [['shop.sale'], { from: '2026-02-30', to: '2026-03-01', by: 'day' }, '"2026-02-30" is no date'],
    [['shop.sale'], { from: '2026-01-01 00:00Z', to: '2026-03-01', by: 'wall' }, 'is no timestamp'],
  ])('%s %o is refused', async (selectors, given, problem) => {
    const known = await project()
    expect(() => backfillRange(known, selectors, given)).toThrow(problem)
  })
})
