import type { Connection, RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { defineConfig, duckdb, env, mysql, t } from '../../src/index.ts'
import { connectMysql } from '../../src/testing/mysql/database.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { logProject, type LogProject } from '../support/append-log.ts'
import { lateColumn, wideTable } from '../support/late-columns.ts'
import { purgeLog } from '../support/mariadb-log.ts'
import { expectRefused, makeProject, type TestProject } from '../support/project.ts'
import { follow } from '../support/scripted.ts'
import { rowsNow, startServer, statusOf } from '../support/server.ts'

// Tables of the log of MariaDB that change their shape or go while nobody reads, and a log that goes: what comes of each.

let server: MariaDb
let db: Connection
beforeAll(async () => {
  server = await startMariaDb({ 'log-bin': 'mysqld-bin', 'server-id': '3', 'binlog-format': 'ROW' })
  db = await connectMysql(server.url())
}, 300_000)
afterAll(async () => {
  await db?.end()
  await server?.stop()
})

const tables = ['wide', 'emptied', 'remade', 'swapped', 'narrow', 'retyped', 'rekeyed'] as const
const one = { key: ['id'], columns: { id: t.int(), a: t.int().null(), b: t.int().null() } } as const
const shop = mysql('shop', {
  url: env('SHOP_URL'),
  schema: { wide: one, emptied: one, remade: one, swapped: one, narrow: one, retyped: one, rekeyed: one },
  changes: { '*': { technique: 'log' } },
  contract: { wide: { added: 'evolve' } },
})
const project = defineConfig({ name: 'shapes', engine: duckdb({ path: 'data.duckdb' }), models: [shop] })

async function expectSame(it: LogProject, table: string, columns: string): Promise<void> {
  const [wanted] = await db.query<RowDataPacket[]>(`select ${columns} from ${table} order by id`)
  const mine = await it.rows(`select ${columns} from staging.shop_${table} order by id`)
  expect({ [table]: mine }).toEqual({ [table]: wanted })
}

test('a change of the shape of a table comes in its place, and only the table whose contract refuses it stops', async () => {
  for (const name of tables) {
    await db.query(`create table ${name} (id int primary key, a int, b int, unique (b));
      insert into ${name} values (1, 10, 100), (2, 20, 200)`)
  }
  const it = await logProject(project, server.url())
  await it.run()
  await db.query(`update wide set a = 11 where id = 1; alter table wide add column extra varchar(9) default 'there'; insert into wide values (3, 30, 300, 'new');
    update wide set a = 22 where id = 2;
    truncate emptied; insert into emptied values (7, 70, 700);
    create or replace table remade (b int, id int primary key, a int); insert into remade values (900, 9, 90);
    alter table swapped rename column a to b, rename column b to a; insert into swapped (id, a, b) values (3, 30, 300);
    update narrow set b = 101 where id = 1; alter table narrow drop column b; insert into narrow values (3, 30);
    alter table retyped modify a varchar(9); insert into retyped values (3, 'x', 300);
    alter table rekeyed drop primary key, add primary key (b); insert into rekeyed values (1, 30, 300)`)
  const { stopped } = await it.run()
  expect(stopped.map(({ table }) => table.name).toSorted()).toEqual(['narrow', 'rekeyed', 'retyped'])
  await expectSame(it, 'wide', 'id, a, b, extra')
  // What is told to be other rows is read again by the next run.
  await it.run()
  for (const table of ['emptied', 'remade', 'swapped']) await expectSame(it, table, 'id, a, b')
  expect(await it.rows('select id, a from staging.shop_narrow order by id')).toEqual([
    { id: 1, a: 10 },
    { id: 2, a: 20 },
  ])
}, 240_000)

test('a change from before a column came takes nothing from the rows that are read for it, in a run and in a session', async () => {
  await db.query('drop table if exists wide')
  for (const statement of wideTable) await db.query(statement)
  const late = mysql('shop', {
    url: env('SHOP_URL'),
    chunkRows: 5,
    schema: { wide: one },
    changes: { wide: { technique: 'log' } },
    contract: { wide: { added: 'evolve' } },
  })
  const given = defineConfig({ name: 'late', engine: duckdb({ path: 'data.duckdb' }), models: [late] })
  const it = await logProject(given, server.url())
  await it.run()
  for (const statement of lateColumn('extra', 1)) await db.query(statement)
  expect((await it.run()).stopped).toEqual([])
  await expectSame(it, 'wide', 'id, a, b, extra')
  for (const statement of lateColumn('more', 2)) await db.query(statement)
  const live = await follow({ open: it.open, events: [] } as never)
  onTestFinished(() => live.stop())
  const columns = 'id, a, b, extra, more'
  const [rows] = await db.query<RowDataPacket[]>(`select ${columns} from wide order by id`)
  await live.untilRows(
    `select ${columns} from staging.shop_wide order by id`,
    rows.map(row => Object.values(row) as unknown[]),
  )
}, 240_000)

const config = `import { defineConfig, duckdb, env, mysql, t } from 'naru'
const columns = { id: t.int(), v: t.int() }
const shop = mysql('shop', {
  url: env('SHOP_URL'),
  schema: { goods: { key: ['id'], columns }, buyer: { key: ['id'], columns } },
  changes: { '*': { technique: 'log' } },
})
export default defineConfig({ name: 'shop', engine: duckdb({ path: 'data.duckdb' }), models: { shop } })
`
const waits = { timeout: 120_000, interval: 100 }
const makeGoods = 'create table goods (id int primary key, v int not null)'

/** A project that has loaded `goods` and `buyer`. */
async function shopProject(): Promise<TestProject> {
  await db.query(`drop table if exists goods, buyer; ${makeGoods}; create table buyer like goods;
    insert into goods values (1, 1), (2, 2); insert into buyer values (1, 1)`)
  const made = await makeProject({ config, variables: { SHOP_URL: server.url() } })
  onTestFinished(() => made.remove())
  await made.run()
  return made
}

const mine = (it: TestProject, table: string): Promise<readonly unknown[]> =>
  rowsNow(it, `select id, v from staging.shop_${table} order by id`)

describe('a log whose place the server removed', () => {
  test('is an error with its choices, and no loss: a resync of the source brings every table back', async () => {
    const it = await shopProject()
    const going = await startServer(it)
    expect((await it.naru(['stop'])).status).toBe(0)
    await going.ended
    await db.query(`delete from goods where id = 1; insert into goods values (3, 3); update buyer set v = 2`)
    await purgeLog(db)
    const refused = await it.naru(['run'])
    expectRefused(refused, {
      status: 1,
      code: 'POSITION_LOST',
      says: ['source "shop"', 'is gone', 'Bring back what the source lost', 'naru resync shop'],
    })
    expect(await mine(it, 'buyer')).toEqual([{ id: 1, v: 1 }])

    const resynced = await it.naru(['resync', 'shop'])
    expect(resynced.status, resynced.stderr).toBe(0)
    expect(resynced.stderr).toContain('versions between are not told')
    expect(await mine(it, 'goods')).toEqual([
      { id: 2, v: 2 },
      { id: 3, v: 3 },
    ])
    expect(await mine(it, 'buyer')).toEqual([{ id: 1, v: 2 }])
    await db.query('update buyer set v = 3')
    await it.run()
    expect(await mine(it, 'buyer')).toEqual([{ id: 1, v: 3 }])
  })
})

describe('a table that is dropped and made anew by two statements', () => {
  const anew = ['drop table goods', makeGoods, 'insert into goods values (9, 9)', 'update buyer set v = v + 1']

  async function expectBack(it: TestProject): Promise<void> {
    const resynced = await it.naru(['resync', 'shop.goods'])
    expect(resynced.status, resynced.stderr).toBe(0)
    expect(await mine(it, 'goods')).toEqual([{ id: 9, v: 9 }])
    await db.query('insert into goods values (10, 10)')
  }
  const both = [
    { id: 9, v: 9 },
    { id: 10, v: 10 },
  ]

  test('while nobody reads: it stops alone, and a resync of it takes it in again', async () => {
    const it = await shopProject()
    for (const statement of anew) await db.query(statement)
    const ended = await it.naru(['run'])
    expect(ended.status, ended.stderr).toBe(5)
    expect(ended.stderr).toMatch(
      /shop\.goods is not read and stays as it was: source "shop" has no table "goods".*naru resync shop\.goods/,
    )
    expect(await mine(it, 'buyer')).toEqual([{ id: 1, v: 2 }])
    expect((await mine(it, 'goods')).length).toBe(2)
    await expectBack(it)
    await it.run()
    expect(await mine(it, 'goods')).toEqual(both)
  })

  test('while a stream runs: the same', async () => {
    const it = await shopProject()
    await startServer(it)
    for (const statement of anew) await db.query(statement)
    await expect.poll(() => mine(it, 'buyer'), waits).toEqual([{ id: 1, v: 2 }])
    expect((await statusOf(it)).server?.troubles).toMatchObject([{ what: 'shop.goods', code: 'SOURCE_TABLE_GONE' }])
    await expectBack(it)
    await expect.poll(() => mine(it, 'goods'), waits).toEqual(both)
  })
})
