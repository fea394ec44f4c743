import { mkdir, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { files, ods, sqlite, t } from '../../src/index.ts'
import type { Handle } from '../../src/config/handle.ts'
import { makeStore, type Store } from '../support/store.ts'

const setup = `
  create table item (id integer primary key not null, label text, price integer, at text);
  insert into item values (1, 'a', 10, '2026-01-01 00:00:00'), (2, 'b', 20, '2026-01-02 00:00:00'), (3, null, null, '2026-01-03 00:00:00');`
const columns = { id: t.big(), label: t.text().null(), price: t.big().null(), at: t.text().null() }
const schema = { item: { key: ['id'], columns } } as const

type Given = Omit<Parameters<typeof sqlite<'shop', typeof schema>>[1], 'path' | 'schema'>

const open: Store[] = []
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
})

function models(path: string, given: Given): Record<string, Handle> {
  const shop = sqlite('shop', { path, schema, ...given })
  const item = ods
    .entity('item', { key: 'id', columns: { id: t.big(), label: t.text().null(), price: t.big().null() } })
    .from(shop.item, r => ({ id: r.id, label: r.label, price: r.price }))
  return { item: ods.export('item', item) }
}

async function storeWith(given: Given): Promise<Store> {
  const store = await makeStore(setup, path => models(path, given))
  open.push(store)
  await store.run()
  return store
}

const staged = (store: Store, list = '* exclude (_load, _unit, _line)'): Promise<unknown> =>
  store.rows(`select ${list} from staging.shop_item order by id`)

describe('a new column', () => {
  const add = `alter table item add column note text; update item set note = 'n' || id where id < 3`

  test('without a contract is told and left', async () => {
    const store = await storeWith({})
    store.execute(add)
    const run = await store.run()
    expect(run.notes.join()).toContain('has columns that the configuration does not name: note')
    expect(
      await store.rows(
        `select column_name from information_schema.columns where table_name = 'shop_item' and column_name = 'note'`,
      ),
    ).toEqual([])
  })

  test('freeze ends the run with an error that names it; what was there stays', async () => {
    const store = await storeWith({ contract: 'freeze' })
    store.execute(add)
    const before = await store.state()
    await expect(store.run()).rejects.toMatchObject({
      code: 'SOURCE_COLUMN_NEW',
      message: expect.stringContaining('note') as string,
    })
    expect(await store.state()).toEqual(before)
  })

  test('evolve stages it with the values of old rows, keeps the history, and hands nothing on that did not change', async () => {
    const store = await storeWith({ contract: 'evolve' })
    store.execute(add)
    const run = await store.run()
    expect(run.notes.join()).toContain('note')
    expect(run.rowsMoved).toBe(0)
    expect(await staged(store, 'id, note')).toEqual([
      { id: 1n, note: 'n1' },
      { id: 2n, note: 'n2' },
      { id: 3n, note: null },
    ])
    expect(await store.rows('select id, _op from staging.shop_item__past order by id')).toEqual([
      { id: 1n, _op: 'u' },
      { id: 2n, _op: 'u' },
    ])
    expect(await store.run()).toMatchObject({ rowsStaged: 0 })
    expect(await store.rows('select "column" as c, state from naru."column"')).toEqual([
      { c: 'note', state: 'evolved' },
    ])
  })

  test('that was taken in and goes again is NULL from now on, and told', async () => {
    const store = await storeWith({ contract: 'evolve' })
    store.execute(add)
    await store.run()
    store.execute('alter table item drop column note')
    const run = await store.run()
    expect(run.notes.join()).toContain('the source no longer has note')
    expect(await staged(store, 'id, note')).toEqual([1n, 2n, 3n].map(id => ({ id, note: null })))
    store.execute(add)
    await store.run()
    expect(await staged(store, 'note')).toEqual([{ note: 'n1' }, { note: 'n2' }, { note: null }])
  })

  test('that changes its type later has the new one', async () => {
    const store = await storeWith({ contract: 'evolve' })
    store.execute(`alter table item add column note integer; update item set note = id`)
    await store.run()
    store.execute(
      `alter table item drop column note; alter table item add column note text; update item set note = 'x' || id`,
    )
    await store.run()
    expect(await staged(store, 'note')).toEqual([{ note: 'x1' }, { note: 'x2' }, { note: 'x3' }])
  })
})

describe('a column that is gone', () => {
  test('without a contract ends the run', async () => {
    const store = await storeWith({})
    store.execute('alter table item drop column price')
    await expect(store.run()).rejects.toMatchObject({ code: 'SOURCE_COLUMN_GONE' })
  })

  test('evolve makes it NULL from now on, keeps the values in the past, and takes it back when it returns', async () => {
    const store = await storeWith({ contract: { dropped: 'evolve' } })
    store.execute('alter table item drop column price')
    const run = await store.run()
    expect(run.notes.join()).toContain('the source no longer has price: NULL from now on')
    expect(await staged(store, 'price')).toEqual([{ price: null }, { price: null }, { price: null }])
    expect(await store.rows('select price from staging.shop_item__past order by id')).toEqual([
      { price: 10n },
      { price: 20n },
    ])
    expect(await store.rows('select price from ods.item where price is not null')).toEqual([])
    store.execute('alter table item add column price integer; update item set price = id * 10')
    await store.run()
    expect(await store.rows('select price from ods.item order by id')).toEqual([
      { price: 10n },
      { price: 20n },
      { price: 30n },
    ])
  })

  test('a key column is never NULL: that ends the run whatever the contract says', async () => {
    const store = await storeWith({ contract: 'evolve' })
    store.execute('alter table item rename column id to no')
    await expect(store.run()).rejects.toMatchObject({ code: 'SOURCE_COLUMN_GONE' })
  })
})

describe('a column of another type', () => {
  const change = `
    create table other (id integer primary key not null, label text, price text, at text);
    insert into other select id, label, cast(price as text), at from item;
    insert into other values (4, 'd', 'twelve', null), (5, 'e', '50', null);
    drop table item; alter table other rename to item`

  test('without a contract ends the run with both types', async () => {
    const store = await storeWith({})
    store.execute(change)
    await expect(store.run()).rejects.toMatchObject({ code: 'SOURCE_TYPE_CHANGED' })
  })

  test('evolve takes the rows that fit, and rejects the others with the value and the reason', async () => {
    const store = await storeWith({ contract: { types: 'evolve' } })
    store.execute(change)
    const run = await store.run()
    expect(run.notes.join()).toContain('rows that do not fit int64 are rejected')
    expect(await staged(store, 'id, price')).toEqual([
      { id: 1n, price: 10n },
      { id: 2n, price: 20n },
      { id: 3n, price: null },
      { id: 5n, price: 50n },
    ])
    expect(await store.rows('select reason, detail, row_key, content from naru.reject')).toEqual([
      {
        reason: 'VALUE_NOT_IN_TYPE',
        detail: 'column price of the source no longer fits int64',
        row_key: '{"id":"4"}',
        content: 'price: twelve',
      },
    ])
    expect(await store.rows(`select rows_read, rows_rejected from naru.load order by load desc limit 1`)).toEqual([
      { rows_read: 4n, rows_rejected: 1n },
    ])
  })

  test('beside a column that evolve took in, which counts as personal: the reject still names its row, and deletes are seen', async () => {
    const store = await storeWith({ contract: 'evolve' })
    store.execute(`${change}; alter table item add column phone text; delete from item where id = 2`)
    await store.run()
    expect(await store.rows('select detail, row_key, content from naru.reject')).toEqual([
      { detail: 'column price of the source no longer fits int64', row_key: '{"id":"4"}', content: '***' },
    ])
    expect(await staged(store, 'id')).toEqual([{ id: 1n }, { id: 3n }, { id: 5n }])
  })

  test('a row that was good and no longer fits keeps its last good version', async () => {
    const store = await storeWith({ contract: 'evolve' })
    store.execute(`${change}; update item set price = 'many' where id = 1`)
    await store.run()
    expect(await staged(store, 'id, price')).toContainEqual({ id: 1n, price: 10n })
  })
})

describe('a column with a new name', () => {
  test('is read under it, and everything else keeps the old one', async () => {
    const store = await storeWith({ contract: 'freeze' })
    const before = await staged(store)
    store.execute(`alter table item rename column label to title`)
    await expect(store.run()).rejects.toMatchObject({ code: 'SOURCE_COLUMN_NEW' })
    store.configure(models(store.source, { contract: 'freeze', renamed: { item: { label: 'title' } } }))
    const run = await store.run()
    expect(run.rowsStaged).toBe(0)
    expect(await staged(store)).toEqual(before)
  })

  test('a key too, whose rejects name it as the config does', async () => {
    const given: Given = { contract: { types: 'evolve' }, renamed: { item: { id: 'no' } } }
    const store = await storeWith({})
    store.execute(`create table other (no integer primary key not null, label text, price text, at text);
      insert into other select id, label, 'x', at from item where id = 1; drop table item; alter table other rename to item`)
    store.configure(models(store.source, given))
    await store.run()
    expect(await store.rows('select row_key from naru.reject')).toEqual([{ row_key: '{"id":"1"}' }])
  })
})

describe('another key in the source', () => {
  const change = `
    create table other (id integer not null, label text, price integer, at text not null, primary key (id, at));
    insert into other select * from item; drop table item; alter table other rename to item`

  test('ends the run unless it is told that rows are still known by the old one', async () => {
    const store = await storeWith({ contract: 'evolve' })
    store.execute(change)
    await expect(store.run()).rejects.toMatchObject({
      code: 'SOURCE_KEY_CHANGED',
      message: expect.stringContaining('was id and is now id, at') as string,
    })
    store.configure(models(store.source, { contract: { key: 'evolve' } }))
    expect((await store.run()).notes.join()).toContain("the source's key was id and is id, at")
    expect((await store.run()).notes.join()).not.toContain("the source's key")
  })
})

describe('a column that the config takes in later', () => {
  test('is filled for old rows, and the versions before stay in one past table', async () => {
    const store = await makeStore(`${setup} update item set label = label`, path => {
      const { label: _, ...fewer } = columns
      const part = { item: { key: ['id'], columns: fewer } } as const
      return { shop: sqlite('shop', { path, schema: part }) }
    })
    open.push(store)
    await store.run()
    store.configure(models(store.source, {}))
    await store.run()
    expect(await staged(store, 'label')).toEqual([{ label: 'a' }, { label: 'b' }, { label: null }])
    expect(await store.rows('select count(*) as n from staging.shop_item__past')).toEqual([{ n: 2n }])
    expect(await store.rows('select count(*) as n from ods.item where label is not null')).toEqual([{ n: 2n }])
  })
})

describe('a column of files that the config takes in later', () => {
  const filesStore = async (scope: 'full' | 'delta'): Promise<{ readonly store: Store; readonly late: () => void }> => {
    const store = await makeStore('select 1', () => ({}))
    open.push(store)
    const folder = path.join(store.folder, 'inbox')
    await mkdir(folder)
    await writeFile(path.join(folder, 'item1.csv'), 'id,label\n1,a\n2,b\n')
    await utimes(path.join(folder, 'item1.csv'), 1_700_000_000, 1_700_000_000)
    const source = (more: object): Handle =>
      files('shop', {
        folder,
        tables: { item: { glob: 'item*.csv', key: 'id', scope, columns: { id: t.big(), ...more } } },
      })
    store.configure({ shop: source({}) })
    await store.run()
    return { store, late: () => store.configure({ shop: source({ label: t.text() }) }) }
  }

  test('is filled for old rows where each file is the whole table: it is read again, known or not', async () => {
    const { store, late } = await filesStore('full')
    late()
    await store.run()
    expect(await staged(store, 'label')).toEqual([{ label: 'a' }, { label: 'b' }])
  })

  test('is refused where files add up: the earlier ones need not be there any more', async () => {
    const { store, late } = await filesStore('delta')
    const before = await store.state()
    late()
    await expect(store.run()).rejects.toMatchObject({ code: 'FILES_COLUMNS_CHANGED' })
    expect(await store.state()).toEqual(before)
  })
})
