import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectNoSecret, expectRefused } from '../support/project.ts'
import { sales, startSystems, type Shop, type Systems, startHeld } from '../support/shop.ts'

let systems: Systems
beforeAll(async () => void (systems = await startSystems()))
afterAll(() => systems.stop())

/** A shop with one run behind it and changed sales: something for the next run to bring across. */
async function changedShop(): Promise<Shop> {
  const shop = await systems.shop()
  await shop.run()
  await shop.db.query('update sale set amount = amount + 1, updated_at = now() where id <= 3')
  return shop
}

/** The sums of the mart, and of the source by our own query: what a person compares. */
async function expectMartIsRight(shop: Shop): Promise<void> {
  const source = await shop.db.query<{ sales: string; amount: string }>(
    'select count(*) as sales, sum(amount) as amount from sale',
  )
  const [mart] = await shop.rows('select sum(sales) as sales, sum(amount) as amount from mart.monthly')
  expect({ sales: String(mart?.['sales']), amount: String(mart?.['amount']) }).toEqual(source.rows[0])
}

test('a second run while one is going is refused with the name of its holder, and the first one ends well', async () => {
  const shop = await changedShop()
  const first = await startHeld(systems, shop)
  const refused = await shop.naru(['run'])
  const holder = `process ${first.child.pid}`
  expectRefused(refused, { status: 1, code: 'RUN_HELD', says: ['naru run', holder, 'since'] })
  expectNoSecret(refused, shop.secrets)
  // Whoever has the database open answers those who only read.
  const asked = await shop.naru(['sql', 'select 1'])
  expect([asked.status, asked.stderr]).toEqual([0, expect.stringContaining(holder)])
  await shop.db.query('rollback')
  expect((await first.ended).status).toBe(0)
  await expectMartIsRight(shop)
})

test('a killed run holds nothing: the next one takes its lease and completes', async () => {
  const shop = await changedShop()
  const before = await shop.visible()
  const killed = await startHeld(systems, shop)
  killed.child.kill('SIGKILL')
  expect((await killed.ended).status).toBeNull()
  await shop.db.query('rollback')
  expect(await shop.visible()).toEqual(before)
  await shop.run()
  expect(await shop.rows('select state from naru.run order by run')).toEqual(
    ['done', 'broken', 'done'].map(state => ({ state })),
  )
  await expectMartIsRight(shop)
})

test('SIGTERM ends a run at once: it rolls back, says so with status 1, and the next run completes', async () => {
  const shop = await changedShop()
  const before = await shop.visible()
  const going = await startHeld(systems, shop)
  going.child.kill('SIGTERM')
  await once(going.child, 'exit') // the source still holds the table: the run did not wait for it
  const ended = await going.ended
  expectRefused(ended, { status: 1, code: 'CANCELLED', says: ['run 2 was cancelled', 'Run it again'] })
  expectNoSecret(ended, shop.secrets)
  await shop.db.query('rollback')
  expect(await shop.visible()).toEqual(before)
  expect(await shop.rows("select error_code from naru.run where state = 'failed'")).toEqual([
    { error_code: 'CANCELLED' },
  ])
  await shop.run()
  await expectMartIsRight(shop)
})

test('a second Ctrl-C ends a run that is still ending: nothing of it is visible, and the next one completes', async () => {
  const shop = await changedShop()
  const before = await shop.visible()
  const going = await startHeld(systems, shop)
  going.child.kill('SIGINT')
  going.child.kill('SIGINT')
  const ended = await going.ended
  expect([1, null]).toContain(ended.status)
  await shop.db.query('rollback')
  expect(await shop.visible()).toEqual(before)
  await shop.run()
  await expectMartIsRight(shop)
})

test('a second run with nothing new moves no row', async () => {
  const shop = await changedShop()
  await shop.run()
  const [before, moved] = [await shop.visible(), await shop.moved()]
  const again = await shop.run()
  expect(again.rowsStaged).toBe(0)
  expect(stepRows(again.stderr).filter(([, rows]) => rows !== 0)).toEqual([])
  expect(await shop.visible()).toEqual(before)
  expect(await shop.moved()).toEqual(moved)
})

test('a run with changed rows touches only them and what depends on them', async () => {
  const shop = await systems.shop()
  await shop.run()
  const others = 'select * from dw.fact_sale where id not in (1, 2, 3, 9, 900) order by id'
  const [unchanged, customers] = [
    await shop.rows(others),
    await shop.rows('select * from dw.dim_customer order by all'),
  ]
  // Three changes, a new row and a deleted one: all of customers of one town.
  await shop.db.query(`
    update sale set amount = amount + 1, updated_at = now() where id in (1, 2, 3);
    insert into sale values (900, 2, 5, '2026-01-02', now());
    delete from sale where id = 9`)
  const run = await shop.run('ops')
  expect(run.rowsStaged).toBe(5)
  const steps = Object.fromEntries(stepRows(run.stderr))
  for (const step of ['staging ops.sale', 'cleansing sale/ops', 'integration sale', 'export sale', 'fact sale']) {
    expect(steps[step], step).toBe(5)
  }
  for (const step of [
    'staging ops.customer',
    'cleansing customer/ops',
    'export customer',
    'dimension customer',
    'export town',
  ]) {
    expect(steps[step], `${step} moved nothing, and has nothing to tell`).toBeUndefined()
  }
  const last = '(select max(run) from naru.run)'
  const lastLoad = '(select max(load) from naru.load where "table" = \'sale\')'
  expect(await shop.rows(`select id from staging.ops_sale where _load = ${lastLoad} order by id`)).toEqual(
    [1, 2, 3, 900].map(id => ({ id })),
  )
  expect(await shop.rows(`select id from dw.fact_sale where _run = ${last} order by id`)).toEqual(
    [1, 2, 3, 900].map(id => ({ id })),
  )
  expect(await shop.rows(others)).toEqual(unchanged)
  expect(await shop.rows('select * from dw.dim_customer order by all')).toEqual(customers)
  const [groups] = await shop.rows(
    `select count(*) as n, count(*) filter (where _run = ${last}) as renewed from mart.monthly`,
  )
  expect(Number(groups?.['renewed'])).toBeLessThan(Number(groups?.['n']))
  expect(run.ods['sale']).toBe(sales)
  await expectMartIsRight(shop)
})

/** The rows of each step, as a run reports them. */
function stepRows(stderr: string): readonly (readonly [string, number])[] {
  return [...stderr.matchAll(/^ {2}(\S+ \S+)\s+[\d.]+ m?s {2}([\d,]+) rows$/gm)].map(
    ([, step = '', rows = '']) => [step, Number(rows.replaceAll(',', ''))] as const,
  )
}
