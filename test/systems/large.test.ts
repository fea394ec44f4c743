import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { never } from '../../src/services/adapter/conformance-support.ts'
import type { Adapter, TableShape } from '../../src/services/adapter/contract.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { openPostgres } from '../../src/testing/postgres/database.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { startPostgresServer, type PostgresServer } from '../servers/postgres.ts'

// A value of a gigabyte among small ones: it is set aside by its key, the others arrive, and memory does not follow it.

const bytes = 1_000_000_000
const text = { kind: 'text' } as const
const shape: TableShape = {
  remote: 'large',
  key: ['id'],
  columns: [
    { name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false },
    { name: 'body', type: text, nullable: true, personal: false },
  ],
}

let postgres: PostgresServer
let mariadb: MariaDb
const open: Adapter[] = []
beforeAll(async () => {
  postgres = await startPostgresServer('Debian 15')
  mariadb = await startMariaDb({ 'max-allowed-packet': '1G', 'innodb-log-file-size': '2G' })
})
afterEach(async () => {
  for (const adapter of open.splice(0)) await adapter.close()
})
afterAll(async () => {
  await postgres?.stop()
  await mariadb?.stop()
})

const fill: Readonly<Record<string, () => Promise<Adapter>>> = {
  PostgreSQL: async () => {
    await postgres.client.query(`create table large (id int primary key, body text);
      insert into large values (1, 'small'), (2, repeat('x', ${bytes})), (3, 'last')`)
    return openPostgres(postgres.url)
  },
  MariaDB: async () => {
    const client = await connectMysql(mariadb.url())
    await client.query(`create table large (id int primary key, body longtext);
      insert into large values (1, 'small'), (2, repeat('x', ${bytes})), (3, 'last')`)
    await client.end()
    return openMysql(mariadb.url())
  },
}

describe.each(Object.entries(fill))('a value of a gigabyte in %s', (_, filled) => {
  test('is set aside by its key, and memory stays flat', async () => {
    const adapter = await filled()
    open.push(adapter)
    const snapshot = await adapter.tables?.openSnapshot(never)
    await snapshot?.look('large')
    const before = process.memoryUsage().rss
    let [most, rows] = [0, 0]
    const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20)
    const rejected: unknown[] = []
    for await (const { batch, rejects } of snapshot!.read(shape, ['id', 'body'], {}, never)) {
      rows += batch.rows
      rejected.push(...rejects.map(it => [it.reason, it.key]))
    }
    clearInterval(watch)
    expect(rows).toBe(2)
    expect(rejected).toEqual([['VALUE_TOO_LARGE', { id: '2' }]])
    expect(most - before).toBeLessThan(256 * 1024 * 1024)
  }, 600_000)
})
