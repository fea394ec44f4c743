import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { connectMysql } from '../../src/testing/mysql/database.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { env, mysql, t } from '../../src/index.ts'
import { makeProject, type TestProject } from '../support/project.ts'
import { makeStore } from '../support/store.ts'

const customers = 40
const sales = 5_000

const config = `import { defineConfig, duckdb, env, mysql, ods, t } from 'naru'
import { opsSchema } from './schema/ops.ts'

const ops = mysql('ops', {
  url: env('OPS_URL'),
  chunkRows: 700,
  schema: opsSchema,
  changes: { sale: { technique: 'timestamp', column: 'updated_at', deletes: { sweep: '0s' } } },
})
const sale = ods
  .entity('sale', {
    key: 'id',
    columns: { id: t.decimal(20, 0), amount: t.decimal(12, 2), sold: t.date(), note: t.text().null() },
  })
  .from(ops.sale, r => ({ id: r.id, amount: r.amount, sold: r.sold, note: r.note }))

export default defineConfig({ name: 'shop', engine: duckdb({ path: 'data.duckdb' }), models: { sale } })
`

let server: MariaDb
let db: Connection
let project: TestProject
beforeAll(async () => {
  server = await startMariaDb()
  db = await connectMysql(server.url())
  await db.query(`
    create table customer (id int unsigned primary key, name varchar(80) not null, email varchar(120)) charset utf8mb4;
    create table sale (id bigint unsigned primary key, customer int unsigned not null, amount decimal(12,2) not null,
      sold date not null, note text, updated_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
      key (updated_at)) charset utf8mb4;
    insert into customer select seq, concat('손님 ', seq), null from seq_1_to_${customers};
    insert into sale select seq, 1 + seq % ${customers}, seq / 100, date'2026-01-01' + interval seq % 90 day, if(seq % 3, null, ''), now(6)
      from seq_1_to_${sales}`)
  project = await makeProject({ config, variables: { OPS_URL: server.url() } })
})
afterAll(async () => {
  await project?.remove()
  await db?.end()
  await server?.stop()
})

test('a schema is pulled from MariaDB, loaded, and renewed by what changed', async () => {
  const pulled = await project.naru(['pull', 'ops', '--from', 'mysql', '--url', 'OPS_URL', '--all'])
  expect(pulled.status, pulled.stderr).toBe(0)
  expect(await readFile(path.join(project.folder, 'schema', 'ops.ts'), 'utf8')).toContain('t.decimal(12, 2)')
  const checked = await project.naru(['check'])
  expect(checked.status, checked.stderr + checked.stdout).toBe(0)

  expect(await project.run()).toMatchObject({ ods: { sale: sales }, rowsStaged: sales })
  const [first] = await project.rows(
    `select count(*) as n, sum(amount) as total, count(note) as notes from staging.ops_sale`,
  )
  expect(String(first?.['total'])).toContain('125025')
  expect(first).toMatchObject({ n: BigInt(sales), notes: BigInt(Math.floor(sales / 3)) })

  await db.query(`update sale set amount = amount + 1 where id <= 10; delete from sale where id = 20;
    insert into sale (id, customer, amount, sold) values (18446744073709551615, 1, 0.01, '2026-04-01')`)
  expect(await project.run()).toMatchObject({ ods: { sale: sales } })
  const found = await project.rows(`select id::varchar as id, amount::varchar as amount from staging.ops_sale
    where id in (1, 20, 18446744073709551615) order by 1`)
  expect(found).toEqual([
    { id: '1', amount: '1.01' },
    { id: '18446744073709551615', amount: '0.01' },
  ])
  expect(await project.run()).toMatchObject({ ods: { sale: sales } })
})

test('a table is moved to SQLite and back by command, and compared by the hash of every row', async () => {
  await db.query(`create or replace table goods (id bigint primary key, name text, price decimal(12,2), made datetime(6),
      blob_of blob) charset utf8mb4;
    insert into goods select seq, if(seq % 5, concat('것 ', seq), null), seq / 7, '2026-01-01' + interval seq microsecond,
      unhex(md5(seq)) from seq_1_to_3000`)
  const there = await project.naru([
    'transfer',
    'env:OPS_URL#goods',
    'goods.db#goods',
    '--create',
    '--validate',
    'hash',
  ])
  expect(there.status, there.stderr).toBe(0)
  const back = await project.naru(['transfer', 'goods.db#goods', 'env:OPS_URL#back', '--create', '--validate', 'hash'])
  expect(back.status, back.stderr).toBe(0)
  const [rows] = await db.query(`select count(*) as n from goods join back using (id)
    where goods.name <=> back.name and goods.price <=> back.price and goods.blob_of <=> back.blob_of`)
  expect(rows).toEqual([{ n: 3000 }])
  const [left] = await db.query("show tables like '\\_naru%'")
  expect(left).toEqual([])
  const query = 'select customer, sum(amount) as amount from sale group by customer'
  const asked = await project.naru([
    'transfer',
    'env:OPS_URL',
    'goods.db#sums',
    '--create',
    '--query',
    query,
    '--key',
    'customer',
  ])
  expect(asked.status, asked.stderr).toBe(0)
})

test('a column that came late has the values of old rows, though only changed ones are read; a frozen table stops alone', async () => {
  const table = { key: ['id'], columns: { id: t.big(), price: t.big(), at: t.timestamptz() } } as const
  const store = await makeStore('select 1', () => ({
    late: mysql('late', {
      url: env(server.url()),
      schema: { grown: table, frozen: table },
      changes: { '*': { technique: 'timestamp', column: 'at', deletes: 'keep' } },
      contract: { grown: 'evolve', frozen: 'freeze' },
    }),
  }))
  onTestFinished(() => store.remove())
  for (const name of ['grown', 'frozen']) {
    await db.query(
      `create table ${name} (id bigint primary key, price bigint not null, at timestamp(6) not null default '2026-01-01')`,
    )
    await db.query(`insert into ${name} (id, price) select seq, seq * 10 from seq_1_to_100`)
  }
  await store.run()
  for (const name of ['grown', 'frozen']) {
    await db.query(`alter table ${name} add column note text`)
    await db.query(`update ${name} set note = concat('n', id)`)
  }
  const run = await store.run()
  expect(run.stopped.map(it => [it.table.name, it.error.code])).toEqual([['frozen', 'SOURCE_COLUMN_NEW']])
  expect(await store.rows(`select count(*) as n from staging.late_grown where note = 'n' || id`)).toEqual([{ n: 100n }])
  expect(await store.rows('select count(*) as n from staging.late_frozen')).toEqual([{ n: 100n }])
})
