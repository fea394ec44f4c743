import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import driver from 'cassandra-driver'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { realEnv } from '../../src/core/env.ts'
import { readOptions } from '../../src/core/implementation.ts'
import { Secret } from '../../src/core/secret.ts'
import type { ColumnDef, ColumnType } from '../../src/core/types.ts'
import { cassandra } from '../../src/services/adapter/cassandra/index.ts'
import { openAdapter } from '../../src/services/adapter/cassandra/open.ts'
import { collect, describeTable, never, readAll } from '../../src/services/adapter/conformance-support.ts'
import { tablesPromisesFor, type HardTable, type TablesSystem } from '../../src/services/adapter/conformance-tables.ts'
import type { Adapter, RowFilter, RowReject, TableShape } from '../../src/services/adapter/contract.ts'
import type { TextRows } from '../../src/services/adapter/text-totals.ts'
import { hardTypes, hardTypesSetup } from '../../src/testing/cassandra/hard-values.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { startCassandra, type CassandraServer } from '../servers/cassandra.ts'
import { freePort } from '../servers/server.ts'

const rowBytesMax = 90_000

let server: CassandraServer
let client: driver.Client
const ending: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  server = await startCassandra()
  client = await login(server.port)
  await client.execute(`create keyspace shop with replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`)
  await client.execute('use shop')
})
afterAll(async () => {
  await client?.shutdown()
  await server?.stop()
})
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

/** The first account is made some seconds after the port answers. */
async function login(port: number): Promise<driver.Client> {
  for (let tries = 0; ; tries++) {
    const made = new driver.Client({
      contactPoints: ['127.0.0.1'],
      localDataCenter: 'datacenter1',
      protocolOptions: { port },
      credentials: { username: 'cassandra', password: 'cassandra' },
    })
    try {
      await made.connect()
      return made
    } catch (error) {
      await made.shutdown()
      if (tries > 120) throw error
      await sleep(500)
    }
  }
}

async function open(more: object = {}, url = `${server.url}shop`): Promise<Adapter> {
  const given = { url: { kind: 'secret', from: 'env', name: 'X' }, ...more }
  const adapter = await openAdapter({
    source: 'shop',
    options: readOptions(cassandra.options, given, 'source "shop"'),
    secret: () => new Secret(url),
    configDir: process.cwd(),
    stateDir: process.cwd(),
    env: realEnv(),
  })
  ending.push(() => adapter.close())
  return adapter
}

async function read(
  remote: string,
  filter: RowFilter = {},
  url?: string,
): Promise<{ readonly rows: TextRows; readonly rejects: readonly RowReject[] }> {
  const adapter = await open({ maxValueBytes: rowBytesMax }, url)
  const snapshot = await adapter.tables!.openSnapshot(never)
  const { columns, key } = await snapshot.look(remote)
  return readAll(snapshot, { remote, columns, key }, filter)
}

function native(type: ColumnType): string {
  switch (type.kind) {
    case 'int':
      return type.bits === 64 ? 'bigint' : 'int'
    case 'timestamp':
      return 'timestamp'
    default:
      return type.kind
  }
}

async function createTable({ remote, columns, key }: TableShape): Promise<void> {
  const list = columns.map(({ name, type }) => `"${name}" ${native(type)}`)
  await client.execute(`drop table if exists ${remote}`)
  await client.execute(`create table ${remote} (${list.join(', ')}, primary key (${key.join(', ')}))`)
}

async function insertRows({ remote, columns }: TableShape, rows: TextRows): Promise<void> {
  const names = columns.map(({ name }) => `"${name}"`)
  const query = `insert into ${remote} (${names.join(', ')}) values (${names.map(() => '?').join(', ')})`
  const valueOf = (type: ColumnType, value: string | null): unknown => {
    if (value === null) return null
    if (type.kind === 'int') return type.bits === 64 ? driver.types.Long.fromString(value) : Number(value)
    return value
  }
  for (let from = 0; from < rows.length; from += 100) {
    await Promise.all(
      rows.slice(from, from + 100).map(row =>
        client.execute(
          query,
          columns.map(({ type }, i) => valueOf(type, row[i] ?? null)),
          { prepare: true },
        ),
      ),
    )
  }
}

async function createHardTable(): Promise<HardTable> {
  await client.execute(hardTypesSetup)
  const columns: ColumnDef[] = hardTypes.map(({ type }, i) => ({
    name: `c${String(i).padStart(2, '0')}`,
    type,
    nullable: true,
    personal: false,
  }))
  const list = hardTypes.map((it, i) => `${columns[i]!.name} ${it.native}`)
  await client.execute('drop table if exists hard')
  await client.execute(`create table hard (id int primary key, ${list.join(', ')})`)
  let id = 0
  const insert = async (i: number, value: string): Promise<string> => {
    await client.execute(`insert into hard (id, ${columns[i]!.name}) values (${id}, ${value})`)
    return String(id++)
  }
  const rows: (string | null)[][] = []
  for (const [i, { values }] of hardTypes.entries()) {
    for (const [cql, expected] of values) {
      rows.push([await insert(i, cql), ...columns.map((_, c) => (c === i ? expected : null))])
    }
  }
  const unfit: string[] = []
  for (const [i, it] of hardTypes.entries()) for (const cql of it.unfit ?? []) unfit.push(await insert(i, cql))
  const key: ColumnDef = { name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false }
  return { remote: 'hard', columns: [key, ...columns], key: ['id'], rows, unfit }
}

describe('tables of cassandra keep the contract', () => {
  const system: TablesSystem = {
    open: () => open({ maxValueBytes: rowBytesMax }),
    rowBytesMax,
    makeTable: createTable,
    addRows: insertRows,
    stamp: { kind: 'timestamp', zoned: true },
    can: {
      writesBesideSnapshot: false, // there is no snapshot
      horizon: false,
      chunks: false, // rows have no order over all partitions; ranges of tokens cut them
      totals: false,
      since: false, // a timestamp has milliseconds: the promise asks for microseconds, and stands below as it is
      where: false, // CQL has no OR, which the promise uses
    },
    createHardTable,
  }
  for (const promise of tablesPromisesFor(system.can)) {
    test(promise.name, async () => {
      await promise.check(system)
    })
  }
})

describe('what Cassandra has of its own', () => {
  test('a filter by a timestamp reads the rows from its millisecond on', async () => {
    await client.execute('create table stamped (id int primary key, at timestamp)')
    for (const ms of [-1, 0, 1]) {
      await client.execute('insert into stamped (id, at) values (?, ?)', [ms, new Date(1000 + ms)], { prepare: true })
    }
    const since = (atLeastMicros: bigint): RowFilter => ({ since: { column: 'at', atLeastMicros } })
    assert.deepEqual((await read('stamped', since(1_000_000n))).rows.map(row => row[0]).sort(), ['0', '1'])
    assert.deepEqual(
      (await read('stamped', since(1_000_001n))).rows.map(row => row[0]),
      ['1'],
    )
    assert.deepEqual(
      (await read('stamped', { where: 'id = 1' })).rows.map(row => row[0]),
      ['1'],
    )
  })

  test('keys of partitions and rows, other orders and counters are described and read', async () => {
    await client.execute(`create table "Lines" (shop text, "No" int, at int, note text static,
      primary key ((shop, "No"), at)) with clustering order by (at desc)`)
    await client.execute(`insert into "Lines" (shop, "No", at, note) values ('a', 1, 2, 'x')`)
    await client.execute(`insert into "Lines" (shop, "No", note) values ('b', 2, 'no row of its own')`)
    const described = await describeTable(await open(), 'Lines')
    assert.deepEqual(described.key, ['shop', 'No', 'at'])
    assert.deepEqual(
      described.columns.map(column => column.name),
      ['shop', 'No', 'at', 'note'],
    )
    const found = await read('Lines')
    assert.deepEqual(found.rows, [['a', '1', '2', 'x']])
    assert.deepEqual(
      found.rejects.map(it => it.detail),
      ['column "at" has no value'],
    )

    await client.execute('create table counts (id int primary key, n counter)')
    await client.execute('update counts set n = n + 9007199254740993 where id = 1')
    assert.deepEqual((await read('counts')).rows, [['1', '9007199254740993']])
  })

  test('tables of every keyspace are named with it, and system tables are left out', async () => {
    const adapter = await open({}, server.url)
    const names = (await adapter.describes!.describe(never)).map(table => table.name)
    assert.ok(names.includes('shop.items') && names.every(name => name.startsWith('shop.')))
    assert.ok((await read('shop.counts', {}, server.url)).rows.length === 1)
  })

  test('pages stay small when rows are large, and the memory with them', async () => {
    await client.execute('create table large (id int primary key, body blob)')
    for (let id = 0; id < 60; id++) {
      await client.execute('insert into large (id, body) values (?, ?)', [id, Buffer.alloc(1 << 20, id)], {
        prepare: true,
      })
    }
    const adapter = await open()
    const snapshot = await adapter.tables!.openSnapshot(never)
    const { columns, key } = await snapshot.look('large')
    const batches = await collect(snapshot.read({ remote: 'large', columns, key }, ['id', 'body'], {}, never))
    assert.equal(
      batches.reduce((sum, { batch }) => sum + batch.rows, 0),
      60,
    )
  })

  test('an account without the right to read is told so, for its table', async () => {
    await client.execute(`create role if not exists guest with password = 'guest-password' and login = true`)
    const url = server.url.replace('cassandra:cassandra@', 'guest:guest-password@')
    await rejectsWith('SOURCE_DENIED', read('counts', {}, `${url}shop`), 'counts')
  })
})

describe('clusters that do not do as they should', () => {
  const short = { connectTimeout: '500ms', answerTimeout: '500ms' }
  const snapshot = async (url: string): Promise<unknown> => (await open(short, url)).tables!.openSnapshot(never)

  test('a wrong password, and nobody there', async () => {
    const wrong = server.url.replace('cassandra:cassandra@', 'cassandra:not-the-password@')
    const adapter = await open({}, wrong)
    await assert.rejects(adapter.tables!.openSnapshot(never), (error: Error & { code: string }) => {
      assert.equal(error.code, 'SOURCE_LOGIN')
      assert.ok(!error.message.includes('not-the-password'))
      return true
    })
    await rejectsWith('SOURCE_UNREACHABLE', snapshot(`cassandra://127.0.0.1:${await freePort()}/x`), '127.0.0.1')
    await rejectsWith('OPTION_INVALID', snapshot('http://127.0.0.1'), 'url')
  })
})
