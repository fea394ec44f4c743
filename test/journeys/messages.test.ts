import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { makeProject, type TestProject } from '../support/project.ts'

let source: TestDatabase
let project: TestProject

const config = `import { defineConfig, duckdb, env, ods, pg, t } from 'naru'
const columns = { id: t.int(), price: t.int() }
const shop = pg('shop', {
  url: env('SHOP_URL'),
  schema: { item: { key: ['id'], columns } },
  changes: { item: { technique: 'log' } },
})
const item = ods.entity('item', { key: 'id', columns }).from(shop.item, r => ({ ...r }))
export default defineConfig({
  name: 'prices', engine: duckdb({ path: 'data.duckdb' }), models: { item: ods.export('item', item) },
  subscribers: { audit: { source: shop, personal: 'shown', messages: ['audit'] } },
})
`

beforeAll(async () => {
  source = await startTestDatabase({ wal_level: 'logical' })
  await source.client.query(
    `create table item (id integer primary key, price integer not null); insert into item values (1, 10)`,
  )
  project = await makeProject({ config, variables: { SHOP_URL: source.url } })
}, 120_000)
afterAll(async () => {
  await project?.remove()
  await source?.stop()
})

interface Transaction {
  readonly id: string
}

test('who made a change, and why, comes with it; nobody can speak as Naru does', async () => {
  await project.run()
  expect((await project.naru(['changes', 'pull', 'audit'])).stdout).toContain('Nothing waits')
  await source.client.query(`
    begin; select pg_logical_emit_message(true, 'audit', '{"who":"anna","why":"sale"}');
    update item set price = 8 where id = 1; select pg_logical_emit_message(true, 'other', 'not asked for'); commit`)
  await source.client.query(`select pg_logical_emit_message(false, 'audit', 'alone')`)
  // Anybody who may connect may write such a one; it would be a reject of a table, or break the stream.
  await source.client.query(
    `select pg_logical_emit_message(true, 'naru.reject', 'none'), pg_logical_emit_message(true, 'naru.unknown', 'none')`,
  )
  await source.client.query(`update item set price = 7 where id = 1`)
  await project.run()
  expect(await project.rows('select price from ods.item')).toEqual([{ price: 7 }])
  expect(await project.rows('select count(*)::integer as n from naru.reject')).toEqual([{ n: 0 }])

  const pulled = await project.naru(['changes', 'pull', 'audit', '--max', '9', '--json'])
  const lines = pulled.stdout.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as object]))
  const messages = lines.flatMap(line => ('set' in line ? (line.set as { messages: object[] }).messages : []))
  const changes = lines.filter(line => 'op' in line) as unknown as { row: object; transaction: Transaction }[]
  expect(messages).toEqual([
    {
      prefix: 'audit',
      content: Buffer.from('{"who":"anna","why":"sale"}').toString('base64'),
      bytes: 27,
      transaction: changes[0]?.transaction,
    },
    { prefix: 'audit', content: Buffer.from('alone').toString('base64'), bytes: 5, transaction: null },
  ])
  expect(changes.map(({ row }) => row)).toEqual([
    { id: '1', price: '8' },
    { id: '1', price: '7' },
  ])
  expect(changes[0]?.transaction.id).not.toBe(changes[1]?.transaction.id)
  expect((await project.naru(['changes', 'pull', 'audit', '--max', '9'])).stdout).toContain(
    'message audit {"who":"anna"',
  )
})
