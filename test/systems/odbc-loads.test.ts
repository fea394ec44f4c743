import { afterAll, beforeAll, expect, test } from 'vitest'
import { env, odbc, t } from '../../src/index.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { prepareOdbc } from '../servers/odbc.ts'
import { makeStore, type Store } from '../support/store.ts'

// Loads through a driver whose abilities are known only once it is connected.

let driver: ReturnType<typeof prepareOdbc>
let database: TestDatabase
let store: Store
beforeAll(async () => {
  driver = prepareOdbc()
  database = await startTestDatabase()
  const url = new URL(database.url)
  const dsn = `Driver=PostgreSQL;Server=${url.hostname};Port=${url.port};Database=${url.pathname.slice(1)};UID=${url.username};PWD=${url.password}`
  store = await makeStore('select 1', () => ({
    legacy: odbc('legacy', {
      dsn: env(dsn),
      schema: { item: { key: ['id'], columns: { id: t.big(), price: t.big(), at: t.timestamptz() } } },
      changes: { item: { technique: 'timestamp', column: 'at', deletes: 'keep', lag: '1m' } },
      contract: 'evolve',
    }),
  }))
  await database.client.query(`
    create table item (id bigint primary key, price bigint not null, at timestamptz not null default now() - interval '1 day');
    insert into item select i, i * 10 from generate_series(1, 100) i`)
})
afterAll(async () => {
  await store?.remove()
  await database?.stop()
  driver?.remove()
})

test('are compared with the figures of the source, where its system computes them', async () => {
  await store.run({ hashControls: true })
  const rows = await store.rows(
    `select "column" as c, measure, source_value as v from naru.control_total where equal order by all`,
  )
  expect(rows).toContainEqual({ c: 'price', measure: 'sum', v: '50500' })
  expect(rows.map(row => row['measure'])).toContain('hash')
})

test('bring the old values of a column that came late, though only changed rows are read', async () => {
  await database.client.query(`alter table item add column note text; update item set note = 'n' || id`)
  expect((await store.run()).rowsRead).toBe(100)
  expect(await store.rows(`select count(*) as n from staging.legacy_item where note = 'n' || id`)).toEqual([
    { n: 100n },
  ])
  expect((await store.run()).rowsRead).toBe(0)
})
