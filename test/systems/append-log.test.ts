import type { Connection, RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defineConfig, duckdb, env, mysql, t } from '../../src/index.ts'
import { connectMysql } from '../../src/testing/mysql/database.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { expectLaw, happened, logProject, type LogProject } from '../support/append-log.ts'

let server: MariaDb
let db: Connection
let writer: Connection
beforeAll(async () => {
  server = await startMariaDb({
    'log-bin': 'mysqld-bin',
    'server-id': '3',
    'binlog-format': 'ROW',
    'binlog-row-metadata': 'FULL',
  })
  db = await connectMysql(server.url())
  writer = await connectMysql(server.url())
  await db.query(`create table visit (moment int, what longtext)`)
  await db.query(`insert into visit select seq % 7, 'page' from seq_1_to_300`)
}, 300_000)
afterAll(async () => {
  await writer?.end()
  await db?.end()
  await server?.stop()
})

const shop = mysql('shop', {
  url: env('SHOP_URL'),
  chunkRows: 50,
  schema: { visit: { key: 'append', columns: { moment: t.int().null(), what: t.text().null() } } },
  changes: { visit: { technique: 'log' } },
})
const project = defineConfig({ name: 'visits', engine: duckdb({ path: 'data.duckdb' }), models: [shop] })

async function lawOf(it: LogProject): Promise<void> {
  const [rows] = await db.query<RowDataPacket[]>(
    `select concat(coalesce(moment, '-'), '|', coalesce(what, '-')) as shown from visit`,
  )
  await expectLaw(
    it,
    rows.map(row => String(row['shown'])),
  )
}

/** Writes in transactions of many kinds until it is stopped. */
function writing(): { stop(): Promise<number> } {
  const over = { is: false }
  const going = (async () => {
    let done = 0
    for (; !over.is; done++) {
      await writer.query('begin')
      await writer.query(`insert into visit select ${done % 5}, 'more' from seq_1_to_${1 + (done % 4)}`)
      await writer.query(`update visit set moment = moment + 1 where moment = ${done % 9} limit 3`)
      await writer.query(`delete from visit where moment = ${done % 7} limit 2`)
      await writer.query(done % 6 === 5 ? 'rollback' : 'commit')
    }
    return done
  })()
  return {
    stop: () => {
      over.is = true
      return going
    },
  }
}

test('a table of MariaDB without a key is an append log, first under writers and kills, then change by change', async () => {
  const it = await logProject(project, server.url())
  const writes = writing()
  for (const point of ['stream.place.commit.after', 'interface.load.accept.after', 'stream.step.commit.before']) {
    it.killAt(point)
    await it.run().catch(() => null)
  }
  await it.run()
  expect(await writes.stop()).toBeGreaterThan(5)
  await it.run()
  await lawOf(it)

  await db.query(`begin`)
  await db.query(`insert into visit select 50, repeat('x', 100000) from seq_1_to_120`)
  await db.query(`commit`)
  await db.query(`update visit set what = null where moment = 50 limit 100`)
  await db.query(`update visit set what = what where moment = 1`)
  await db.query(`alter table visit add column note text`)
  await db.query(`insert into visit values (51, 'noted', 'n')`)
  expect((await it.run()).stopped).toEqual([])
  await lawOf(it)
  const { before = 0, after = 0 } = await happened(it)
  expect(before).toBe(after)
  await db.query(`truncate table visit`)
  await db.query(`insert into visit (moment) values (1), (1)`)
  await db.query(`alter table visit add column id int auto_increment primary key`)
  await db.query(`delete from visit where moment = 1 limit 1`)
  expect((await it.run()).stopped).toEqual([])
  await lawOf(it)
}, 240_000)
