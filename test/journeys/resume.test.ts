import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { adapters, type AdapterImplementation } from '../../src/app/registry.ts'
import { fail } from '../../src/core/errors.ts'
import { sqlite, t } from '../../src/index.ts'
import type { KeyBound, PlaceRange, RowFilter, Snapshot, SourceBatch } from '../../src/services/adapter/contract.ts'
import { makeStore, type Store } from '../support/store.ts'
import { readingThrough } from '../support/reading-through.ts'

const rows = 100
const numbers = `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${rows})`
const setup = `
  create table item (id integer primary key not null, label text not null);
  insert into item ${numbers} select i, 'item ' || i from n;`
const schema = { item: { key: ['id'], columns: { id: t.big(), label: t.text() } } } as const

const open: Store[] = []
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
})

async function itemStore(more: { readonly chunkRows?: number } = {}): Promise<Store> {
  const store = await makeStore(setup, path => ({
    shop: sqlite('shop', { path, schema, chunkRows: 10, retries: 0, ...more }),
  }))
  open.push(store)
  return store
}

/** Lets so many reads through and then breaks off; remembers which were asked for. */
function breakingAfter(reads: number, asked: RowFilter[] = []): Record<string, AdapterImplementation> {
  const sqliteAdapter = readingThrough('sqlite', snapshot => ({
    read: async function* (...given: Parameters<Snapshot['read']>) {
      if (asked.length === reads) throw fail('SOURCE_READ', { source: 'shop', table: 'item', problem: 'it broke' })
      asked.push(given[2])
      yield* snapshot.read(...given)
    },
  }))
  return { ...adapters, sqlite: sqliteAdapter }
}

const bounds = (asked: readonly RowFilter[]): readonly (KeyBound | undefined)[] => asked.map(filter => filter.after)

async function staged(store: Store): Promise<readonly (readonly [string, string])[]> {
  const found = await store.rows('select cast(id as varchar) as id, label from staging.shop_item order by shop_item.id')
  return found.map(row => [String(row['id']), String(row['label'])] as const)
}

describe('a full load that broke at 70 %', () => {
  test('goes on at the next chunk; chunks that the source proves unchanged are not read again', async () => {
    const store = await itemStore()
    await expect(store.run({ adapters: breakingAfter(7) })).rejects.toMatchObject({ code: 'SOURCE_READ' })
    const asked: RowFilter[] = []
    const run = await store.run({ adapters: breakingAfter(Infinity, asked) })
    expect(bounds(asked)).toEqual([['70'], ['80'], ['90'], ['100']])
    expect(run.notes.join()).toContain('goes on behind chunk 7')
    expect(await staged(store)).toHaveLength(rows)
    expect(await store.rows('select restarts from naru.load')).toEqual([{ restarts: 1 }])
  })

  test('reads a finished chunk again where anything changed in it', async () => {
    const store = await itemStore()
    await expect(store.run({ adapters: breakingAfter(7) })).rejects.toMatchObject({ code: 'SOURCE_READ' })
    store.execute(`update item set label = 'itam 15' where id = 15; delete from item where id = 33;
      insert into item values (-5, 'before all')`)
    const asked: RowFilter[] = []
    const run = await store.run({ adapters: breakingAfter(Infinity, asked) })
    expect(bounds(asked).slice(0, 3)).toEqual([undefined, ['10'], ['30']])
    expect(run.notes.join()).toContain('3 of 7 finished chunks changed meanwhile and were read again')
    const found = new Map(await staged(store))
    expect(found.get('15')).toBe('itam 15')
    expect(found.has('33')).toBe(false)
    expect(found.get('-5')).toBe('before all')
    expect(found.size).toBe(rows)
  })

  test('whatever changed meanwhile, and however often it broke: the image is the source', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            reads: fc.integer({ min: 0, max: 12 }),
            changes: fc.array(
              fc.oneof(
                fc.integer({ min: -5, max: 110 }).map(id => `delete from item where id = ${id}`),
                fc.integer({ min: -5, max: 110 }).map(id => `update item set label = label || '!' where id = ${id}`),
                fc.integer({ min: -5, max: 110 }).map(id => `insert or ignore into item values (${id}, 'new ${id}')`),
              ),
              { maxLength: 4 },
            ),
          }),
          { minLength: 1, maxLength: 3 },
        ),
        async breaks => {
          const store = await itemStore()
          for (const { reads, changes } of breaks) {
            await store.run({ adapters: breakingAfter(reads) }).catch(() => {})
            for (const change of changes) store.execute(change)
          }
          await store.run()
          const fresh = await makeStore('select 1', () => ({ shop: sqlite('shop', { path: store.source, schema }) }))
          await fresh.run()
          expect(await staged(store)).toEqual(await staged(fresh))
          await fresh.remove()
          await store.remove()
          open.length = 0
        },
      ),
      { numRuns: 8, endOnFailure: true },
    ))

  test('begins anew, and says so, where the content hash leaves a column out', async () => {
    const store = await makeStore(
      `create table item (id integer primary key not null, x real);
      insert into item ${numbers} select i, i / 3.0 from n`,
      path => ({
        shop: sqlite('shop', {
          path,
          schema: { item: { key: ['id'], columns: { id: t.big(), x: t.float().null() } } },
          chunkRows: 10,
          retries: 0,
        }),
      }),
    )
    open.push(store)
    await expect(store.run({ adapters: breakingAfter(7) })).rejects.toMatchObject({ code: 'SOURCE_READ' })
    const run = await store.run()
    expect(run.notes.join()).toContain('load 1 begins anew: the content hash does not cover x')
    expect(await store.rows('select count(*) as n from staging.shop_item')).toEqual([{ n: BigInt(rows) }])
  })

  test('of a later reload: what was there is seen until the new state is whole', async () => {
    const store = await itemStore()
    await store.run()
    const before = await store.state()
    store.execute(`update item set label = 'new ' || id`)
    await expect(store.run({ adapters: breakingAfter(7) })).rejects.toMatchObject({ code: 'SOURCE_READ' })
    expect({ ...(await store.state()), 'staging."shop_item__landing"': undefined }).toEqual({
      ...before,
      'staging."shop_item__landing"': undefined,
    })
    await store.run()
    expect((await staged(store)).every(([id, label]) => label === `new ${id}`)).toBe(true)
  })
})

describe('a table that its source knows no key of', () => {
  /** Physical ranges by rowid, as a source with statistics would give them. */
  function withRanges(asked: PlaceRange[], breakAfter = Infinity): Record<string, AdapterImplementation> {
    const sqliteAdapter = readingThrough('sqlite', snapshot => ({
      ranges: async () => [
        { from: null, to: '40' },
        { from: '40', to: '80' },
        { from: '80', to: null },
      ],
      read: async function* (table, columns, filter, signal): AsyncGenerator<SourceBatch> {
        if (filter.place === undefined) return yield* snapshot.read(table, columns, filter, signal)
        if (asked.length === breakAfter)
          throw fail('SOURCE_READ', { source: 'shop', table: 'item', problem: 'it broke' })
        asked.push(filter.place)
        const { from, to } = filter.place
        const where = `rowid >= ${from ?? '-1'} and rowid < ${to ?? '1000'}`
        yield* snapshot.read(table, columns, { where }, signal)
      },
    }))
    return { ...adapters, sqlite: sqliteAdapter }
  }
  const keyless = (): Promise<Store> =>
    makeStore(
      `create table item (id integer not null, label text not null);
      insert into item ${numbers} select i, 'item ' || i from n`,
      path => ({
        shop: sqlite('shop', { path, schema, chunkRows: 10, retries: 0 }),
      }),
    ).then(store => {
      open.push(store)
      return store
    })

  test('is cut into physical ranges where the source has them', async () => {
    const store = await keyless()
    const asked: PlaceRange[] = []
    await store.run({ adapters: withRanges(asked) })
    expect(asked).toHaveLength(3)
    expect(await staged(store)).toHaveLength(rows)
  })

  test('begins anew when it broke, and says so', async () => {
    const store = await keyless()
    await expect(store.run({ adapters: withRanges([], 2) })).rejects.toMatchObject({ code: 'SOURCE_READ' })
    const asked: PlaceRange[] = []
    const run = await store.run({ adapters: withRanges(asked) })
    expect(run.notes.join()).toContain('begins anew: physical ranges mean nothing in another view')
    expect(asked).toHaveLength(3)
    expect(await staged(store)).toHaveLength(rows)
  })
})

describe('controls by chunk', () => {
  test('are kept for both ends of every chunk when asked for', async () => {
    const store = await itemStore()
    await store.run({ chunkControls: true, hashControls: true })
    const found = await store.rows(`
      select unit, count(*) as n, bool_and(equal) as equal from naru.control_total
      where unit is not null and measure in ('rows', 'hash') group by unit order by unit`)
    expect(found).toHaveLength(11)
    // The last chunk is empty, and an empty chunk has no hash.
    expect(found.slice(0, 10).every(row => row['n'] === 2n && row['equal'] === true)).toBe(true)
  })

  test('when a load differs, they say in which chunk without being asked', async () => {
    const store = await itemStore()
    const losing = readingThrough('sqlite', snapshot => ({
      read: async function* (...given: Parameters<Snapshot['read']>): AsyncGenerator<SourceBatch> {
        const chunk = given[2].after?.[0]
        if (chunk !== '20') return yield* snapshot.read(...given)
        yield* snapshot.read(given[0], given[1], { ...given[2], where: 'id <> 25' }, given[3])
      },
    }))
    await expect(store.run({ adapters: { ...adapters, sqlite: losing } })).rejects.toMatchObject({
      code: 'LOAD_REFUSED',
      message: expect.stringContaining('in chunk 3') as string,
    })
    expect(
      await store.rows(`
      select unit, source_value, staged_value from naru.control_total where not equal and unit is not null and measure = 'rows'`),
    ).toEqual([{ unit: 3, source_value: '10', staged_value: '9' }])
  })
})
