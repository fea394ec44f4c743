import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { startWatching, type WatchingProxy } from '../support/cutting.ts'
import type { Ended } from '../support/command.ts'
import { makeProject, type TestProject } from '../support/project.ts'
import { rowsNow, startServer } from '../support/server.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'

// A project over a MariaDB from its first load to its last comparison, as a user has it: `naru run`, `naru start`, and all
// that happens to them. One table for each technique is written to all the time.

vi.setConfig({ testTimeout: 300_000 })
/** Generous: on a loaded machine a run takes a minute. */
const commandMs = 280_000
const waits = { timeout: 120_000, interval: 200 }

/** Tables that are written to all the time, and what is compared of each. */
const written = {
  orders: 'id, amount, note',
  client: 'id, amount, note',
  parcel: 'id, amount, note',
  letter: 'id, note',
  item: 'id, rev, note',
}

const config = `import { defineConfig, duckdb, dw, env, mysql, ods, t } from 'naru'

const money = { id: t.int(), amount: t.int(), note: t.text().null() }
const sold = { ...money, day: t.date() }
const shop = mysql('shop', {
  url: env('SHOP_URL'),
  connectTimeout: '5s',
  chunkRows: 50,
  every: '500ms',
  schema: {
    orders: { key: ['id'], columns: sold },
    client: { key: ['id'], columns: money },
    parcel: { key: ['id'], columns: money },
    letter: { key: ['id'], columns: { id: t.int(), note: t.text().null(), sent: t.text() } },
    item: { key: ['id'], columns: { id: t.int(), rev: t.big(), note: t.text().null() } },
  },
  changes: {
    client: { technique: 'trigger' },
    parcel: { technique: 'event' },
    letter: { technique: 'status', column: 'sent', pending: 'new', done: 'sent', deletes: 'keep' },
    item: { technique: 'version', column: 'rev', deletes: { sweep: '0s' } },
    '*': { technique: 'log' },
  },
})
const order = ods.entity('order', { key: 'id', columns: sold }).from(shop.orders, r => ({ ...r }))
const orders = dw.fact('orders', ods.export('orders', order), { grain: 'id', at: 'day', dims: { date: dw.calendar('date').by('day') } })
const totals = dw.summary('totals', orders, { by: f => ({ month: f.date.month }), get: f => ({ orders: f.count(), amount: f.amount.sum() }) })
export default defineConfig({ name: 'shop', engine: duckdb({ path: 'data.duckdb' }), models: { totals, shop } })
`

let server: MariaDb
let line: WatchingProxy
let db: Connection
let project: TestProject
let folder: string
let writers: Writers

beforeAll(async () => {
  server = await startMariaDb({ 'log-bin': 'mysqld-bin', 'server-id': '1', 'binlog-format': 'ROW' })
  line = await startWatching(server.port)
  db = await connectMysql(server.url())
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-mysql-live-'))
  const url = server.url().replace(String(server.port), String(line.port))
  project = await makeProject({ config, folder, variables: { SHOP_URL: url } })
  for (const name of ['orders', 'client', 'parcel']) {
    await db.query(`create table ${name} (id int primary key, amount int not null, note varchar(40));
      insert into ${name} select seq, seq, 'first' from seq_1_to_400`)
  }
  await db.query(`alter table orders add day date not null default '2026-01-01'`)
  await db.query(`create table letter (id int primary key, note varchar(40), sent varchar(4) not null default 'new', key (sent));
    create table item (id int primary key, rev bigint not null, note varchar(40), key (rev));
    insert into letter (id, note) select seq, 'first' from seq_1_to_400;
    insert into item select seq, seq, 'first' from seq_1_to_400`)
  // The application has its outbox before it writes.
  const adapter = await openMysql(server.url())
  for (const statement of adapter.captures?.event?.script([]).install ?? []) await db.query(statement)
  await adapter.close()
  writers = write()
})
afterAll(async () => {
  await writers?.stop()
  await db?.end()
  await line?.stop()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

interface Writers {
  stop(): Promise<number>
}

/** Two writers that insert, update, delete and move keys in every table, in transactions of which some are taken back. */
function write(): Writers {
  const over = { is: false }
  const going = Promise.all([writing(1, over), writing(2, over)])
  return {
    stop: async () => {
      over.is = true
      return (await going).reduce((a, b) => a + b, 0)
    },
  }
}

async function writing(writer: number, over: { readonly is: boolean }): Promise<number> {
  const session = await connectMysql(server.url())
  let seed = writer
  const next = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
  let done = 0
  for (; !over.is; done++) {
    const id = (next(200) + 1) * 2 + (writer % 2)
    await session.query('begin')
    try {
      for (const statement of changes(id, next(4), done, writer)) await session.query(statement)
      await session.query(next(6) === 0 ? 'rollback' : 'commit')
    } catch (error) {
      // A claim of the technique status may hold a row that this transaction wants, and the other way round.
      if ((error as { readonly code?: string }).code !== 'ER_LOCK_DEADLOCK') throw error
    }
    await session.query('select sleep(0.02)')
  }
  await session.end()
  return done
}

/** What one transaction does about one key, as an application that knows of outbox, flag and number. */
function changes(id: number, kind: number, amount: number, writer: number): readonly string[] {
  const note = `'note ${amount}'`
  const upsert = (table: string): string =>
    `insert into ${table} (id, amount, note) values (${id}, ${amount}, ${note}) on duplicate key update amount = values(amount), note = values(note)`
  const told = (op: string, row: string): string =>
    `insert into naru_outbox (table_name, op, \`key\`, \`row\`) values ('parcel', '${op}', json_object('id', ${id}), ${row})`
  const row = `json_object('id', ${id}, 'amount', ${amount}, 'note', ${note})`
  const number = `(select coalesce(max(rev), 0) + 1 from item as i)`
  switch (kind) {
    case 0:
      return [
        `delete from orders where id = ${id}`,
        `delete from client where id = ${id}`,
        `delete from parcel where id = ${id}`,
        told('delete', 'null'),
      ]
    case 1:
      // Not UPDATE IGNORE: the server runs a trigger also for a row that such an update left as it was.
      return ['orders', 'client'].map(
        table =>
          `update ${table} set id = id + 1000, note = ${note} where id = ${id} and not exists (select 1 from ${table} as t where t.id = ${id + 1000})`,
      )
    default:
      return [
        upsert('orders'),
        upsert('client'),
        upsert('parcel'),
        told('update', row),
        `insert into letter (id, note) values (${id}, ${note}) on duplicate key update note = values(note), sent = 'new'`,
        ...(writer === 1 ? [`replace into item select ${id}, ${number}, ${note}`] : []),
      ]
  }
}

/** Rows of the copy as texts. */
async function rows(query: string): Promise<readonly (readonly string[])[]> {
  return (await rowsNow(project, query)).map(row => Object.values(row).map(String))
}

async function sourceRows(query: string): Promise<readonly (readonly string[])[]> {
  const [found] = await db.query<RowDataPacket[]>({ sql: query, rowsAsArray: true })
  return (found as unknown as readonly (readonly unknown[])[]).map(row => row.map(String))
}

/** Waits until a table of the copy has the rows of the source, while nobody writes. */
async function expectSame(table: string, columns: string): Promise<void> {
  const wanted = await sourceRows(`select ${columns} from ${table} order by id`)
  const mine = `select ${columns} from staging.shop_${table} order by id`
  await expect.poll(() => rows(mine).catch(String), { ...waits, message: table }).toEqual(wanted)
}

/** Stops the writers, compares every table that they write to, and the mart, and lets them go on. */
async function expectAllSame(bringUp: () => Promise<void> = async () => {}): Promise<void> {
  expect(await writers.stop()).toBeGreaterThan(3)
  await bringUp()
  for (const [table, columns] of Object.entries(written)) await expectSame(table, columns)
  const [total] = await sourceRows('select count(*), coalesce(sum(amount), 0) from orders')
  const mart = 'select sum(orders)::bigint, sum(amount)::bigint from mart.totals'
  await expect.poll(() => rows(mart).catch(String), waits).toEqual([total])
  writers = write()
}

/** A command that is killed once so many bytes of the source have come. */
async function killedAfter(bytes: number, ...args: readonly string[]): Promise<void> {
  const going = project.start(args, { limitMs: commandMs })
  await Promise.race([line.after(bytes), going.ended])
  going.child.kill('SIGKILL')
  await going.ended
}

const naru = (...args: readonly string[]): Promise<Ended> => project.start(args, { limitMs: commandMs }).ended

test('a first load under writers that is killed again and again is complete in the end', async () => {
  for (const bytes of [30_000, 90_000]) await killedAfter(bytes, 'run')
  const ended = await naru('run')
  expect(ended.status, ended.stderr).toBe(0)
  await expectAllSame(async () => expect((await naru('run')).status).toBe(0))
})

test('naru start follows every technique through kills, cuts, new files of the log and a restart of the source', async () => {
  let going = await startServer(project)
  await line.after(20_000)
  going.child.kill('SIGKILL')
  await going.ended
  going = await startServer(project)
  await line.after(20_000)
  line.cut()
  await db.query('flush binary logs')
  await line.after(20_000)
  await writers.stop()
  await db.end()
  await server.restart()
  db = await connectMysql(server.url())
  writers = write()
  await line.after(20_000)
  await expectAllSame()
})
