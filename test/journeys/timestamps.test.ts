import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { realEnv, type Env } from '../../src/core/env.ts'
import { http, t } from '../../src/index.ts'
import { json, startApi, type Api } from '../../src/testing/http/api.ts'
import { makeStore, type Store } from '../support/store.ts'

// Reading by a column that says when a row changed: no row is lost or doubled, whatever its stamps are. The source is an
// API, whose rows and whose clock a test can set.

const noon = '2026-01-01T12:00:00Z'

interface Item {
  readonly id: number
  readonly at: string
}

interface Source {
  readonly store: Store
  insert(ids: readonly number[], stamp: string): void
}

let api: Api
const open: Store[] = []
beforeEach(async () => (api = await startApi()))
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
  await api.stop()
})

async function itemSource(lag: '0s' | '10m', deletes: 'keep' | { sweep: '1d' } = 'keep'): Promise<Source> {
  const items: Item[] = []
  api.answer = (_, response, url) => {
    const since = url.searchParams.get('since') ?? ''
    json(
      response,
      items.filter(item => item.at >= since),
    )
  }
  const columns = { id: t.big(), at: t.timestamptz() }
  const since = { column: 'at', param: 'since', format: 'iso-seconds', lag, deletes } as const
  const endpoints = { item: { path: '/items', key: 'id', columns, since } } as const
  const store = await makeStore('select 1', () => ({ shop: http('shop', { url: api.url as 'http://x', endpoints }) }))
  open.push(store)
  return { store, insert: (ids, at) => void items.push(...ids.map(id => ({ id, at }))) }
}

/** The time of the source and of ours. */
function at(time: string): Env {
  const real = realEnv()
  const micros = BigInt(Date.parse(time)) * 1000n
  return { ...real, clock: { ...real.clock, nowMicros: () => micros } }
}

const staged = async (store: Store): Promise<readonly number[]> =>
  (await store.rows('select id from staging.shop_item order by id')).map(row => Number(row['id']))

describe('rows with one stamp', () => {
  const ids = Array.from({ length: 12 }, (_, i) => i + 1)

  test('all arrive once, wherever among them a run came', async () => {
    for (let k = 0; k <= ids.length; k++) {
      const { store, insert } = await itemSource('0s')
      insert(ids.slice(0, k), noon)
      await store.run({ env: at(noon) })
      insert(ids.slice(k), noon)
      const second = await store.run({ env: at(noon) })
      expect(await staged(store)).toEqual(ids)
      expect(second.rowsStaged).toBe(ids.length - k)
    }
  })
})

describe('a row that becomes visible after its stamp', () => {
  test('is not lost while it is no later than the lag', async () => {
    const { store, insert } = await itemSource('10m')
    insert([1], '2026-01-01T11:59:00Z')
    await store.run({ env: at(noon) })
    insert([2], '2026-01-01T11:51:00Z')
    await store.run({ env: at('2026-01-01T12:01:00Z') })
    expect(await staged(store)).toEqual([1, 2])
  })

  test('and is later than it, is found by the sweep of keys, which says so', async () => {
    const { store, insert } = await itemSource('10m', { sweep: '1d' })
    insert([1], '2026-01-01T11:59:00Z')
    await store.run({ env: at(noon) })
    insert([2], '2026-01-01T11:00:00Z')
    await store.run({ env: at('2026-01-01T12:01:00Z') })
    expect(await staged(store)).toEqual([1])
    const run = await store.run({ env: at('2026-01-02T12:02:00Z') })
    expect(run.notes.join()).toContain('1 rows came without moving at')
    expect(await staged(store)).toEqual([1, 2])
  })
})

test('only what moved on since the last run is read', async () => {
  const { store, insert } = await itemSource('10m')
  insert([1, 2, 3], '2026-01-01T10:00:00Z')
  await store.run({ env: at(noon) })
  insert([4], '2026-01-01T12:30:00Z')
  const run = await store.run({ env: at('2026-01-01T13:00:00Z') })
  expect(run.rowsRead).toBe(1)
  expect(await staged(store)).toEqual([1, 2, 3, 4])
})

test('a clock of the source that went back: the hours are told, and the whole table is read again', async () => {
  const { store, insert } = await itemSource('0s')
  insert([1], '2026-01-01T11:00:00Z')
  await store.run({ env: at(noon) })
  insert([2], '2026-01-01T09:30:00Z')
  const run = await store.run({ env: at('2026-01-01T09:30:00Z') })
  expect(run.notes.join()).toContain('the clock of the source went back by 2.50 hours')
  expect(await staged(store)).toEqual([1, 2])
})
