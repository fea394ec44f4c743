import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, test } from 'vitest'
import { realEnv } from '../../src/core/env.ts'
import { Secret } from '../../src/core/secret.ts'
import type { ColumnDef } from '../../src/core/types.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { openAdapter as openRedis } from '../../src/services/adapter/redis/open.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { openOdbc, prepareOdbc } from '../servers/odbc.ts'
import { startRedis, type RedisServer } from '../servers/redis.ts'

// The limit that holds when nobody gives one, where the suite asks for a small one. PostgreSQL, MySQL and SQLite have
// this test beside their other limits.

const limit = 64 * 1024 * 1024

let odbc: ReturnType<typeof prepareOdbc>
let database: TestDatabase
let redis: RedisServer
const open: Adapter[] = []
beforeAll(async () => {
  odbc = prepareOdbc()
  database = await startTestDatabase()
  redis = await startRedis()
})
afterAll(async () => {
  await redis.stop()
  await database.stop()
  odbc.remove()
})
afterEach(async () => {
  for (const adapter of open.splice(0)) await adapter.close()
})

/** Bytes of the second column of each row that arrived, and what was set aside. */
async function readLarge(adapter: Adapter): Promise<{ readonly lengths: readonly number[]; readonly aside: unknown }> {
  open.push(adapter)
  const snapshot = await (adapter.tables as NonNullable<Adapter['tables']>).openSnapshot(never)
  const { name, columns, key } = await snapshot.look('large')
  const [lengths, aside]: [number[], unknown[]] = [[], []]
  const names = columns.map(column => column.name)
  for await (const { batch, rejects } of snapshot.read({ remote: name, columns, key }, names, {}, never)) {
    aside.push(...rejects.map(it => [it.reason, it.key]))
    const [, body] = batch.columns
    assert.ok(body?.layout === 'bytes')
    for (let row = 0; row < batch.rows; row++) {
      lengths.push((body.offsets[row + 1] as number) - (body.offsets[row] as number))
    }
  }
  return { lengths: lengths.sort((a, b) => b - a), aside }
}

const expected = { lengths: [limit - 64, 5], aside: [['VALUE_TOO_LARGE', { id: '2' }]] }

test('ODBC, PostgreSQL: a value at the limit of 64 MiB arrives, one over it is set aside', async () => {
  await database.client.query(`create table large (id int primary key, body text);
    insert into large values (1, repeat('x', ${limit - 64})), (2, repeat('y', ${limit + 1})), (3, 'small')`)
  const url = new URL(database.url)
  const dsn = `Driver=PostgreSQL;Server=${url.hostname};Port=${url.port};Database=${url.pathname.slice(1)};UID=${url.username};PWD=${url.password}`
  assert.deepEqual(await readLarge(await openOdbc(dsn)), expected)
})

test('ODBC, SQLite: a value at the limit of 64 MiB arrives, one over it is set aside', async () => {
  const file = path.join(odbc.folder, 'large.db')
  execFileSync('sqlite3', [file], {
    input: `create table large (id integer primary key not null, body text);
      insert into large values (1, hex(zeroblob(${limit / 2 - 32}))), (2, hex(zeroblob(${limit / 2 + 1}))), (3, 'small');`,
  })
  assert.deepEqual(await readLarge(await openOdbc(`Driver=SQLite3;Database=${file}`)), expected)
})

test('Redis: a value at the limit of 64 MiB arrives, one over it is set aside', async () => {
  const client = new Redis(redis.url)
  await client.mset({ 'large:1': 'x'.repeat(limit - 64), 'large:2': 'y'.repeat(limit + 1), 'large:3': 'small' })
  client.disconnect()
  const text = (name: string): ColumnDef => ({ name, type: { kind: 'text' }, nullable: false, personal: false })
  const large = { kind: 'strings', before: 'large:', after: '', key: 'id', columns: [text('id'), text('body')] }
  const adapter = await openRedis({
    source: 'cache',
    options: { url: { kind: 'secret', from: 'env', name: 'X' }, tables: { large } },
    secret: () => new Secret(redis.url),
    configDir: process.cwd(),
    stateDir: process.cwd(),
    env: realEnv(),
  })
  assert.deepEqual(await readLarge(adapter), expected)
})
