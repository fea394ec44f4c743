import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Connection } from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from 'vitest'
import { isNaruError } from '../../src/core/errors.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { follow, items } from '../../src/services/adapter/conformance-capture-support.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { flag } from '../../src/testing/suite/flags.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'

let server: MariaDb
let client: Connection
let adapter: Adapter
let spillDir: string

beforeAll(async () => {
  server = await startMariaDb({
    'log-bin': 'mysqld-bin',
    'binlog-format': 'ROW',
    'binlog-row-metadata': 'FULL',
    'log-bin-trust-function-creators': 'on',
  })
  client = await connectMysql(server.url())
  spillDir = await mkdtemp(path.join(os.tmpdir(), 'naru-privileges-'))
}, 300_000)
afterAll(async () => {
  await client?.end()
  await server?.stop()
  await rm(spillDir, { recursive: true, force: true })
})

/** An account that may enter the database, and nothing else. */
beforeEach(async () => {
  await client.query(`
    drop table if exists capture_items;
    create table capture_items (id bigint primary key, name longtext, amount bigint, exported varchar(10) not null default 'new', key (exported));
    create table if not exists lobby (id int);
    create or replace user poor identified by 'p'; grant select on lobby to poor`)
  adapter = await openMysql(server.url('poor', 'p'))
})
afterEach(async () => {
  await adapter.close()
  await client.query('drop user poor')
})

const tables = [{ ...items, columns: items.columns.slice(0, 1), status: flag }]

const streams: readonly (readonly ['log' | 'trigger' | 'event' | 'status', readonly RegExp[]])[] = [
  ['log', [/replication slave/, /binlog monitor/]],
  [
    'trigger',
    [/process/, /select, trigger on `shop`.`capture_items`/, /create, drop on `shop`.`naru_changes_capture_items`/],
  ],
  ['event', [/process/, /select on `shop`.`capture_items`/, /create, drop on `shop`.`naru_outbox`/]],
  ['status', [/select on `shop`.`capture_items`/, /update \(`exported`\) on/, /create, drop on `shop`.`naru_claim`/]],
]

describe('an account of MariaDB that may nothing', () => {
  test.each(streams)(
    'is told what the technique %s lacks; what is printed for it is enough',
    async (technique, fixes) => {
      const captures = adapter.captures?.[technique]
      assert.ok(captures !== undefined)
      const lacking = (await captures.inspect(tables, never)).filter(it => it.isFatal)
      const said = lacking.map(({ text, fix }) => `${text} ${fix}`).join('\n')
      for (const fix of fixes) assert.match(said, fix)
      await assert.rejects(captures.install(tables, never), error => isNaruError(error, 'CAPTURE_NOT_READY'))

      for (const statement of adapter.privileges?.(technique, tables) ?? []) await client.query(statement)
      assert.deepEqual(
        (await captures.inspect(tables, never)).filter(it => it.isFatal),
        [],
      )
      const from = await captures.install(tables, never)
      const open = await captures.open({ tables, from, spillDir }, never)
      try {
        await client.query(`insert into capture_items (id) values (7)`)
        if (technique === 'event')
          await client.query(
            "insert into naru_outbox (table_name, op, `key`, `row`) values ('item', 'insert', '{\"id\":7}', '{\"id\":7}')",
          )
        const { events } = await follow(captures, open, await captures.head(never))
        assert.deepEqual(
          events.map(it => it.row[0]),
          ['7'],
        )
        await open.lag(never)
      } finally {
        await open.close()
      }
      await captures.lag?.(from, never)
      await captures.remove(never)
    },
    60_000,
  )

  test('holds a privilege as well by a pattern of databases, by everything, and by its role', async () => {
    const captures = adapter.captures?.status
    const lacks = async (): Promise<number> =>
      ((await captures?.inspect(tables, never)) ?? []).filter(it => it.isFatal).length
    assert.ok((await lacks()) > 0)
    await client.query('grant select, insert, update, delete, create, drop on `sho_`.* to poor')
    assert.equal(await lacks(), 0)
    await client.query('revoke all privileges, grant option from poor; grant all privileges on *.* to poor')
    assert.equal(await lacks(), 0)
    await client.query(`revoke all privileges, grant option from poor; create or replace role helper;
      grant all privileges on shop.* to helper; grant helper to poor; set default role helper for poor`)
    assert.equal(await lacks(), 0)
  }, 60_000)

  test.each(['full', 'timestamp'] as const)(
    'reads by the technique %s with what is printed for it',
    async technique => {
      const before = await adapter.tables?.openSnapshot(never)
      await assert.rejects(async () => before?.look('capture_items'))
      await before?.close()
      for (const statement of adapter.privileges?.(technique, tables) ?? []) await client.query(statement)
      const snapshot = await adapter.tables?.openSnapshot(never)
      assert.deepEqual((await snapshot?.look('capture_items'))?.denied, [])
      if (technique === 'timestamp') assert.notEqual(snapshot?.horizonMicros, null)
      await snapshot?.close()
    },
    60_000,
  )
})

test('how far the log of MariaDB is from being removed is told before it is', async () => {
  await client.query(`grant all privileges on *.* to poor`)
  const captures = adapter.captures?.log
  const from = (await captures?.install(tables, never)) ?? ''
  const now = await captures?.lag?.(from, never)
  assert.equal(now?.trouble, null)
  assert.equal(now?.kept, null)
  const [file] = from.split(':') as [string]
  await client.query(`insert into capture_items (id) values (1); flush binary logs; flush binary logs`)
  const behind = await captures?.lag?.(from, never)
  assert.ok((behind?.bytes ?? 0n) > 0n)
  assert.match(behind?.room ?? '', /oldest file|older files/)
  const [variables] = await client.query(`show global variables like 'max_binlog_total_size'`)
  if ((variables as readonly unknown[]).length > 0) {
    // A limit over all files: what is left of it is told.
    await client.query('set global max_binlog_total_size = 1000000')
    assert.ok(((await captures?.lag?.(from, never))?.bytesLeft ?? 0n) > 900_000n)
    await client.query('set global max_binlog_total_size = 0')
  }
  // The file was begun some seconds ago: with so short a time to live it is as good as gone.
  await client.query('set global binlog_expire_logs_seconds = 1')
  const soon = (await captures?.lag?.(from, never))?.trouble ?? ''
  assert.ok(soon.includes(`${file} is not read, and the server may remove it`), soon)
  await client.query('set global binlog_expire_logs_seconds = 0')
  const gone = await captures?.lag?.(from.replace(file, 'mysqld-bin.000000'), never)
  assert.match(gone?.trouble ?? '', /removed mysqld-bin.000000, which is not read/)
}, 60_000)
