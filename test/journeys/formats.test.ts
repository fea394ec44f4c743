import zlib from 'node:zlib'
import { readFile } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { makeInbox, type Inbox } from '../support/inbox.ts'

async function newInbox(config: string): Promise<Inbox> {
  const inbox = await makeInbox(config)
  onTestFinished(() => inbox.remove())
  return inbox
}

function config(table: string, columns = '{ id: t.int(), amount: t.decimal(12, 2).null() }'): string {
  return `import { defineConfig, duckdb, files, ods, t } from 'naru'
const columns = ${columns}
const shop = files('shop', { folder: 'inbox', tables: { sale: { key: 'id', scope: 'delta', columns, ${table} } } })
const sale = ods.entity('sale', { key: 'id', columns }).from(shop.sale, r => ({ ...r }))
const sales = ods.export('sale', sale)
export default defineConfig({ name: 'formats', engine: duckdb({ path: 'data.duckdb' }), models: { sales } })
`
}

test('a trailer that does not agree stops its file, and the others arrive', async () => {
  const inbox = await newInbox(config(String.raw`glob: '*.csv', trailer: /^T;(?<count>\d+);(?<amount>[\d.]+)$/`))
  await inbox.put('bad.csv', 'id;amount\n1;10\n2;20\nT;3;30\n')
  await inbox.put('good.csv', 'id;amount\n3;30.50\n4;0.25\nT;2;30.75\n')
  const result = await inbox.run()
  expect(result.rowsStaged).toBe(2)
  expect(await inbox.rows('select id, cast(amount as varchar) as amount from ods.sale order by id')).toEqual([
    { id: 3, amount: '30.50' },
    { id: 4, amount: '0.25' },
  ])
  expect(await inbox.rows('select name, state from naru.file order by name')).toEqual([
    { name: 'bad.csv', state: 'refused' },
    { name: 'good.csv', state: 'loaded' },
  ])
  expect(result.stderr).toContain('does not agree with its trailer: that says 3 rows, the file has 2')
  expect(result.stderr).toContain('semicolons')
})

test('packed JSON lines in folders of a partition: text becomes the declared types, the path becomes a column', async () => {
  const columns = '{ id: t.big(), dt: t.date(), amount: t.decimal(12, 2).null() }'
  const inbox = await newInbox(config("glob: 'dt=*.ndjson.gz'", columns))
  await inbox.put('dt=x.ndjson.gz', zlib.gzipSync('{"id":9007199254740993,"amount":10.10,"dt":"2026-11-01"}\nnone\n'))
  const result = await inbox.run()
  expect(result.rejected).toEqual({ shop_sale: 1 })
  expect(
    await inbox.rows('select id, cast(dt as varchar) as dt, cast(amount as varchar) as amount from ods.sale'),
  ).toEqual([{ id: 9007199254740993n, dt: '2026-11-01', amount: '10.10' }])
})

test('Parquet is staged with its types', async () => {
  const flights = new URL('../../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url)
  const columns = '{ origin: t.text(), distance: t.int() }'
  const inbox = await newInbox(config("glob: '*.parquet'", columns).replaceAll("key: 'id'", "key: ['origin']"))
  await inbox.put('flights.parquet', await readFile(flights))
  const result = await inbox.run()
  expect(result.rowsStaged + (result.rejected['shop_sale'] ?? 0)).toBe(3_000_000)
  expect(
    await inbox.rows(
      "select data_type from information_schema.columns where table_schema = 'staging' and table_name = 'shop_sale' and column_name = 'distance'",
    ),
  ).toEqual([{ data_type: 'INTEGER' }])
}, 180_000)
