import { afterEach, describe, expect, test } from 'vitest'
import { realEnv, type Env } from '../../src/core/env.ts'
import { sqlite, t } from '../../src/index.ts'
import { checkProject } from '../../src/app/check/check.ts'
import { makePlan } from '../../src/app/plan.ts'
import { makeStore, type Store } from '../support/store.ts'

// Reading by a number that moves on, alone and with other columns. The source is SQLite: one writer at a time.

const setup =
  `create table item (id integer primary key, name text not null, rev integer, at text, state text not null default 'done');
  insert into item (id, name, rev, at) select value, 'n' || value, value, '2026-01-01 10:00:00' from generate_series(1, 5)`
    .replace(
      'select value',
      'with recursive generate_series(value) as (select 1 union all select value + 1 from generate_series where value < 5) select value',
    )
    .replace(' from generate_series(1, 5)', ' from generate_series')
const columns = { id: t.big(), name: t.text(), rev: t.big().null(), at: t.text().null(), state: t.text() }
const schema = { item: { key: ['id'], columns } } as const
type Change = NonNullable<Parameters<typeof sqlite<'shop', typeof schema>>[1]['changes']>['item']

const open: Store[] = []
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
})

async function storeBy(change: NonNullable<Change>): Promise<Store> {
  const store = await makeStore(setup, path => ({ shop: sqlite('shop', { path, schema, changes: { item: change } }) }))
  open.push(store)
  return store
}

const version = { technique: 'version', column: 'rev', overlap: 0, deletes: 'keep' } as const
const staged = async (store: Store, what = 'id'): Promise<readonly string[]> =>
  (await store.rows(`select ${what} as v from staging.shop_item order by id`)).map(row => String(row['v']))

/** The time of the source and of ours. */
function at(time: string): Env {
  const real = realEnv()
  const micros = BigInt(Date.parse(time)) * 1000n
  return { ...real, clock: { ...real.clock, nowMicros: () => micros } }
}

describe('by a version', () => {
  test('only rows whose number moved on are read; gaps do no harm', async () => {
    const store = await storeBy(version)
    expect((await store.run()).rowsRead).toBe(5)
    store.execute(
      `insert into item (id, name, rev) values (9, 'new', 1000); update item set name = 'x', rev = 2000 where id = 2`,
    )
    const run = await store.run()
    // The highest number is read again: a row with the same one may have come later.
    expect(run.rowsRead).toBe(3)
    expect(await staged(store, 'name')).toEqual(['n1', 'x', 'n3', 'n4', 'n5', 'new'])
  })

  test('rows with one number all arrive once, wherever among them a run came', async () => {
    const ids = Array.from({ length: 8 }, (_, i) => 10 + i)
    for (const k of [0, 1, 4, 7, 8]) {
      const store = await storeBy(version)
      const add = (some: readonly number[]): void =>
        some.forEach(id => store.execute(`insert into item (id, name, rev) values (${id}, 'tie', 77)`))
      add(ids.slice(0, k))
      await store.run()
      add(ids.slice(k))
      const second = await store.run()
      expect(await staged(store)).toEqual([1, 2, 3, 4, 5, ...ids].map(String))
      expect(second.rowsStaged).toBe(ids.length - k)
    }
  })

  test('numbers down to the overlap are read again, and those below it are found by the sweep, which says so', async () => {
    const store = await storeBy({ ...version, overlap: 3, deletes: { sweep: '1d' } })
    store.execute('update item set rev = rev + 100')
    await store.run({ env: at('2026-01-01T12:00:00Z') })
    store.execute(`insert into item (id, name, rev) values (6, 'late', 102), (7, 'too late', 50)`)
    await store.run({ env: at('2026-01-01T12:01:00Z') })
    expect(await staged(store)).toEqual(['1', '2', '3', '4', '5', '6'])
    store.execute('delete from item where id = 1')
    const swept = await store.run({ env: at('2026-01-02T12:02:00Z') })
    expect(swept.notes.join()).toContain('1 rows came without moving rev')
    expect(await staged(store)).toEqual(['2', '3', '4', '5', '6', '7'])
  })

  test('a number that goes back stops the table, and names the key', async () => {
    const store = await storeBy({ ...version, overlap: 10 })
    await store.run()
    store.execute(
      `update item set name = 'back', rev = 2 where id = 4; insert into item (id, name, rev) values (8, 'x', 8)`,
    )
    await expect(store.run()).rejects.toThrow(
      'the version in rev of shop.item went back for 1 row: id = 4 has 2 and had 4',
    )
    expect(await staged(store, 'name')).toEqual(['n1', 'n2', 'n3', 'n4', 'n5'])
  })

  test('a number that comes again with other values stops the table, and names the key', async () => {
    const store = await storeBy(version)
    await store.run()
    store.execute(`update item set name = 'silent' where id = 5`)
    await expect(store.run()).rejects.toThrow(
      '1 row of shop.item changed and kept the version in rev: id = 5 has 5 and had 5',
    )
    // The way on that the message names.
    store.configure({ shop: sqlite('shop', { path: store.source, schema }) })
    await store.run()
    store.configure({ shop: sqlite('shop', { path: store.source, schema, changes: { item: version } }) })
    await store.run()
    expect(await staged(store, 'name')).toEqual(['n1', 'n2', 'n3', 'n4', 'silent'])
  })

  test('a source that tells nothing of its transactions needs an overlap: a check says so', async () => {
    const { overlap: _, ...unstated } = version
    const store = await storeBy(unstated)
    const problems = await checkProject(store.open(), new AbortController().signal)
    expect(problems.map(problem => problem.code)).toContain('OVERLAP_UNKNOWN')
    await expect(store.run()).rejects.toMatchObject({ code: 'OVERLAP_UNKNOWN' })
  })

  test('what is not seen is told before anything is lost', async () => {
    const store = await storeBy({ ...version, overlap: 3 })
    const problems = await checkProject(store.open(), new AbortController().signal)
    expect(problems.find(problem => problem.code === 'TECHNIQUE_BLIND_SPOT')?.message).toBe(
      'the technique version does not see deletes, numbers over 3 below the highest, updates that leave its columns alone, ' +
        'versions between two reads, the old key of a row that got another, a table that is emptied at once',
    )
    await store.run()
    const plan = await makePlan(store.open(), new AbortController().signal)
    expect(plan.reads[0]).toMatchObject({ how: 'rows with rev from 2 on' })
    expect(plan.reads[0]?.unseen).toContain('deletes')
  })
})

describe('by several columns', () => {
  const combined = {
    technique: 'combined',
    timestamp: { column: 'at', lag: '1m' },
    version: { column: 'rev', overlap: 0 },
    status: { column: 'state', pending: 'new' },
    deletes: 'keep',
  } as const
  const noon = at('2026-01-01T12:00:00Z')
  const later = at('2026-01-01T12:10:00Z')

  test('a row is read when one of them shows it, and not when none does', async () => {
    const store = await storeBy(combined)
    await store.run({ env: noon })
    store.execute(`update item set name = 'time', at = '2026-01-01 12:05:00' where id = 1;
      update item set name = 'number', rev = 6 where id = 2; update item set name = 'flag', state = 'new' where id = 3;
      update item set name = 'silent' where id = 4`)
    const run = await store.run({ env: later })
    expect(await staged(store, 'name')).toEqual(['time', 'number', 'flag', 'n4', 'n5'])
    expect(run.rowsRead).toBeLessThan(5)
  })

  test('a sweep compares whole rows: deletes and silent updates arrive with it', async () => {
    const store = await storeBy({ ...combined, deletes: { sweep: '1h' } })
    await store.run({ env: noon })
    store.execute(`update item set name = 'silent' where id = 4; delete from item where id = 1`)
    await store.run({ env: later })
    expect(await staged(store, 'name')).toEqual(['n1', 'n2', 'n3', 'n4', 'n5'])
    await store.run({ env: at('2026-01-01T13:00:00Z') })
    expect(await staged(store, 'name')).toEqual(['n2', 'n3', 'silent', 'n5'])
  })

  test('the strictest rule wins: a number that goes back stops it, a clock that goes back reads everything', async () => {
    const store = await storeBy(combined)
    await store.run({ env: noon })
    store.execute(`update item set name = 'silent' where id = 4`)
    const back = await store.run({ env: at('2026-01-01T11:00:00Z') })
    expect(back.notes.join()).toContain('the clock of the source went back by 1.00 hours')
    expect(await staged(store, 'name')).toEqual(['n1', 'n2', 'n3', 'silent', 'n5'])
    store.execute(`update item set name = 'x', rev = 1, state = 'new' where id = 4`)
    await expect(store.run({ env: later })).rejects.toThrow('went back for 1 row: id = 4 has 1 and had 4')
  })
})
