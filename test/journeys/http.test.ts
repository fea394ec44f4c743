import { afterAll, beforeAll, expect, test } from 'vitest'
import { json, startApi, type Api } from '../../src/testing/http/api.ts'
import { expectNoSecret, expectRefused, makeProject, type TestProject } from '../support/project.ts'

interface Order {
  id: number
  total: string
  updated_at: string
  lines: { sku: string; qty: number }[]
}

let api: Api
let project: TestProject
let orders: Order[]
const token = 'a-token-of-the-api'

const config = (url: string): string => `
import { defineConfig, duckdb, env, http, ods, t } from 'naru'

const crm = http('crm', {
  url: '${url}',
  token: env('CRM_TOKEN'),
  retries: 0,
  endpoints: {
    orders: {
      path: '/orders', records: 'data', key: 'id', page: { by: 'offset', param: 'skip' },
      columns: { id: t.big(), total: t.decimal(12, 2), updated_at: t.timestamptz() },
      since: { column: 'updated_at', param: 'updated_since', lag: '10m', deletes: { sweep: '0ms' } },
      children: { lines: { key: 'sku', columns: { sku: t.text(), qty: t.int() } } },
    },
  },
})
const order = ods
  .entity('order', { key: 'id', columns: { id: t.big(), total: t.decimal(12, 2) } })
  .from(crm.orders, r => ({ id: r.id, total: r.total }))
const line = ods
  .entity('line', { key: ['order', 'sku'], columns: { order: t.big(), sku: t.text(), qty: t.int() } })
  .from(crm.orders_lines, r => ({ order: r.orders_id, sku: r.sku, qty: r.qty }))
export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: { order, line } })
`

beforeAll(async () => {
  orders = Array.from({ length: 250 }, (_, id) => ({
    id,
    total: `${id}.25`,
    updated_at: '2026-01-01T00:00:00Z',
    lines: Array.from({ length: id % 3 }, (_, i) => ({ sku: `s${i}`, qty: id })),
  }))
  api = await startApi((request, response, url) => {
    if (request.headers.authorization !== `Bearer ${token}`) return void response.writeHead(401).end('who are you')
    const since = url.searchParams.get('updated_since') ?? ''
    const from = Number(url.searchParams.get('skip'))
    json(response, { data: orders.filter(it => it.updated_at >= since).slice(from, from + 100) })
  })
  project = await makeProject({ config: config(api.url), variables: { CRM_TOKEN: token } })
})
afterAll(async () => {
  await project.remove()
  await api.stop()
})

const counts = async (): Promise<unknown> =>
  (
    await project.rows(`select (select count(*) from ods."order") as o, (select count(*) from ods.line) as l,
    (select cast(sum(total) as varchar) from ods."order") as t`)
  )[0]

test('an API is checked, read whole, then from where it stood, and its deletes are found', async () => {
  const checked = await project.naru(['check'])
  expect(checked.status, checked.stderr).toBe(0)
  expect(checked.stdout).toContain('its pages are found by offset')
  const first = await project.run()
  expect(first.staged).toMatchObject({ crm_orders: 250, crm_orders_lines: 249 })
  expect(await counts()).toEqual({ o: 250n, l: 249n, t: '31187.50' })

  const now = new Date().toISOString()
  orders = orders.filter(it => it.id !== 7)
  Object.assign(orders[3] as Order, { total: '1000.00', updated_at: now, lines: [] })
  orders.push({ id: 250, total: '0.10', updated_at: now, lines: [{ sku: 'new', qty: 1 }] })
  const before = api.requests.length
  await project.run()
  const sinces = api.requests.slice(before).map(it => it.url.searchParams.get('updated_since'))
  expect(sinces.some(since => since !== null)).toBe(true)
  // Of orders 3 and 7, nothing and one line are gone; order 250 brought one.
  expect(await counts()).toEqual({ o: 250n, l: 249n, t: '32177.10' })
  expect((await project.run()).rowsStaged).toBe(0)
}, 180_000)

test('a record with a repeated or missing key of its list is set aside, and the run goes on', async () => {
  const bad = { id: 300, total: '1.00', updated_at: new Date().toISOString() }
  const lines = [{ sku: 'a', qty: 1 }, { sku: 'a', qty: 2 }, { qty: 3 }] as Order['lines']
  orders.push({ ...bad, lines }, { ...bad, total: '2.00', lines: [] })
  const before = (await counts()) as { o: bigint; l: bigint }
  await project.run()
  expect(await counts()).toMatchObject({ o: before.o + 1n, l: before.l + 1n })
  const rejects = await project.rows(`select "table", reason, count(*) as n from naru.reject group by all order by all`)
  expect(rejects).toEqual([
    { table: 'orders', reason: 'KEY_REPEATED', n: 1n },
    { table: 'orders_lines', reason: 'KEY_REPEATED', n: 2n },
    { table: 'orders_lines', reason: 'VALUE_NOT_IN_TYPE', n: 1n },
  ])
  orders = orders.filter(it => it.id !== 300)
  await project.run()
  expect(await counts()).toEqual(before)
}, 180_000)

test('what the API refuses is told with its next step, and without the secret', async () => {
  const refused = await project.naru(['run'], { CRM_TOKEN: 'not-the-right-token' })
  expectRefused(refused, { status: 1, code: 'SOURCE_LOGIN', says: ['crm', 'status 401'] })
  expectNoSecret(refused, ['not-the-right-token', token])
})

test('a pull of every source passes over an API, and one of it says why', async () => {
  const all = await project.naru(['pull'])
  expect(all.status, all.stderr).toBe(0)
  expectRefused(await project.naru(['pull', 'crm']), { status: 2, code: 'SOURCE_NO_CATALOG', says: ['crm', 'http'] })
})

test('a column that the config takes in late has the values of old records', async () => {
  orders.forEach(it => Object.assign(it, { note: `n${it.id}` }))
  const late = config(api.url).replace(
    'updated_at: t.timestamptz() }',
    'updated_at: t.timestamptz(), note: t.text().null() }',
  )
  await project.configure(late)
  await project.run()
  expect(await project.rows("select count(*) as n from staging.crm_orders where note = 'n' || id")).toEqual([
    { n: 250n },
  ])
  await project.configure(config(api.url))
})
