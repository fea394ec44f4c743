import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openProject, type OpenProject } from '../../src/app/project.ts'
import { reading } from '../../src/app/read.ts'
import { serverReport, type ServerReport } from '../../src/app/server/report.ts'
import { realEnv } from '../../src/core/env.ts'
import { rawSql } from '../../src/core/sql.ts'
import { never } from '../../src/testing/engine.ts'
import { startPostgres, type PostgresServer } from '../../src/testing/servers/embedded-postgres.ts'
import type { Going } from '../support/command.ts'
import { makeProject, type TestProject } from '../support/project.ts'

// What befalls a PostgreSQL while `naru start` follows its log: the tables here are what they are there, or a word says why not.

vi.setConfig({ testTimeout: 240_000 })
const waits = { timeout: 120_000, interval: 100 }

let dir: string
let server: PostgresServer
let db: Client
let project: TestProject
let open: OpenProject
let going: Going

const settings = { wal_level: 'logical', fsync: 'off', wal_sender_timeout: '20s' }
const doc = (key: string): string =>
  `key: ['${key}'], columns: { id: t.int(), code: t.text(), title: t.text(), body: t.text().null() }`
const thing = `key: ['id'], columns: { id: t.int(), a: t.int().null(), b: t.text().null() }`
const tables = {
  doc_default: doc('id'),
  doc_full: doc('id'),
  doc_index: doc('code'),
  strict: thing,
  loose: thing,
  growing: thing,
  again: thing,
  big: `key: ['id'], columns: { id: t.int(), v: t.big(), note: t.text() }`,
  sale: `key: ['id'], columns: { id: t.int(), amount: t.int() }`,
  safe: `key: ['id'], columns: { id: t.int(), amount: t.int() }`,
} as const
type Table = keyof typeof tables

const entity = (name: string, text: string): string => {
  const [, key = '', columns = ''] = /key: \['(\w+)'\], columns: (.*)$/.exec(text) ?? []
  const rule = {
    sale: `.rules({ amount: rule.range(0, 100) })`,
    safe: `.rules({ amount: rule.range(0, 100).block() })`,
  }
  return `const ${name} = ods.entity('${name}', { key: '${key}', columns: ${columns} }).from(shop.${name}, r => ({ ...r }))${
    (rule as Record<string, string>)[name] ?? ''
  }`
}
const config = `import { defineConfig, duckdb, env, ods, pg, rule, t } from 'naru'
const shop = pg('shop', {
  url: env('SHOP_URL'), connectTimeout: '5s',
  schema: { ${Object.entries(tables)
    .map(([name, text]) => `${name}: { ${text} },`)
    .join(' ')} },
  changes: { '*': { technique: 'log' } },
  contract: { strict: 'freeze', growing: 'evolve', '*': 'discard' },
})
${Object.entries(tables)
  .map(([name, text]) => entity(name, text))
  .join('\n')}
const bank = pg('bank', { url: env('SHOP_URL'), every: '300ms', connectTimeout: '5s', schema: { polled: { ${thing} } } })
${entity('polled', thing).replace('shop.', 'bank.')}
export default defineConfig({
  name: 'followed', engine: duckdb({ path: 'data.duckdb', memory: '256MB' }),
  models: { polled: ods.export('polled', polled), ${Object.keys(tables)
    .map(name => `${name}: ods.export('${name}', ${name})`)
    .join(', ')} },
})
`

async function connect(): Promise<Client> {
  const client = new Client(server.url)
  client.on('error', () => {}) // it ends when the server does
  await client.connect()
  return client
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'naru-source-'))
  server = await startPostgres({ dir, settings })
  db = await connect()
  const docs = ['default', 'full', 'index'].map(
    name => `
    create table doc_${name} (id integer primary key, code text not null unique, title text, body text);
    alter table doc_${name} alter column body set storage external;
    insert into doc_${name} select i, 'c' || i, 't', repeat('long ' || i, 3000) from generate_series(1, 20) i;`,
  )
  const things = ['strict', 'loose', 'growing', 'again'].map(
    name => `
    create table ${name} (id integer primary key, a integer, b text);
    insert into ${name} select i, i, 'b' || i from generate_series(1, 5) i;`,
  )
  await db.query(`${docs.join('')} ${things.join('')}
    alter table doc_full replica identity full;
    alter table doc_index replica identity using index doc_index_code_key;
    create table polled (id integer primary key, a integer, b text); insert into polled values (1, 1, 'p');
    create table big (id integer primary key, v bigint not null, note text not null);
    create table sale (id integer primary key, amount integer not null); insert into sale values (1, 1);
    create table safe (id integer primary key, amount integer not null); insert into safe values (1, 1)`)
  project = await makeProject({ config, variables: { SHOP_URL: server.url } })
  process.env['SHOP_URL'] = server.url
  open = await openProject(realEnv(), { config: project.configFile, cwd: project.folder })
  going = project.start(['start'], { limitMs: 900_000 })
  await going.says('Ready at')
  const isThere = `select count(*) from naru.stream where state = 'live'`
  const all = BigInt(Object.keys(tables).length)
  await vi.waitFor(async () => expect(await here(isThere)).toEqual([[all]]), waits)
}, 240_000)
afterAll(async () => {
  going?.child.kill('SIGKILL')
  await going?.ended
  await db?.end().catch(() => {})
  await server?.remove()
  await project?.remove()
  await rm(dir, { recursive: true, force: true })
})

/** Rows here, as the server of the project answers. */
const here = async (query: string): Promise<readonly unknown[][]> =>
  (await reading(open, never, tx => tx.rows(rawSql(query)))).map(row => Object.values(row))

async function expectSame(table: Table, columns: string, key = 'id'): Promise<void> {
  const wanted = await db.query({ text: `select ${columns} from ${table} order by ${key}`, rowMode: 'array' })
  await expect.poll(() => here(`select ${columns} from ods.${table} order by ${key}`), waits).toEqual(wanted.rows)
}

test.each([
  ['doc_default', 'id'],
  ['doc_full', 'id'],
  ['doc_index', 'code'],
] as const)('%s: a long value stays when others of its row change, with every replica identity', async (table, key) => {
  const columns = 'id, code, title, md5(body)'
  await expectSame(table, columns, key)
  await db.query(`
    update ${table} set title = 'other' where id % 2 = 0;
    update ${table} set ${key} = ${key === 'id' ? 'id + 100' : `code || 'x'`} where id % 5 = 0;
    begin; update ${table} set body = repeat('new', 4000) where id = 3; update ${table} set title = 'after' where id = 3; commit;
    update ${table} set body = null where id = 4; update ${table} set title = 'without' where id = 4;
    delete from ${table} where id = 6; insert into ${table} values (6, 'c6', 'again', repeat('again', 3000));
    update ${table} set title = 'twice' where id = 6`)
  await expectSame(table, columns, key)
  expect(await here('select count(*) from naru.reject')).toEqual([[0n]])
})

/** What the server says of itself, as `naru status` asks it. */
async function told(): Promise<ServerReport> {
  const report = await serverReport(open, never)
  if (report === null || !('troubles' in report)) throw new Error('no server answers')
  return report
}

/** What fails of whole sources: some tables stopped in tests before. */
const troubles = async (): Promise<ServerReport['troubles']> =>
  (await told()).troubles.filter(({ what }) => what.includes('('))

async function stateOf(table: Table): Promise<{ readonly state: string | undefined; readonly code: string | null }> {
  const found = (await told()).live?.tables.find(it => it.table === `shop.${table}`)
  return { state: found?.state, code: found?.error?.code ?? null }
}

test('a row that a rule sets aside in a tick holds nothing up, and comes when the source corrects it', async () => {
  const amounts = 'select id, amount from ods.sale order by id'
  await db.query('insert into sale values (2, -5), (3, 3); update sale set amount = 500 where id = 1')
  await expect
    .poll(() => here(amounts), waits)
    .toEqual([
      [1, 1],
      [3, 3],
    ])
  const waiting = `select key, state from naru.quarantine where state <> 'resolved' order by key`
  expect(await here(waiting)).toHaveLength(2)
  await db.query('update sale set amount = 5 where id in (1, 2)')
  await expectSame('sale', 'id, amount')
  expect(await here(waiting)).toEqual([])
})

test('a row that blocks a tick is named, nothing of the tick is visible, and its correction lets it through', async () => {
  await db.query('begin; insert into safe values (2, 500); insert into loose values (50, 50, null); commit')
  await going.says('REJECT_LIMIT')
  expect(await here('select count(*) from ods.safe')).toEqual([[1n]])
  expect(await here('select count(*) from ods.loose where id = 50')).toEqual([[0n]])
  await db.query('update safe set amount = 50 where id = 2')
  await expectSame('safe', 'id, amount')
  await expectSame('loose', 'id, a, b')
})

test('a value that its type does not hold is a reject; the row comes with its correction', async () => {
  await db.query(
    'alter table growing alter column a type bigint; insert into growing values (6, 3000000000, $$x$$), (7, 7, $$y$$)',
  )
  await expect.poll(() => here('select id, a from ods.growing where id > 5'), waits).toEqual([[7, 7]])
  expect(await here(`select reason, row_key from naru.reject where reason = 'VALUE_NOT_IN_TYPE'`)).toEqual([
    ['VALUE_NOT_IN_TYPE', '{"id":"6"}'],
  ])
  await db.query('update growing set a = 6 where id = 6')
  await expectSame('growing', 'id, a::integer as a, b')
})

test('each contract decides of a new column for its table, and the others go on', async () => {
  for (const table of ['strict', 'loose', 'growing']) {
    await db.query(
      `alter table ${table} add column colour text default 'old'; insert into ${table} values (8, 8, 'b', 'red')`,
    )
  }
  await expectSame('loose', 'id, a, b')
  const colours = 'select id, colour from staging.shop_growing order by id'
  const { rows } = await db.query({ text: 'select id, colour from growing order by id', rowMode: 'array' })
  await expect.poll(() => here(colours).catch(() => []), waits).toEqual(rows)
  expect(await stateOf('strict')).toEqual({ state: 'stopped', code: 'SOURCE_COLUMN_NEW' })
  expect(await here('select count(*) from ods.strict')).toEqual([[5n]])
})

test('a column that is renamed or dropped stops its table by name, or is NULL from then on where the contract says so', async () => {
  await db.query(`alter table growing rename column b to c; update growing set c = 'changed' where id = 1;
    alter table loose rename column b to c; update loose set c = 'changed' where id = 1`)
  await expect
    .poll(() => here('select c from staging.shop_growing where id = 1').catch(() => []), waits)
    .toEqual([['changed']])
  await expect.poll(() => here('select count(b) from ods.growing'), waits).toEqual([[0n]])
  await expect.poll(() => stateOf('loose'), waits).toEqual({ state: 'stopped', code: 'SOURCE_COLUMN_GONE' })
  expect(await here('select b from ods.loose where id = 1')).toEqual([['b1']])
})

test('a restart and a crash of the source in the middle of its changes lose nothing and double nothing', async () => {
  for (const [n, crash] of [false, true].entries()) {
    await db.query(`update sale set amount = amount + 1; insert into sale values (${100 + n}, 1)`)
    if (crash) process.kill(server.pid, 'SIGKILL')
    await server.stop()
    await db.end().catch(() => {})
    await going.says('SOURCE_UNREACHABLE')
    server = await startPostgres({ dir, settings })
    db = await connect()
    await db.query(`update sale set amount = amount + 1; insert into sale values (${200 + n}, 1)`)
    await expectSame('sale', 'id, amount')
  }
  const versions = await here('select count(*) from staging.shop_sale__past where id = 100')
  expect(versions).toEqual([[3n]])
})

test('a password that is changed stops nothing else, and who asks again when it is right goes on', async () => {
  const { password } = new URL(server.url)
  await db.query(
    `alter role postgres password 'another one'; select pg_terminate_backend(active_pid) from pg_replication_slots`,
  )
  await going.says('SOURCE_LOGIN')
  await expect
    .poll(async () => (await troubles()).map(it => [it.what, it.code, it.isRetried]), waits)
    .toEqual([
      ['shop (log)', 'SOURCE_LOGIN', true],
      ['bank (poll)', 'SOURCE_LOGIN', true],
    ])
  expect(await here('select count(*) > 0 from ods.sale')).toEqual([[true]])
  await db.query(`alter role postgres password '${password}'; update sale set amount = 9; update polled set a = 9`)
  await expect.poll(() => here('select a from ods.polled'), waits).toEqual([[9]])
  // The stream asks every half minute; a command that is handed over asks now.
  await project.naru(['run', 'shop.sale'])
  await expectSame('sale', 'id, amount')
})

test('a transaction of half a million rows passes in the memory that the engine was given', async () => {
  await db.query(`insert into big select i, i * 7, repeat(md5(i::text), 3) from generate_series(1, 500000) i`)
  const run = await project.start(['run', 'shop.big'], { limitMs: 240_000 }).ended
  expect(run.status, run.stderr).toBe(0)
  const sums = 'select count(*)::integer as n, sum(v)::varchar as v, count(distinct note)::integer as notes from'
  const there = await db.query({ text: `${sums} big`, rowMode: 'array' })
  expect(await here(`${sums} ods.big`)).toEqual(there.rows)
})

/** A resync takes the table in again, its changes come from then on, and all is well. */
async function expectBack(changes: string): Promise<void> {
  const done = await project.naru(['resync', 'shop.again'])
  expect(done.status, done.stderr).toBe(0)
  await expectSame('again', 'id, a, b')
  await db.query(changes)
  await expectSame('again', 'id, a, b')
  await expectSame('sale', 'id, amount')
  expect(await troubles()).toEqual([])
}

test('a table that is dropped and made anew stops by name, and a resync reads what is there now', async () => {
  await db.query(
    `drop table again; create table again (id integer primary key, a integer, b text); insert into again values (1, 7, 'new')`,
  )
  // The look at the catalog says that it is gone; a stream that is opened behind that, that it left the publication.
  await expect.poll(async () => (await stateOf('again')).code, waits).toMatch(/^(SOURCE_TABLE_GONE|STREAM_TABLE_LOST)$/)
  await expectBack('update again set a = 8; update sale set amount = 10')
})

test('a table that leaves the publication stops by name, the others go on, and a resync takes it in again', async () => {
  await db.query('alter publication naru_shop drop table again')
  await expect.poll(async () => (await stateOf('again')).code, waits).toBe('STREAM_TABLE_LOST')
  await db.query(`update again set a = 70; update sale set amount = 11`)
  await expectSame('sale', 'id, amount')
  await expectBack('update again set a = 71; update sale set amount = 12')
})
