import { mkdir, readFile, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import zlib from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import avsc from 'avsc'
import { expect, onTestFinished, test } from 'vitest'
import { makeInbox, type Inbox } from '../support/inbox.ts'

const tables = {
  orders: `glob: 'orders_*.csv'`,
  returns: `glob: partnerSchema.returns.remote`,
  flights: `glob: partnerSchema.flights.remote`,
  people: `glob: partnerSchema.people.remote`,
  visits: `glob: partnerSchema.visits.remote`,
}

/** A config that reads every table of the module as it stands there, but for the key, which is never NULL. */
function config(): string {
  const names = Object.keys(tables)
  const lines = Object.entries(tables).map(
    ([name, table]) => `    ${name}: { ${table}, key: 'id', scope: 'delta', columns: columns.${name} },`,
  )
  const columns = names.map(name => `  ${name}: { ...partnerSchema.${name}.columns, id: t.big() },`)
  const models = names.map(
    name => `
const ${name} = ods
  .entity('${name}', { key: 'id', columns: columns.${name} })
  .from(partner.${name}, r => ({ ...r }))`,
  )
  return `import { defineConfig, duckdb, files, ods, t } from 'naru'
import { partnerSchema } from './schema/partner.ts'

const columns = {
${columns.join('\n')}
}
const partner = files('partner', {
  folder: 'inbox',
  tables: {
${lines.join('\n')}
  },
})
${models.join('\n')}
export default defineConfig({ name: 'pulled', engine: duckdb({ path: 'data.duckdb' }), models: { ${names.join(', ')} } })
`
}

async function putParquet(inbox: Inbox): Promise<void> {
  const file = path.join(inbox.inbox, 'flights_1.parquet')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`copy (select 7::bigint as id, 1.25::decimal(9, 2) as fare) to '${file}' (format parquet)`)
  connection.closeSync()
  instance.closeSync()
  const old = new Date('2026-01-01T00:00:00Z')
  await utimes(file, old, old)
}

async function avroFile(): Promise<Buffer> {
  // Given as it is: a type of the library forgets the logical types that it does not know.
  const encoder = new avsc.streams.BlockEncoder({
    type: 'record',
    name: 'person',
    fields: [
      { name: 'id', type: 'long' },
      { name: 'born', type: ['null', { type: 'int', logicalType: 'date' }] },
    ],
  })
  encoder.write({ id: 1, born: 365 })
  encoder.end({ id: 2, born: null })
  const chunks: Buffer[] = []
  for await (const chunk of encoder) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function fullInbox(): Promise<Inbox> {
  const inbox = await makeInbox('export default {}')
  onTestFinished(() => inbox.remove())
  await mkdir(path.join(inbox.inbox, 'visits/day=2026-01-02'), { recursive: true })
  await inbox.put('orders_2026-01-01.csv', 'id;amount;paid\n1;2.50;true\n2;10.00;false\n')
  await inbox.put('orders_2026-01-02.csv', 'id;amount;paid\n2;11.00;true\n3;0.10;\n')
  await inbox.put('returns_1.ndjson', '{"id":9007199254740993,"at":"2026-01-02T03:04:05Z"}\n')
  await putParquet(inbox)
  await inbox.put('people.avro', await avroFile())
  await inbox.put('visits/day=2026-01-02/part-0.csv.gz', zlib.gzipSync('id,place\n1,Seoul\n'))
  await inbox.put('broken_1.parquet', 'PAR1')
  return inbox
}

test('a folder is pulled without a config; the module is used as it stands, and the rows are right', async () => {
  const inbox = await fullInbox()
  const ended = await inbox.naru(['pull', 'partner', '--from', 'files', '--path', 'inbox'])
  expect(ended.status, ended.stderr).toBe(0)
  expect(ended.stdout).toContain('broken_1.parquet is left out: file "broken_1.parquet" cannot be read')
  const module = await readFile(path.join(inbox.folder, 'schema/partner.ts'), 'utf8')
  expect(module).toContain("remote: 'visits/day=*/part-*.csv.gz'")
  expect(module).toContain('fare: t.decimal(9, 2).null(), // DECIMAL(9,2)')
  expect(module).toContain('id: t.big(), // long')

  await inbox.configure(config())
  const result = await inbox.run()
  const all = (query: string): Promise<unknown> => inbox.rows(query)
  // The order that came twice, and nothing that a type did not hold.
  expect(result.rejected).toEqual({ partner_orders: 1 })
  expect(await all('select reason from naru.reject')).toEqual([{ reason: 'KEY_REPEATED' }])
  expect(await all('select id, cast(amount as varchar) as amount, paid from ods.orders order by id')).toEqual([
    { id: 1n, amount: '2.50', paid: true },
    { id: 2n, amount: '11.00', paid: true },
    { id: 3n, amount: '0.10', paid: null },
  ])
  expect(await all('select id, "at" = timestamptz \'2026-01-02 03:04:05+00\' as same from ods."returns"')).toEqual([
    { id: 9007199254740993n, same: true },
  ])
  expect(await all('select id, cast(fare as varchar) as fare from ods.flights')).toEqual([{ id: 7n, fare: '1.25' }])
  expect(await all('select id, cast(born as varchar) as born from ods.people order by id')).toEqual([
    { id: 1n, born: '1971-01-01' },
    { id: 2n, born: null },
  ])
  expect(await all('select id, place, day from ods.visits')).toEqual([{ id: 1n, place: 'Seoul', day: '2026-01-02' }])
})

test('a source of the config is pulled by its name; without a name it is left alone; marks of a user stay', async () => {
  const inbox = await fullInbox()
  const file = path.join(inbox.folder, 'schema/partner.ts')
  await inbox.naru(['pull', 'partner', '--from', 'files', '--path', 'inbox'])
  await inbox.configure(config())
  const marked = (await readFile(file, 'utf8')).replace('place: t.text().null(),', 'place: t.text().null().pii(),')
  await writeFile(file, marked)
  const none = await inbox.naru(['pull'])
  expect([none.status, none.stdout]).toEqual([0, expect.stringContaining('reads no database')])
  const again = await inbox.naru(['pull', 'partner'])
  expect(again.status, again.stderr).toBe(0)
  expect(again.stdout).toContain('5 tables, no change')
  expect(await readFile(file, 'utf8')).toBe(marked)
  await inbox.put('orders_2026-01-03.csv', 'id;amount;paid;note\n2;11.00;true;x\n')
  await inbox.naru(['pull', 'partner'])
  expect(await readFile(file, 'utf8')).toContain(
    'note: t.text().null(), // text, looks like text (1 row of orders_2026-01-03.csv)',
  )
})
