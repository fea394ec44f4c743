import assert from 'node:assert/strict'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { redis as builder, t } from '../../src/index.ts'
import { realEnv } from '../../src/core/env.ts'
import { Secret } from '../../src/core/secret.ts'
import type { ColumnDef } from '../../src/core/types.ts'
import { openAdapter } from '../../src/services/adapter/redis/open.ts'
import { idAfter } from '../../src/services/adapter/redis/stream.ts'
import { readAll, never } from '../../src/services/adapter/conformance-support.ts'
import { tablesPromisesFor, type TablesSystem } from '../../src/services/adapter/conformance-tables.ts'
import type { Adapter, RowReject, TableShape } from '../../src/services/adapter/contract.ts'
import type { TextRows } from '../../src/services/adapter/text-totals.ts'
import { hardTypes } from '../../src/testing/redis/hard-values.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { startRedis, type RedisServer } from '../servers/redis.ts'
import { freePort } from '../servers/server.ts'
import { makeProject } from '../support/project.ts'

const rowBytesMax = 90_000
const secret = { kind: 'secret', from: 'env', name: 'REDIS_URL' } as const

let server: RedisServer
let client: Redis
const ending: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  server = await startRedis()
  client = new Redis(server.url)
})
afterAll(async () => {
  client.disconnect()
  await server.stop()
})
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

/** Opens the adapter with options that the builder checked, as a config would. */
async function open(tables: object, more: object = {}, url = server.url): Promise<Adapter> {
  const source = builder('cache', { url: secret, tables, ...more } as never)
  const [about] = Object.getOwnPropertySymbols(source)
  const { options } = (source as unknown as Record<symbol, { def: { options: Record<string, unknown> } }>)[
    about as symbol
  ]!.def
  const adapter = await openAdapter({
    source: 'cache',
    options,
    secret: () => new Secret(url),
    configDir: process.cwd(),
    stateDir: process.cwd(),
    env: realEnv(),
  })
  ending.push(() => adapter.close())
  return adapter
}

async function read(
  tables: object,
  more: object = {},
): Promise<{ readonly rows: TextRows; readonly rejects: readonly RowReject[] }> {
  const adapter = await open(tables, more)
  const snapshot = await adapter.tables!.openSnapshot(never)
  const [remote = ''] = Object.keys(tables)
  const { columns, key } = await snapshot.look(remote)
  const found = await readAll(snapshot, { remote, columns, key })
  return { ...found, rows: [...found.rows].sort() }
}

describe('tables of redis keep the contract', () => {
  const shapes = new Map<string, TableShape>()
  const system: TablesSystem = {
    open: () =>
      open(Object.fromEntries([...shapes].map(([name, shape]) => [name, tableOf(name, shape)])), {
        maxValueBytes: rowBytesMax,
      }),
    rowBytesMax,
    makeTable: async shape => {
      for (const key of await client.keys(`${shape.remote}:*`)) await client.del(key)
      shapes.set(shape.remote, shape)
    },
    addRows: async ({ remote, columns }, rows) => {
      for (const row of rows) {
        const fields = columns.flatMap(({ name }, i) => (i > 0 && row[i] != null ? [name, row[i]] : []))
        // A hash without a field is none: Redis has no row that is all NULL.
        await client.hset(`${remote}:${row[0]}`, ...(fields.length === 0 ? ['_', ''] : fields))
      }
    },
    stamp: { kind: 'timestamp', zoned: true },
    can: {
      writesBesideSnapshot: false,
      horizon: false,
      describes: false, // Redis has no catalog
      chunks: false,
      totals: false,
      since: false, // nothing is ordered by anything but the id of a stream
      range: false,
      where: false,
      fetchesOversized: false,
    },
    createHardTable: async () => {
      const columns: ColumnDef[] = [
        { name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false },
        ...hardTypes.map(({ type }, i) => ({ name: `c${i}`, type, nullable: true, personal: false })),
      ]
      const shape: TableShape = { remote: 'hard', columns, key: ['id'] }
      await system.makeTable?.(shape)
      const rows: (string | null)[][] = []
      const unfit: string[] = []
      let id = 0
      for (const [i, hard] of hardTypes.entries()) {
        for (const [written, expected] of hard.values) {
          rows.push([String(id), ...hardTypes.map((_, c) => (c === i ? expected : null))])
          await client.hset(`hard:${id++}`, `c${i}`, written)
        }
        for (const written of hard.unfit) {
          unfit.push(String(id))
          await client.hset(`hard:${id++}`, `c${i}`, written)
        }
      }
      return { ...shape, rows, unfit }
    },
  }
  for (const promise of tablesPromisesFor(system.can)) {
    test(promise.name, async () => {
      shapes.clear()
      await promise.check(system)
    })
  }
})

function tableOf(name: string, { columns, key }: TableShape): object {
  const built = columns.map(column => [column.name, { ...t.text(), type: column.type, nullable: column.nullable }])
  return { hashes: `${name}:*`, key: key[0], columns: Object.fromEntries(built) }
}

describe('hashes and strings', () => {
  const columns = { id: t.big(), name: t.text().null() }

  test('a pattern is one key each, its other characters stand for themselves', async () => {
    await client.hset('a[b]?:1:x', 'name', 'one')
    await client.hset('ab:2:x', 'name', 'two')
    await client.hset('a[b]?:3', 'name', 'three')
    await client.set('a[b]?:4:x', 'a string')
    const { rows, rejects } = await read({ odd: { hashes: 'a[b]?:*:x', key: 'id', columns } })
    assert.deepEqual(rows, [['1', 'one']])
    assert.deepEqual(rejects, [])
  })

  test('keys and values that are no text are rejects, or bytes', async () => {
    await client.hset(Buffer.from('bin:1'), 'name', Buffer.from([0xff]))
    await client.hset(Buffer.from([0x62, 0x69, 0x6e, 0x3a, 0xff]), 'name', 'x')
    assert.equal((await read({ bin: { hashes: 'bin:*', key: 'id', columns } })).rejects.length, 2)
    const bytes = { id: t.bytes(), name: t.bytes().null() }
    const { rows } = await read({ bin: { hashes: 'bin:*', key: 'id', columns: bytes } })
    assert.deepEqual(rows, [
      ['\\x31', '\\xff'],
      ['\\xff', '\\x78'],
    ])
  })

  test('strings are rows of a key and a value', async () => {
    await client.mset({ 'visits:home': '9223372036854775807', 'visits:about': '', 'visits:x': '1.5' })
    const given = { strings: 'visits:*', key: 'page', columns: { page: t.text(), n: t.big() } }
    const { rows, rejects } = await read({ visits: given })
    assert.deepEqual(rows, [['home', '9223372036854775807']])
    assert.deepEqual(rejects.map(it => it.key?.['page']).sort(), ['about', 'x'])
  })

  test('keys over the limit end the read instead of filling the memory', async () => {
    await client.mset(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`many:${i}`, 'x'])))
    const given = { strings: 'many:*', key: 'id', columns }
    await rejectsWith('REDIS_KEYS', read({ many: given }, { maxKeys: 10 }), '10 keys')
  })

  test('a scan that rehashes gives each row once', async () => {
    const keys = Array.from({ length: 5000 }, (_, i) => [`grow:${i}`, String(i)] as const)
    await client.mset(Object.fromEntries(keys.slice(0, 2500)))
    const adapter = await open({ grow: { strings: 'grow:*', key: 'id', columns } }, { scanCount: 10 })
    const snapshot = await adapter.tables!.openSnapshot(never)
    const { columns: defs, key } = await snapshot.look('grow')
    const [found] = await Promise.all([
      readAll(snapshot, { remote: 'grow', columns: defs, key }),
      client.mset(Object.fromEntries(keys.slice(2500))),
    ])
    const ids = found.rows.map(row => Number(row[0]))
    assert.equal(new Set(ids).size, ids.length)
    assert.ok(Array.from({ length: 2500 }, (_, i) => i).every(i => ids.includes(i)))
  })
})

describe('streams', () => {
  const columns = { id: t.text(), kind: t.text(), n: t.big().null() }
  const events = { events: { stream: 'events', key: 'id', columns } }

  test('every entry is a row, page by page, up to the newest of the beginning', async () => {
    const pipeline = client.pipeline()
    for (let i = 1; i <= 2500; i++) pipeline.xadd('events', `${Math.ceil(i / 3)}-${i}`, 'kind', 'k', 'n', String(i))
    await pipeline.exec()
    const { rows } = await read(events)
    assert.equal(rows.length, 2500)
    assert.equal(new Set(rows.map(row => row[0])).size, 2500)
    assert.equal(
      rows.reduce((sum, row) => sum + Number(row[2]), 0),
      (2500 * 2501) / 2,
    )
  })

  test('an entry with a field twice, without one, or too large is set aside', async () => {
    await client.del('events')
    await client.xadd('events', '1-1', 'kind', 'a', 'kind', 'b')
    await client.xadd('events', '1-2', 'n', '1')
    await client.xadd('events', '1-3', 'kind', 'x'.repeat(5000))
    await client.xadd('events', '1-4', 'kind', 'ok')
    const { rows, rejects } = await read(events, { maxValueBytes: 4096 })
    assert.deepEqual(rows, [['1-4', 'ok', null]])
    assert.deepEqual(
      rejects.map(it => [it.key?.['id'], it.reason]),
      [
        ['1-1', 'VALUE_NOT_IN_TYPE'],
        ['1-2', 'VALUE_NOT_IN_TYPE'],
        ['1-3', 'VALUE_TOO_LARGE'],
      ],
    )
  })

  test('from its last id on, also of the same millisecond, and what came before is not read again', async () => {
    await client.del('log')
    for (const id of ['1-1', '5-0', '5-1']) await client.xadd('log', id, 'kind', id)
    const log = { log: { stream: 'log', key: 'id', columns, since: { deletes: 'keep' } } }
    const adapter = await open(log)
    const snapshot = await adapter.tables!.openSnapshot(never)
    const { columns: defs, key, newestMicros } = await snapshot.look('log')
    assert.equal(newestMicros, 5000n)
    await client.xadd('log', '5-2', 'kind', '5-2')
    await client.xadd('log', '6-0', 'kind', '6-0')
    const filter = { since: { column: 'id', atLeastMicros: 5000n } }
    const found = await readAll(snapshot, { remote: 'log', columns: defs, key }, filter)
    assert.deepEqual(
      found.rows.map(row => row[0]),
      ['5-0', '5-1', '5-2', '6-0'],
    )
    // The last id stays known when its entry is gone.
    await client.xdel('log', '6-0')
    assert.equal((await snapshot.look('log')).newestMicros, 6000n)
    await client.xadd('log', '18446744073709551615-0', 'kind', 'x')
    await rejectsWith('REDIS_STREAM_ID', snapshot.look('log'), '18446744073709551615-0')
  })

  test('a filter that Redis has not is refused, never passed over', async () => {
    await client.del('events')
    await client.xadd('events', '1-1', 'kind', 'a')
    const adapter = await open({ ...events, keys: { hashes: 'k:*', key: 'id', columns } })
    const snapshot = await adapter.tables!.openSnapshot(never)
    const since = { since: { column: 'id', atLeastMicros: 0n } }
    const ofKind = { since: { column: 'kind', atLeastMicros: 0n } }
    for (const [remote, filter] of [
      ['keys', since],
      ['events', ofKind],
    ] as const) {
      const { columns: defs, key } = await snapshot.look(remote)
      await rejectsWith('SINCE_UNSUPPORTED', readAll(snapshot, { remote, columns: defs, key }, filter))
    }
  })

  test('one that is gone, or no stream, is an error', async () => {
    await client.del('events')
    await rejectsWith('SOURCE_TABLE_GONE', read(events), '"events"')
    await client.set('events', 'x')
    await rejectsWith('SOURCE_TABLE_GONE', read(events), '"events"')
  })

  test.each([
    ['5-0', '5-1'],
    ['5-18446744073709551615', '6-0'],
  ])('behind %s stands %s', (id, after) => assert.equal(idAfter(id), after))
})

describe('servers that do not do as they should', () => {
  const tables = { x: { strings: 'x:*', key: 'id', columns: { id: t.text(), v: t.text() } } }
  const snapshot = async (url: string, more: object = {}): Promise<unknown> => {
    const adapter = await open(tables, { connectTimeout: '500ms', answerTimeout: '500ms', ...more }, url)
    return adapter.tables!.openSnapshot(never)
  }

  test('a wrong password, and nobody there', async () => {
    const wrong = server.url.replace('redis-password', 'not-the-password')
    await assert.rejects(snapshot(wrong), (error: Error & { code: string }) => {
      assert.equal(error.code, 'SOURCE_LOGIN')
      assert.ok(!error.message.includes('not-the-password'))
      return true
    })
    await rejectsWith('SOURCE_UNREACHABLE', snapshot(`redis://127.0.0.1:${await freePort()}`), '127.0.0.1')
    await rejectsWith('OPTION_INVALID', snapshot('http://127.0.0.1'), 'url')
  })
})

test('a node of a cluster has a part of the keys only, so it is refused', async () => {
  const node = await startRedis(['--cluster-enabled', 'yes'])
  ending.push(() => node.stop())
  const adapter = await open({}, {}, node.url)
  await rejectsWith('REDIS_CLUSTER', adapter.tables!.openSnapshot(never), 'cluster')
})

test('naru run reads a stream from where it stood, and one that was made anew from its beginning', async () => {
  await client.del('sales')
  for (let i = 1; i <= 50; i++) await client.xadd('sales', `${1000 + i}-0`, 'amount', String(i))
  const project = await makeProject({
    config: `import { defineConfig, duckdb, env, ods, redis, t } from 'naru'
const cache = redis('cache', {
  url: env('REDIS_URL'),
  tables: {
    sales: { stream: 'sales', key: 'id', columns: { id: t.text(), amount: t.int() }, since: { deletes: 'keep' } },
  },
})
const sale = ods.entity('sale', { key: 'id', columns: { id: t.text(), amount: t.int() } }).from(cache.sales, r => ({ ...r }))
export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: { sale } })
`,
    variables: { REDIS_URL: server.url },
  })
  ending.push(() => project.remove())
  const count = async (): Promise<unknown> => (await project.rows('select count(*) as n from ods.sale'))[0]?.['n']
  const checked = await project.naru(['check'])
  assert.equal(checked.status, 0, checked.stdout)
  assert.equal((await project.run()).rowsRead, 50)
  await client.xadd('sales', '1050-1', 'amount', '51')
  await client.xadd('sales', '2000-0', 'amount', '52')
  // The last millisecond is read again: more may have come in it.
  assert.equal((await project.run()).rowsRead, 3)
  assert.equal(await count(), 52n)
  await client.del('sales')
  await client.xadd('sales', '7-0', 'amount', '1')
  assert.equal((await project.run()).rowsRead, 1)
  await client.xadd('sales', '8-0', 'amount', '1')
  assert.equal((await project.run()).rowsRead, 2)
}, 180_000)
