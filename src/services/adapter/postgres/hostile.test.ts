import assert from 'node:assert/strict'
import net from 'node:net'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { isNaruError, type Code } from '../../../core/errors.ts'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../../testing/postgres/database.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { never, readAll, shapeOf } from '../conformance-support.ts'
import type { Adapter, Snapshot, TableShape } from '../contract.ts'
import { totalsOfTexts } from '../text-totals.ts'

const ending: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

/** What comes before the first statement: the login is done, the server is ready. */
const welcome = Buffer.concat([message('R', int(0)), message('Z', Buffer.from('I'))])

describe('a server that is none, or a bad one', () => {
  const cases: readonly (readonly [string, Code, (socket: net.Socket) => void])[] = [
    ['an endless banner', 'SOURCE_UNREACHABLE', socket => flood(socket, Buffer.alloc(65_536, 'SSH-2.0 '))],
    [
      'endless notices before the login',
      'SOURCE_UNREACHABLE',
      socket => flood(socket, message('N', Buffer.from('Mhello\0\0'))),
    ],
    ['a message that says it has a gigabyte', 'SOURCE_UNREACHABLE', socket => hugeMessage(socket)],
    ['silence', 'SOURCE_UNREACHABLE', () => {}],
    ['an end without a word', 'SOURCE_UNREACHABLE', socket => socket.end()],
  ]
  for (const [name, code, act] of cases) {
    test(name, async () => {
      const port = await listen(socket => socket.once('data', () => act(socket)))
      const before = process.memoryUsage().rss
      await rejectsWith(code, describeAll(`postgres://u:p@127.0.0.1:${port}/d`, { connectTimeout: '2s' }))
      assert.ok(process.memoryUsage().rss - before < 300 * 1024 * 1024)
    })
  }

  test('endless notices in the answer to a statement', async () => {
    const port = await listen(socket => {
      socket.once('data', () => {
        socket.write(welcome)
        socket.once('data', () => flood(socket, Buffer.concat(Array.from({ length: 500 }, notice))))
      })
    })
    await rejectsWith('SOURCE_UNREACHABLE', describeAll(`postgres://u:p@127.0.0.1:${port}/d`), 'bytes')
  })

  test('half open after the login: it takes the statement and never answers', async () => {
    const port = await listen(socket => socket.once('data', () => socket.write(welcome)))
    const url = `postgres://u:p@127.0.0.1:${port}/d`
    await rejectsWith('SOURCE_UNREACHABLE', describeAll(url, { connectTimeout: '1s', statementTimeout: '1s' }))
  }, 120_000)

  test('a wrong answer to the question for TLS', async () => {
    for (const answer of ['X', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'N', 'S then no TLS', 'SS']) {
      const port = await listen(socket => socket.once('data', () => socket.end(answer)))
      const url = `postgres://u:p@127.0.0.1:${port}/d?sslmode=require`
      await rejectsWith('SOURCE_TLS', describeAll(url, { connectTimeout: '2s' }))
    }
    const garbage = await listen(socket => {
      socket.once('data', () => {
        socket.write('S')
        socket.once('data', () => socket.end('this is no TLS record at all'))
      })
    })
    await rejectsWith('SOURCE_TLS', describeAll(`postgres://u:p@127.0.0.1:${garbage}/d?sslmode=require`))
  })
})

describe('a line that breaks', () => {
  const lines: TableShape = shapeOf(
    'lines',
    [
      ['id', { kind: 'int', bits: 32 }],
      ['body', { kind: 'text' }],
    ],
    ['id'],
  )
  let database: TestDatabase
  beforeAll(async () => {
    database = await startTestDatabase()
    await database.client.query(`create table lines (id int primary key, body text);
      insert into lines select n, repeat(n::text, 40) from generate_series(1, 20000) n; analyze lines`)
  })
  afterAll(() => database.stop())

  test('cut at fifty places, a read gives all rows or the error that asks for a retry', async () => {
    const { port } = new URL(database.url)
    let whole = 0
    for (let cut = 0; cut < 50; cut++) {
      const limit = Math.floor(7_000 * 1.15 ** cut)
      const proxy = await proxyTo(Number(port), limit)
      const adapter = await openPostgres(database.urlWith({ port: proxy }))
      ending.push(() => adapter.close())
      try {
        const snapshot = await snapshotOf(adapter)
        const { rows } = await readAll(snapshot, lines)
        assert.equal(new Set(rows.map(row => row[0])).size, 20_000)
        whole++
      } catch (error) {
        assert.ok(isNaruError(error, 'SOURCE_UNREACHABLE'), `cut after ${limit} bytes: ${String(error)}`)
      }
    }
    assert.ok(whole > 0 && whole < 50, `${whole} reads were whole`)
  }, 120_000)

  test('chunks that are read side by side in one snapshot hold exactly its rows, while others write', async () => {
    const adapter = await openPostgres(database.url)
    ending.push(() => adapter.close())
    const snapshot = await snapshotOf(adapter)
    await snapshot.look('lines')
    const writer = await database.connect()
    const over = new AbortController()
    const writing = (async () => {
      for (let n = 1; !over.signal.aborted; n++) {
        await writer.query(`delete from lines where id = ${n}; update lines set body = 'other' where id = ${20_000 - n};
          insert into lines values (${-n}, 'new')`)
      }
    })()
    const bounds: (readonly string[])[] = []
    for (let at = await snapshot.boundary(lines, undefined, 3_000); at !== null;) {
      bounds.push(at)
      at = await snapshot.boundary(lines, at, 3_000)
    }
    const chunks = [...bounds, undefined].map((upTo, i) => readAll(snapshot, lines, { after: bounds[i - 1], upTo }))
    const places = (await snapshot.ranges?.(lines, 3_000)) ?? []
    const byPlace = places.map(place => readAll(snapshot, lines, { place }))
    const [byKey, byPage] = await Promise.all([Promise.all(chunks), Promise.all(byPlace)])
    over.abort()
    await writing
    assert.ok(byKey.length > 4 && byPage.length > 2)
    for (const parts of [byKey, byPage]) {
      const rows = parts.flatMap(part => part.rows)
      assert.equal(rows.length, 20_000)
      assert.ok(rows.every(([id, body]) => Number(id) > 0 && body === (id as string).repeat(40)))
      assert.equal(new Set(rows.map(row => row[0])).size, 20_000)
    }
  })

  test('the widest table that there is', async () => {
    const columns = Array.from({ length: 1_600 }, (_, i) => [`c${i}`, { kind: 'int', bits: 16 }] as const)
    await database.client.query(`create table wide (${columns.map(([name]) => `${name} smallint`).join(', ')});
      insert into wide select ${columns.map((_, i) => `n + ${i}`).join(', ')} from generate_series(1, 300) n`)
    const adapter = await openPostgres(database.url)
    ending.push(() => adapter.close())
    const snapshot = await snapshotOf(adapter)
    const wide = shapeOf('wide', columns, [])
    const { rows } = await readAll(snapshot, wide)
    assert.equal(rows.length, 300)
    assert.ok(rows.every(row => Number(row[1_599]) === Number(row[0]) + 1_599))
    for (const hash of [false, true]) {
      const totals = await snapshot.totals(wide, {}, { hash }, never)
      const names = wide.columns.map(({ name }) => name)
      assert.deepEqual(totals, totalsOfTexts(wide.columns, rows, hash))
      assert.deepEqual(
        totals.columns.map(({ column }) => column),
        names,
      )
    }
  })

  test('a value at the limit arrives, one over it is set aside', async () => {
    const MiB = 1024 * 1024
    await database.client.query(`create table large (id int primary key, body text);
      insert into large values (1, repeat('x', ${64 * MiB - 64})), (2, repeat('y', ${64 * MiB + 1})), (3, 'small')`)
    const adapter = await openPostgres(database.url)
    ending.push(() => adapter.close())
    const snapshot = await snapshotOf(adapter)
    const lengths = new Map<string, number>()
    const rejected: unknown[] = []
    for await (const { batch, rejects } of snapshot.read({ ...lines, remote: 'large' }, ['id', 'body'], {}, never)) {
      rejected.push(...rejects.map(it => [it.reason, it.key]))
      const [ids, bodies] = batch.columns
      assert.ok(ids !== undefined && bodies?.layout === 'bytes')
      const view = new DataView(ids.data.buffer, ids.data.byteOffset)
      for (let row = 0; row < batch.rows; row++) {
        const length = (bodies.offsets[row + 1] as number) - (bodies.offsets[row] as number)
        lengths.set(String(view.getInt32(row * 4, true)), length)
      }
    }
    assert.deepEqual([...lengths].sort(), [
      ['1', 64 * MiB - 64],
      ['3', 5],
    ])
    assert.deepEqual(rejected, [['VALUE_TOO_LARGE', { id: '2' }]])
  })

  test('a wrong password is tried once', async () => {
    const { port } = new URL(database.url)
    let connections = 0
    const counting = await listen(socket => {
      connections++
      const inner = net.connect(Number(port), '127.0.0.1').on('error', () => {})
      socket.pipe(inner).pipe(socket)
    })
    await rejectsWith('SOURCE_LOGIN', describeAll(database.urlWith({ port: counting, password: 'wrong' })))
    assert.equal(connections, 1)
  })

  test('a right that is taken away between two reads is an error of that table', async () => {
    await database.client.query(`create table mine (id int primary key, body text);
      create role fickle login password 'secret'; grant select on mine to fickle`)
    const adapter = await openPostgres(database.urlWith({ user: 'fickle', password: 'secret' }))
    ending.push(() => adapter.close())
    const mine = { ...lines, remote: 'mine' }
    await readAll(await snapshotOf(adapter), mine)
    await database.client.query('revoke select on mine from fickle')
    await rejectsWith('SOURCE_DENIED', readAll(await snapshotOf(adapter), mine), 'mine')
  })
})

function message(kind: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(kind), int(body.length + 4), body])
}

function notice(): Buffer {
  return message('N', Buffer.from(`SNOTICE\0M${'again '.repeat(100)}\0\0`))
}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Sends the same until nobody takes it. */
function flood(socket: net.Socket, bytes: Buffer): void {
  const send = (): void => {
    while (!socket.destroyed && socket.write(bytes));
  }
  socket.on('drain', send)
  send()
}

function hugeMessage(socket: net.Socket): void {
  socket.write(Buffer.concat([Buffer.from('R'), int(2 ** 30)]))
  flood(socket, Buffer.alloc(65_536))
}

async function snapshotOf(adapter: Adapter): Promise<Snapshot> {
  return (adapter.tables as NonNullable<Adapter['tables']>).openSnapshot(never)
}

async function describeAll(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
  const adapter = await openPostgres(url, options)
  ending.push(() => adapter.close())
  return adapter.describes?.describe(never)
}

async function listen(onSocket: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket.on('error', () => {}))
    onSocket(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  ending.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return (server.address() as net.AddressInfo).port
}

/** Passes so many bytes of the server on, over all connections, and then resets them. */
function proxyTo(port: number, bytes: number): Promise<number> {
  let left = bytes
  return listen(outer => {
    const inner = net.connect(port, '127.0.0.1').on('error', () => {})
    inner.on('close', () => outer.destroy())
    outer.on('close', () => inner.destroy())
    outer.pipe(inner)
    inner.on('data', chunk => {
      outer.write(chunk.subarray(0, Math.max(0, left)))
      left -= chunk.length
      if (left < 0) outer.resetAndDestroy()
    })
  })
}
