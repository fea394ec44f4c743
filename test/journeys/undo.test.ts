import fc from 'fast-check'
import { utimes, writeFile, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { undoLoad, type Undone, type UndoOptions } from '../../src/app/undo.ts'
import { realEnv, type Env } from '../../src/core/env.ts'
import { dw, files, ods, rule, sqlite, t } from '../../src/index.ts'
import type { Handle } from '../../src/config/handle.ts'
import { makeStore, type Store } from '../support/store.ts'

const setup = `
  create table item (id integer primary key not null, label text, amount integer not null, at text not null);
  insert into item values (1, 'a', 10, '2026-01-01 10:00:00'), (2, 'b', 20, '2026-01-02 10:00:00'), (3, 'a', -5, '2026-01-03 10:00:00');`
const columns = { id: t.big(), label: t.text().null(), amount: t.big(), at: t.text() }

/** Every stage: rows in quarantine by a rule, an export, a dimension without history, a fact and a summary. */
function models(source: string): Record<string, Handle> {
  const shop = sqlite('shop', { path: source, schema: { item: { key: ['id'], columns } } })
  const item = ods
    .entity('item', {
      key: 'id',
      columns: { id: t.big(), label: t.text().null(), amount: t.big(), at: t.timestamp() },
    })
    .from(shop.item, r => ({ id: r.id, label: r.label, amount: r.amount, at: r.at.as(t.timestamp()) }))
    .rules({ amount: rule.range(0, 1000) })
  const x = ods.export('item', item)
  const day = dw.calendar('day')
  const dItem = dw.dimension('item', x)
  const fact = dw.fact('item', x, { grain: 'id', at: 'at', dims: { day: day.by('at'), item: dItem.by('id') } })
  const byDay = dw.summary('by_day', fact, {
    by: f => ({ year: f.day.year }),
    get: f => ({ n: f.count(), amount: f.amount.sum() }),
  })
  return { byDay, dItem }
}

const open: Store[] = []
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
})

async function itemStore(): Promise<Store> {
  const store = await makeStore(setup, models)
  open.push(store)
  await store.run()
  return store
}

/**
 * What people see now. The warehouse remembers that other values stood there for a while: versions of a dimension, keys of
 * members that came back, and restated facts are its memory, which nothing takes back.
 */
async function seen(store: Store): Promise<Readonly<Record<string, unknown>>> {
  const { 'dw."dim_item"': _, 'dw."fact_item"': __, 'dw."fact_item__restated"': ___, ...rest } = await store.state()
  if (_ === undefined) return rest
  return {
    ...rest,
    members: await store.rows(
      'select id, label, amount from dw.dim_item where is_current and not is_deleted order by id',
    ),
    facts: await store.rows(
      'select f.id, f.label, f.amount, d.id as item from dw.fact_item f join dw.dim_item d using (item_key) order by f.id',
    ),
  }
}

function undo(
  store: Store,
  load: number | string,
  more: Partial<UndoOptions> = {},
  env: Env = realEnv(),
): Promise<Undone> {
  const { signal } = new AbortController()
  return undoLoad(store.open(env), {
    load: String(load),
    cascade: false,
    keepPosition: false,
    emit: () => {},
    signal,
    ...more,
  })
}

const change = `insert into item values (4, 'd', 40, '2026-01-04 10:00:00'); update item set amount = 99 where id = 1; delete from item where id = 2`

describe('undo of a load', () => {
  test('after a run, every table of every stage is what it was before it', async () => {
    const store = await itemStore()
    const before = await seen(store)
    store.execute(change)
    await store.run()
    expect(await seen(store)).not.toEqual(before)
    const undone = await undo(store, 2)
    expect(undone.loads).toEqual([{ load: 2n, table: 'shop.item', rows: 3 }])
    expect(await seen(store)).toEqual(before)
    expect(await store.rows('select load, state, undone_run from naru.load order by load')).toEqual([
      { load: 1n, state: 'published', undone_run: null },
      { load: 2n, state: 'undone', undone_run: 3n },
    ])
  })

  test('the next run reads the range again, and brings what the source has', async () => {
    const store = await itemStore()
    store.execute(change)
    await store.run()
    const after = await seen(store)
    await undo(store, 2)
    await store.run()
    expect(await seen(store)).toEqual(after)
  })

  test('whatever two runs brought: run A, run B, undo B is run A', { timeout: 240_000 }, () => {
    // Item 1 stays: a run that would empty the dimension is refused by its own guard. All amounts are right: where the
    // version that comes back breaks a rule, the one that was in use last stays in use, as in any run.
    const id = fc.constantFrom(2, 4, 5, 6)
    const amount = fc.integer({ min: 0, max: 1000 })
    const statements = fc.array(
      fc.oneof(
        id.map(n => `delete from item where id = ${n}`),
        fc.tuple(id, amount).map(([n, a]) => `update item set amount = ${a} where id = ${n}`),
        fc.integer({ min: 1, max: 999 }).map(a => `update item set amount = ${a} where id = 1`),
        fc
          .tuple(id, amount)
          .map(([n, a]) => `insert or ignore into item values (${n}, 'n', ${a}, '2026-02-0${n} 00:00:00')`),
      ),
      { minLength: 1, maxLength: 6 },
    )
    return fc.assert(
      fc.asyncProperty(statements, statements, async (a, b) => {
        const store = await itemStore()
        a.forEach(store.execute)
        await store.run()
        const before = await seen(store)
        b.forEach(store.execute)
        await store.run()
        const [last] = await store.rows('select max(load) as load from naru.load')
        await undo(store, String(last?.['load']))
        expect(await seen(store)).toEqual(before)
        await store.remove()
        open.length = 0
      }),
      { numRuns: 4, endOnFailure: true },
    )
  })

  test.each([
    'run.begin.after',
    'staging.apply.after',
    'run.publish.commit.before',
    'run.publish.commit.after',
  ] as const)('that breaks at %s is done or not begun, never half', async point => {
    const store = await itemStore()
    const before = await seen(store)
    store.execute(change)
    await store.run()
    const after = await seen(store)
    const crash = (at: string): void => {
      if (at === point) throw new Error('broken')
    }
    await expect(undo(store, 2, {}, { ...realEnv(), crash })).rejects.toThrow('broken')
    const isDone = point === 'run.publish.commit.after'
    expect(await seen(store)).toEqual(isDone ? before : after)
    if (isDone) return
    await undo(store, 2)
    expect(await seen(store)).toEqual(before)
  })

  test('is refused when later loads changed the same rows, naming them; with cascade they go first', async () => {
    const store = await itemStore()
    const before = await seen(store)
    store.execute(change)
    await store.run()
    store.execute(
      `update item set amount = 98 where id = 1; insert into item values (2, 'again', 1, '2026-01-02 00:00:00')`,
    )
    await store.run()
    await expect(undo(store, 2)).rejects.toMatchObject({
      code: 'UNDO_LATER',
      message: expect.stringMatching(/later loads changed 2 of its rows \(3\)/) as string,
    })
    expect((await undo(store, 2, { cascade: true })).loads.map(it => it.load)).toEqual([3n, 2n])
    expect(await seen(store)).toEqual(before)
  })

  test('of a load whose rows no later load touched leaves the later one in place', async () => {
    const store = await itemStore()
    store.execute(`insert into item values (4, 'd', 40, '2026-01-04 10:00:00')`)
    await store.run()
    store.execute(`insert into item values (5, 'e', 50, '2026-01-05 10:00:00')`)
    await store.run()
    await undo(store, 2)
    expect(await store.rows('select id from ods.item order by id')).toEqual([{ id: 1n }, { id: 2n }, { id: 5n }])
  })

  test.each([
    ['one that is not there', '77', 'there is no such load'],
    ['one that is undone already', '2', 'it is undone'],
    ['a word', 'last', 'a load is a number'],
  ])('refuses %s', async (_, load, why) => {
    const store = await itemStore()
    store.execute(change)
    await store.run()
    await undo(store, 2)
    await expect(undo(store, load)).rejects.toMatchObject({
      code: 'LOAD_UNKNOWN',
      message: expect.stringContaining(why) as string,
    })
  })

  test('a load that replaced the image in another shape is refused', async () => {
    const store = await itemStore()
    const fewer = { id: columns.id, amount: columns.amount, at: columns.at }
    store.configure({ shop: sqlite('shop', { path: store.source, schema: { item: { key: ['id'], columns: fewer } } }) })
    await store.run()
    await expect(undo(store, 2)).rejects.toMatchObject({ code: 'LOAD_UNKNOWN' })
  })

  test('whose rows a later load replaced with the whole table is refused, naming that load', async () => {
    const store = await itemStore()
    store.execute(change)
    await store.run()
    const fewer = { id: columns.id, amount: columns.amount, at: columns.at }
    store.configure({ shop: sqlite('shop', { path: store.source, schema: { item: { key: ['id'], columns: fewer } } }) })
    await store.run()
    const before = await store.state()
    for (const cascade of [false, true]) {
      await expect(undo(store, 2, { cascade })).rejects.toMatchObject({
        code: 'UNDO_REPLACED',
        message: expect.stringContaining('load 2 of shop.item cannot be undone: load 3 read the whole table') as string,
        exit: 2,
      })
    }
    expect(await store.state()).toEqual(before)
    expect(await store.rows('select state from naru.load order by load')).toEqual([
      { state: 'published' },
      { state: 'published' },
      { state: 'published' },
    ])
  })

  test('that changed no row takes none back, and says so', async () => {
    const store = await itemStore()
    await store.run()
    const before = await store.state()
    expect((await undo(store, 2)).loads).toEqual([{ load: 2n, table: 'shop.item', rows: 0 }])
    expect(await store.state()).toEqual(before)
  })

  test('of rows that a later load of the whole table brought again as they were takes them back', async () => {
    const store = await itemStore()
    const before = await seen(store)
    store.execute(change)
    await store.run()
    await store.run()
    expect((await undo(store, 2)).loads).toEqual([{ load: 2n, table: 'shop.item', rows: 3 }])
    expect(await seen(store)).toEqual(before)
  })
})

describe('the same bytes in two partitions', () => {
  test('are the rows of both, and under two names of one they are one file', async () => {
    const store = await makeStore('select 1', () => ({}))
    open.push(store)
    const inbox = path.join(store.folder, 'inbox')
    const columns = { dt: t.date(), id: t.int() }
    const glob = 'stock/dt=*/*.csv'
    const stock = files('shop', {
      folder: inbox,
      tables: { stock: { glob, key: ['dt', 'id'], scope: 'delta', columns } },
    })
    store.configure({ stock })
    for (const name of ['dt=2026-01-01/a.csv', 'dt=2026-01-02/a.csv', 'dt=2026-01-02/b.csv']) {
      const file = path.join(inbox, 'stock', name)
      await mkdir(path.dirname(file), { recursive: true })
      await writeFile(file, 'id\n1\n2\n')
      await utimes(file, 1_700_000_000, 1_700_000_000)
    }
    await store.run()
    await store.run()
    expect(await store.rows('select dt, count(*) as n from staging.shop_stock group by dt order by dt')).toHaveLength(2)
    expect(await store.rows("select name from naru.file where state = 'duplicate'")).toEqual([
      { name: 'stock/dt=2026-01-02/b.csv' },
    ])
  })
})

describe('undo of a load of files', () => {
  test('makes the file loadable again', async () => {
    const store = await makeStore('select 1', () => ({}))
    open.push(store)
    const inbox = path.join(store.folder, 'inbox')
    await mkdir(inbox)
    const put = async (name: string, text: string, day: number): Promise<void> => {
      await writeFile(path.join(inbox, name), text)
      const at = new Date(Date.UTC(2026, 0, day))
      await utimes(path.join(inbox, name), at, at)
    }
    const orders = files('shop', {
      folder: inbox,
      tables: { order: { glob: 'order*.csv', key: 'id', scope: 'delta', columns: { id: t.int(), n: t.int() } } },
    })
    store.configure({ orders })
    await put('order1.csv', 'id,n\n1,10\n2,20\n', 1)
    await store.run()
    const before = await seen(store)
    await put('order2.csv', 'id,n\n2,21\n3,30\n', 2)
    await store.run()
    const after = await seen(store)
    await undo(store, 2)
    expect(await seen(store)).toEqual(before)
    await store.run()
    expect(await seen(store)).toEqual(after)
    await undo(store, 3, { keepPosition: true })
    expect(await seen(store)).toEqual(before)
    // With its position kept the file is left alone.
    await store.run()
    expect(await seen(store)).toEqual(before)
  })
})
