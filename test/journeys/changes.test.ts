import { afterAll, beforeAll, expect, test } from 'vitest'
import { customers, sales, shopConfig, startSystems, type Shop, type Systems, startHeld } from '../support/shop.ts'

// Things that change between two runs, other than values: the config, what rows look like, the source's clock.

let systems: Systems
beforeAll(async () => void (systems = await startSystems()))
afterAll(() => systems.stop())

async function shopAfterRun(): Promise<Shop> {
  const shop = await systems.shop()
  await shop.run()
  return shop
}

/** What a fresh project makes of the same sources: a changed one must come to the same. */
async function freshTables(shop: Shop, config: string): Promise<Readonly<Record<string, string>>> {
  const fresh = await systems.shop({ config })
  const naru = await fresh.naru(['run', '--json'], shop.variables)
  expect(naru.status, naru.stderr).toBe(0)
  return fresh.visible()
}

const current = (tables: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(tables).filter(([name]) => /^(ods|export|mart)\.|fact_sale$/.test(name)))

test('a column that is new in the config and in the source arrives with the values it has', async () => {
  const shop = await shopAfterRun()
  await shop.db.query(`alter table sale add column note text default 'old'`)
  const config = shopConfig({ saleColumns: 'note: t.text().null()' })
  await shop.configure(config)
  await shop.run()
  expect(await shop.rows('select note, count(*) as n from staging.ops_sale group by note')).toEqual([
    { note: 'old', n: BigInt(sales) },
  ])
  expect(await shop.run()).toMatchObject({ rowsStaged: 0 })
})

test('a load that a broken run of another config left is not used', async () => {
  const shop = await systems.shop()
  const going = await startHeld(systems, shop)
  going.child.kill('SIGKILL')
  await going.ended
  await shop.db.query('rollback')
  const left = await shop.rows(`select "table" as t, state from naru.load order by load`)
  expect(left).toContainEqual({ t: 'customer', state: 'accepted' })
  const config = shopConfig().replaceAll('town: t.text().null() }', 'town: t.text().null(), grade: t.text().null() }')
  await shop.db.query(`alter table customer add column grade text default 'A'`)
  await shop.configure(config)
  expect(await shop.run()).toMatchObject({ ods: { sale: sales, customer: customers } })
  expect(await shop.rows('select distinct grade from staging.ops_customer')).toEqual([{ grade: 'A' }])
})

test('what leaves the config and comes back has missed nothing', async () => {
  const shop = await shopAfterRun()
  const config = shopConfig()
  await shop.configure(config.replace('models: { dTown, monthly }', 'models: { dTown, sale }'))
  await shop.db.query(
    'update sale set amount = amount + 7, updated_at = now() where id <= 10; delete from sale where id = 11',
  )
  await shop.run()
  await shop.configure(config)
  await shop.run()
  expect(current(await shop.visible())).toEqual(current(await freshTables(shop, config)))
})

test('a row that is rejected is not a row that was deleted', async () => {
  const shop = await systems.shop({ config: shopConfig({ ops: 'maxValueBytes: 2000,' }) })
  await shop.run()
  await shop.db.query(`update customer set town = repeat('x', 5000) where id = 1`)
  await shop.drop('town.csv', 'code,name,people\nT0,Seoul,9400000\nT1,Busan\nT2,Jeju,490000\n')
  const run = await shop.run()
  expect(run).toMatchObject({ ods: { customer: customers, town: 3 }, rejected: { ops_customer: 1, partner_town: 1 } })
  expect(await shop.rows('select count(*) as n from dw.dim_town where is_deleted')).toEqual([{ n: 0n }])
})

test('rows that came with an old stamp are found by the sweep, and the table is read again', async () => {
  const shop = await shopAfterRun()
  await shop.db.query(`insert into sale values (900, 1, 5, '2026-01-02', '2001-01-01')`)
  const ended = await shop.naru(['run'])
  expect(ended.status, ended.stderr).toBe(0)
  expect(ended.stderr).toContain('1 rows came without moving updated_at')
  expect(await shop.rows('select count(*) as n from ods.sale where id = 900')).toEqual([{ n: 1n }])
})

test('a key that is none refuses the load and says so', async () => {
  const shop = await systems.shop({
    config: shopConfig().replace(
      "key: ['id'],\n      columns: { id: t.int(), customer",
      "key: ['customer'],\n      columns: { id: t.int(), customer",
    ),
  })
  const ended = await shop.naru(['run'])
  expect(ended.status).toBe(1)
  expect(ended.stderr).toContain('[KEY_NOT_UNIQUE]')
  expect(ended.stderr).toContain('ops.sale')
})
