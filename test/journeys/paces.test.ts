import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Pace } from '../../src/app/publish.ts'
import { openEngine } from '../../src/app/project.ts'
import { realEnv, type Env } from '../../src/core/env.ts'
import { rawSql } from '../../src/core/sql.ts'
import { dw, env as fromEnv, http, mask, ods, rule, sqlite, t } from '../../src/index.ts'
import type { Handle } from '../../src/config/handle.ts'
import { json, startApi, type Api } from '../../src/testing/http/api.ts'
import { startEngineServer, type EngineServer } from '../../src/testing/postgres/engine.ts'
import { makeStore, type Store } from '../support/store.ts'

// A process that publishes small change sets again and again takes short ways: it looks at shapes once, compares totals of
// the changes alone, and lets the warehouse wait. What comes out must be what runs that look at everything bring.

interface Order {
  readonly id: number
  readonly customer: number
  readonly amount: number
  readonly note: string | null
  readonly at: string
  readonly day: string
}

let api: Api
let orders = new Map<number, Order>()
const open: Store[] = []
beforeEach(async () => {
  orders = new Map()
  api = await startApi((_, response, url) => {
    const since = url.searchParams.get('since') ?? ''
    json(
      response,
      [...orders.values()].filter(order => order.at >= since),
    )
  })
})
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
  await api.stop()
})

let server: EngineServer
beforeAll(async () => void (server = await startEngineServer()), 120_000)
afterAll(() => server.stop())

/** Orders come as deltas by key, customers as whole tables that are compared. */
function models(source: string): Record<string, Handle> {
  const orderColumns = {
    id: t.big(),
    customer: t.big(),
    amount: t.big(),
    note: t.text().null(),
    at: t.timestamptz(),
    day: t.date(),
  }
  const since = { column: 'at', param: 'since', format: 'iso-seconds', lag: '0s', deletes: { sweep: '1d' } } as const
  const shop = http('shop', {
    url: api.url as 'http://x',
    endpoints: { orders: { path: '/orders', key: 'id', columns: orderColumns, since } } as const,
  })
  const crm = sqlite('crm', {
    path: source,
    schema: { customer: { key: ['id'], columns: { id: t.big(), city: t.text() } } } as const,
  })
  const customer = ods
    .entity('customer', { key: 'id', columns: { id: t.big(), city: t.text() } })
    .from(crm.customer, r => ({ ...r }))
  const order = ods
    .entity('orders', { key: 'id', columns: orderColumns })
    .from(shop.orders, r => ({ ...r }))
    .rules({
      amount: rule.range(0, 90),
      customer: rule.ref(customer),
      '*': e => rule.unique(e.customer, e.note),
    })
    .cleanse({ note: e => e.note.upper() })
  const xCustomer = ods.export('customer', customer)
  const xOrder = ods.export('orders', order)
  const masked = ods.export('masked', order, {
    mask: { note: mask.hash(fromEnv('MASK_KEY')) },
    where: o => o.amount.gt(10),
  })
  const day = dw.calendar('day')
  const dCustomer = dw.dimension('customer', xCustomer)
  const fact = dw.fact('orders', xOrder, {
    grain: 'id',
    at: 'day',
    dims: { customer: dCustomer.by('customer'), day: day.by('day') },
  })
  const byCity = dw.summary('by_city', fact, {
    by: f => ({ city: f.customer.city, month: f.day.month }),
    get: f => ({ n: f.count(), amount: f.amount.sum(), most: f.amount.max() }),
  })
  return { byCity, masked }
}

async function newStore(warehouse?: string): Promise<Store> {
  const store = await makeStore(
    `create table customer (id integer primary key not null, city text not null);
     insert into customer values (1, 'Oslo'), (2, 'Rome'), (3, 'Oslo')`,
    models,
    warehouse,
  )
  open.push(store)
  return store
}

function at(hour: number): Env {
  const real = realEnv()
  const micros = BigInt(Date.parse('2026-01-01T00:00:00Z') + hour * 3_600_000) * 1000n
  return { ...real, clock: { ...real.clock, nowMicros: () => micros } }
}

const stamp = (hour: number): string =>
  new Date(Date.parse('2026-01-01T00:00:00Z') + hour * 3_600_000).toISOString().slice(0, 19) + 'Z'

const step = fc.record({
  orders: fc.array(
    fc.record({
      id: fc.integer({ min: 1, max: 8 }),
      customer: fc.integer({ min: 1, max: 4 }),
      amount: fc.integer({ min: 0, max: 100 }),
      note: fc.constantFrom(null, 'a', 'b', 'c'),
    }),
    { maxLength: 5 },
  ),
  gone: fc.array(fc.integer({ min: 1, max: 8 }), { maxLength: 2 }),
  moved: fc.option(fc.record({ id: fc.integer({ min: 1, max: 3 }), city: fc.constantFrom('Oslo', 'Rome', 'Lima') })),
})

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function change(stores: readonly Store[], { orders: changed, gone, moved }: Step, hour: number): void {
  for (const id of gone) orders.delete(id)
  for (const order of changed) orders.set(order.id, { ...order, at: stamp(hour), day: stamp(hour).slice(0, 10) })
  if (moved === null) return
  for (const store of stores) store.execute(`update customer set city = '${moved.city}' where id = ${moved.id}`)
}

/** The same changes into stores that go at their own pace; then one run of each that looks at everything. */
async function bothAfter(
  steps: readonly Step[],
  pace: Pace,
  warehouses: readonly (string | undefined)[] = [undefined, undefined],
): Promise<readonly Store[]> {
  orders = new Map()
  const stores = [await newStore(warehouses[0]), await newStore(warehouses[1])] as const
  const [plain, quick] = stores
  for (const [i, one] of steps.entries()) {
    // Every tenth hour, so that the keys are swept now and then.
    const hour = i * 10
    change(stores, one, hour)
    await plain.run({ env: at(hour) })
    await quick.run({ env: at(hour), ...(i === 0 ? {} : { pace }) })
  }
  for (const store of stores) await store.run({ env: at(steps.length * 10) })
  return stores
}

/** What publishes in between left behind: those of the warehouse are fewer when it waits. An order that came and went brought its year into the calendar. */
const history = ['dw."fact_orders__restated"', 'dw."dim_customer"', 'dw."fact_orders"', 'dw."dim_day"']

const steps = fc.array(step, { minLength: 2, maxLength: 5 })

test('publishes that look at their changes alone leave the tables that whole runs leave', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async given => {
      const [plain, quick] = await bothAfter(given, { checked: new Set(), controls: 'changes' })
      expect(await quick?.state()).toEqual(await plain?.state())
    }),
    { numRuns: 3, endOnFailure: true },
  )
}, 300_000)

/** An order that no publish of the warehouse ever saw. */
const cameAndWent: Step[] = [
  { orders: [], gone: [], moved: null },
  { orders: [{ id: 3, customer: 1, amount: 39, note: 'b' }], gone: [], moved: null },
  { orders: [], gone: [3], moved: null },
]

test('a warehouse that waited takes everything that changed meanwhile', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async given => {
      const [plain, quick] = await bothAfter(given, { checked: new Set(), controls: 'changes', warehouse: 'later' })
      const [a, b] = [{ ...(await plain?.state()) }, { ...(await quick?.state()) }]
      for (const name of history) {
        delete a[name]
        delete b[name]
      }
      expect(b).toEqual(a)
      const facts = `
        select f.id, f.amount, d.id as customer, d.city from dw.fact_orders f join dw.dim_customer d using (customer_key) order by 1`
      expect(await quick?.rows(facts)).toEqual(await plain?.rows(facts))
    }),
    { numRuns: 3, endOnFailure: true, examples: [[cameAndWent]] },
  )
}, 300_000)

test('the same on PostgreSQL', async () => {
  const given = fc.sample(fc.tuple(step, step, step, step), { numRuns: 1, seed: 7 })[0] as readonly Step[]
  const pace: Pace = { checked: new Set(), controls: 'changes', warehouse: 'later' }
  const stores = await bothAfter(given, pace, [await server.database(), await server.database()])
  const seen = stores.map(store =>
    Promise.all(
      ['staging.shop_orders', 'ods.orders', 'export.masked', 'mart.by_city'].map(async table => {
        const rows = await store.rows(`select * from ${table}`)
        return rows
          .map(row =>
            JSON.stringify(
              Object.entries(row).filter(([name]) => !name.startsWith('_')),
              text,
            ),
          )
          .sort()
      }),
    ),
  )
  expect(await seen[1]).toEqual(await seen[0])
}, 180_000)

const text = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)

test('while the warehouse waits the ODS is new, and a run that is not told to wait takes what waited', async () => {
  const store = await newStore()
  change([store], { orders: [{ id: 1, customer: 1, amount: 5, note: null }], gone: [], moved: null }, 0)
  await store.run({ env: at(0) })
  const sums = 'select (select sum(amount) from ods.orders) as ods, (select sum(amount) from mart.by_city) as mart'
  change([store], { orders: [{ id: 1, customer: 1, amount: 7, note: null }], gone: [], moved: null }, 1)
  await store.run({ env: at(1), pace: { warehouse: 'later' } })
  expect(await store.rows(sums)).toMatchObject([{ ods: 7n, mart: 5n }])
  await store.run({ env: at(2) })
  expect(await store.rows(sums)).toMatchObject([{ ods: 7n, mart: 7n }])
})

test('a row that got lost in a small publish is missed by its own controls', async () => {
  const store = await newStore()
  const checked = new Set<string>()
  change([store], { orders: [{ id: 1, customer: 1, amount: 5, note: null }], gone: [], moved: null }, 0)
  await store.run({ env: at(0), pace: { checked, controls: 'changes' } })
  const engine = await openEngine(store.open(), 'write')
  await engine.transaction(new AbortController().signal, tx => tx.execute(rawSql('delete from cleansed.orders_shop')))
  await engine.close()
  change([store], { orders: [{ id: 2, customer: 2, amount: 6, note: null }], gone: [], moved: null }, 1)
  await expect(store.run({ env: at(1), pace: { checked, controls: 'changes' } })).rejects.toMatchObject({
    code: 'STAGES_DISAGREE',
  })
})
