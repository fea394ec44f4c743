import { afterEach, describe, expect, test } from 'vitest'
import { adapters, type AdapterImplementation } from '../../src/app/registry.ts'
import { realEnv, type Clock, type Env } from '../../src/core/env.ts'
import { fail } from '../../src/core/errors.ts'
import { env, pg, sqlite, t } from '../../src/index.ts'
import type { Snapshot } from '../../src/services/adapter/contract.ts'
import { makeStore, type Store } from '../support/store.ts'
import { readingThrough } from '../support/reading-through.ts'

const rows = 100
const setup = `
  create table item (id integer primary key not null, label text not null);
  insert into item with recursive n(i) as (select 1 union all select i + 1 from n where i < ${rows}) select i, 'item ' || i from n;`
const schema = { item: { key: ['id'], columns: { id: t.big(), label: t.text() } } } as const

const open: Store[] = []
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
})

type Limits = Omit<Parameters<typeof sqlite>[1], 'path' | 'schema' | 'changes'>

async function storeWith(limits: Limits): Promise<Store> {
  const store = await makeStore(setup, path => ({ shop: sqlite('shop', { path, schema, ...limits }) }))
  open.push(store)
  return store
}

/** A clock that stands unless somebody sleeps or the test moves it. */
function movedClock(at: string): { readonly env: Env; readonly slept: () => number; move(ms: number): void } {
  let ms = 0
  let slept = 0
  const startMicros = BigInt(Date.parse(at)) * 1000n
  const real = realEnv()
  const clock: Clock = {
    ...real.clock,
    nowMicros: () => startMicros + BigInt(Math.round(ms * 1000)),
    monotonicMs: () => ms,
    sleep: async more => {
      ms += more
      slept += more
    },
  }
  return { env: { ...real, clock }, slept: () => slept, move: more => void (ms += more) }
}

describe('rows in a second', () => {
  test('all reads of a source together keep to it', async () => {
    const store = await storeWith({ rowsPerSecond: 10, chunkRows: 5 })
    const { env: clocked, slept } = movedClock('2026-01-01T00:00:00Z')
    await store.run({ env: clocked })
    expect(slept()).toBeGreaterThanOrEqual((rows / 10 - 1) * 1000)
    expect(slept()).toBeLessThan((rows / 10 + 2) * 1000)
  })
})

describe('hours of the day', () => {
  test('outside of them nothing is read, which is said; within them the next run reads', async () => {
    const store = await storeWith({ hours: '22:00-06:00' })
    const day = await store.run({ env: movedClock('2026-01-01T12:00:00Z').env })
    expect(day.waiting).toEqual(['shop.item'])
    expect(day.notes.join()).toContain('waits for the hours of its source, from 22:00 UTC')
    expect(await store.rows('select count(*) as n from staging.shop_item')).toEqual([{ n: 0n }])
    const night = await store.run({ env: movedClock('2026-01-01T22:00:00Z').env })
    expect(night.waiting).toEqual([])
    expect(await store.rows('select count(*) as n from staging.shop_item')).toEqual([{ n: BigInt(rows) }])
  })

  test('a load stops at its next chunk when they end, and the next run goes on behind it', async () => {
    const store = await storeWith({ hours: '22:00-06:00', chunkRows: 10, rowsPerSecond: 10 })
    // Ten rows take a second: the fifth chunk or so is the last before six o'clock.
    const late = await store.run({ env: movedClock('2026-01-01T05:59:55Z').env })
    expect(late.waiting).toEqual(['shop.item'])
    const [half] = await store.rows('select count(*) as n, max(unit) as last from naru.unit')
    expect(Number(half?.['n'])).toBeGreaterThan(2)
    expect(Number(half?.['n'])).toBeLessThan(9)
    expect(await store.rows('select count(*) as n from staging.shop_item')).toEqual([{ n: 0n }])
    const night = await store.run({ env: movedClock('2026-01-01T22:00:00Z').env })
    expect(night.notes.join()).toContain(`goes on behind chunk ${String(half?.['last'])}`)
    expect(await store.rows('select count(*) as n, count(distinct id) as d from staging.shop_item')).toEqual([
      { n: BigInt(rows), d: BigInt(rows) },
    ])
    expect(await store.rows('select count(*) as n from naru.load')).toEqual([{ n: 1n }])
  })
})

/** Counts how many reads of a table are open at once. */
function counting(seen: { most: number }): AdapterImplementation {
  let now = 0
  return readingThrough('sqlite', snapshot => ({
    read: async function* (...asked: Parameters<Snapshot['read']>) {
      now += 1
      seen.most = Math.max(seen.most, now)
      try {
        yield* snapshot.read(...asked)
      } finally {
        now -= 1
      }
    },
  }))
}

describe('connections', () => {
  test.each([1, 3, 8])('%i chunks are read at once, and every row is there once', async connections => {
    const store = await storeWith({ connections, chunkRows: 7 })
    const seen = { most: 0 }
    await store.run({ adapters: { ...adapters, sqlite: counting(seen) } })
    expect(seen.most).toBe(connections)
    expect(await store.rows('select count(*) as n, count(distinct id) as d from staging.shop_item')).toEqual([
      { n: BigInt(rows), d: BigInt(rows) },
    ])
    const units = await store.rows('select unit, rows_read from naru.unit order by unit')
    expect(units.map(row => row['unit'])).toEqual(Array.from({ length: 15 }, (_, i) => i + 1))
  })

  test('when one of them fails, nothing of its group is kept and the others end', async () => {
    const store = await storeWith({ connections: 4, chunkRows: 10, retries: 0 })
    let reads = 0
    const failing = readingThrough('sqlite', snapshot => ({
      read: async function* (...asked: Parameters<Snapshot['read']>) {
        reads += 1
        if (reads === 6) throw fail('SOURCE_READ', { source: 'shop', table: 'item', problem: 'it broke' })
        yield* snapshot.read(...asked)
      },
    }))
    await expect(store.run({ adapters: { ...adapters, sqlite: failing } })).rejects.toMatchObject({
      code: 'SOURCE_READ',
    })
    expect(await store.rows('select unit from naru.unit order by unit')).toEqual([1, 2, 3, 4].map(unit => ({ unit })))
    await store.run()
    expect(await store.rows('select count(*) as n from staging.shop_item')).toEqual([{ n: BigInt(rows) }])
  })
})

describe('a source that breaks off', () => {
  test('is asked again after a pause, and finished chunks are not read twice', async () => {
    const store = await storeWith({ chunkRows: 10, retries: 2 })
    const asked: number[] = []
    let broken = 0
    const failing = readingThrough('sqlite', snapshot => ({
      read: async function* (...given: Parameters<Snapshot['read']>) {
        asked.push(Number(given[2].after?.[0] ?? 0))
        if (asked.length === 4 && broken++ === 0)
          throw fail('SOURCE_READ', { source: 'shop', table: 'item', problem: 'it broke' })
        yield* snapshot.read(...given)
      },
    }))
    const { env: clocked, slept } = movedClock('2026-01-01T00:00:00Z')
    const run = await store.run({ env: clocked, adapters: { ...adapters, sqlite: failing } })
    expect(run.notes.join()).toMatch(/it broke; trying again in .* s \(1 of 2\)/)
    expect(slept()).toBeGreaterThanOrEqual(500)
    expect(asked).toEqual([0, 10, 20, 30, 30, 40, 50, 60, 70, 80, 90, 100])
  })

  test('a login that is refused is not tried again', async () => {
    const store = await storeWith({ retries: 5 })
    let opened = 0
    const refused = readingThrough(
      'sqlite',
      () => ({}),
      () => {
        opened += 1
        throw fail('SOURCE_LOGIN', { source: 'shop', user: 'me', problem: 'no' })
      },
    )
    await expect(store.run({ adapters: { ...adapters, sqlite: refused } })).rejects.toMatchObject({
      code: 'SOURCE_LOGIN',
    })
    expect(opened).toBe(1)
  })

  test('after the last retry the run ends with the error, and the pauses grow', async () => {
    const store = await storeWith({ retries: 3 })
    const pauses: number[] = []
    const { env: clocked } = movedClock('2026-01-01T00:00:00Z')
    const watched = { ...clocked, clock: { ...clocked.clock, sleep: async (ms: number) => void pauses.push(ms) } }
    const gone = readingThrough(
      'sqlite',
      () => ({}),
      () => {
        throw fail('SOURCE_UNREACHABLE', { source: 'shop', address: 'x', problem: 'no' })
      },
    )
    await expect(store.run({ env: watched, adapters: { ...adapters, sqlite: gone } })).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
    })
    expect(pauses).toHaveLength(3)
    pauses.forEach((ms, i) => {
      expect(ms).toBeGreaterThanOrEqual(500 * 2 ** i)
      expect(ms).toBeLessThanOrEqual(1000 * 2 ** i)
    })
  })
})

test('the limits are words of every database', () => {
  expect(() =>
    pg('ops', { url: env('X'), schema, rowsPerSecond: 5, hours: '22:00-06:00', connections: 2 }),
  ).not.toThrow()
})
