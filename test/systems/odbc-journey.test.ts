import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeProject, type TestProject } from '../support/project.ts'
import { prepareOdbc } from '../servers/odbc.ts'

let odbc: ReturnType<typeof prepareOdbc>
let project: TestProject
beforeAll(async () => {
  odbc = prepareOdbc()
  project = await makeProject({
    config: '',
    variables: {
      ERP_DSN: `Driver=SQLite3;Database=${path.join(odbc.folder, 'erp.db')}`,
      ODBCSYSINI: odbc.folder,
      ODBCINI: path.join(odbc.folder, 'odbc.ini'),
    },
  })
})
afterAll(async () => {
  await project.remove()
  odbc.remove()
})

const sqlite = (statements: string): void =>
  void execFileSync('sqlite3', [path.join(odbc.folder, 'erp.db')], { input: statements })

const config = `
import { defineConfig, duckdb, env, odbc, ods, t } from 'naru'
import { legacySchema } from './schema/legacy.ts'
const legacy = odbc('legacy', { dsn: env('ERP_DSN'), schema: legacySchema, chunkRows: 1000 })
const part = ods
  .entity('part', { key: 'no', columns: { no: t.big(), label: t.text().null(), price: t.decimal(9, 2).null() } })
  .from(legacy.part, r => ({ ...r }))
export default defineConfig({ name: 'parts', engine: duckdb({ path: 'data.duckdb' }), models: { part } })
`

test('a data source is pulled, loaded in chunks, changed, and loaded again', async () => {
  sqlite(`pragma journal_mode = wal;
    create table part (no integer primary key not null, label varchar(40), price decimal(9,2));
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500)
    insert into part select i, 'part ' || i || ' 한국', i / 4.0 from n`)
  const pulled = await project.naru(['pull', 'legacy', '--from', 'odbc', '--url', 'ERP_DSN'])
  expect(pulled.status, pulled.stderr).toBe(0)
  await project.configure(config)
  expect(await project.run()).toMatchObject({ ok: true, rowsRead: 2500 })
  const sums = 'select count(*) as n, sum(price) as price, max(label) as label from staging.legacy_part'
  expect((await project.rows(sums))[0]).toMatchObject({ n: 2500n, label: 'part 999 한국' })
  sqlite(
    `delete from part where no = 7; update part set price = 1000.25 where no = 8; insert into part values (9000, '', null)`,
  )
  expect(await project.run()).toMatchObject({ ok: true })
  const rows = await project.rows(
    'select no, label, price::varchar as price from staging.legacy_part where no in (7, 8, 9000) order by no',
  )
  expect(rows).toEqual([
    { no: 8n, label: 'part 8 한국', price: '1000.25' },
    { no: 9000n, label: '', price: null },
  ])
})

test('a query is transferred through ODBC in both directions, and a changed row again', async () => {
  const query = 'select no, label, price from part where no < 2000'
  const made = await project.naru([
    'transfer',
    'legacy',
    'legacy#part_copy',
    '--query',
    query,
    '--key',
    'no',
    '--create',
    '--validate',
    'count',
  ])
  expect(made.status, made.stderr).toBe(0)
  sqlite(`update part_copy set label = 'wrong' where no = 5`)
  const again = await project.naru([
    'transfer',
    'legacy#part',
    'legacy#part_copy',
    '--mode',
    'upsert',
    '--validate',
    'count',
  ])
  expect(again.status, again.stderr).toBe(0)
  // The same connection string, without a source of the configuration.
  const byVariable = ['env:ERP_DSN#part', 'env:ERP_DSN#part_other', '--create', '--key', 'no', '--validate', 'count']
  const other = await project.naru(['transfer', ...byVariable])
  expect(other.status, other.stderr).toBe(0)
  const differing = execFileSync('sqlite3', [path.join(odbc.folder, 'erp.db')], {
    input: `select count(*) from (select * from part except select * from part_copy);
      select count(*) from (select * from part except select * from part_other); select count(*) from part_copy;
      select count(*) from sqlite_master where name like '%naru%'`,
    encoding: 'utf8',
  })
  // The first query leaves no row out: ids begin at 1, one was deleted and one was added.
  expect(differing.trim().split('\n')).toEqual(['0', '0', '2500', '0'])
})

test('a technique that needs a lag is told by the check, not by the second run', async () => {
  sqlite(`create table if not exists seen (no integer primary key not null, at datetime)`)
  const named = `const legacy = odbc('legacy', {
  dsn: env('ERP_DSN'),
  schema: { seen: { key: ['no'], columns: { no: t.big(), at: t.timestamp().null() } } },
  changes: { seen: { technique: 'timestamp', column: 'at', deletes: 'keep' } },
})
const seen = ods.entity('seen', { key: 'no', columns: { no: t.big() } }).from(legacy.seen, r => ({ no: r.no }))
export default defineConfig({ name: 'parts', engine: duckdb({ path: 'data.duckdb' }), models: { seen } })
`
  await project.configure(`import { defineConfig, duckdb, env, odbc, ods, t } from 'naru'\n${named}`)
  const refused = await project.naru(['check'])
  expect(refused.status).toBe(1)
  expect(refused.stdout).toContain('[HORIZON_UNKNOWN]')
  expect(refused.stdout).toContain("add lag: '10m'")
})
