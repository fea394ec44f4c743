import assert from 'node:assert/strict'
import net from 'node:net'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { isNaruError, type Code } from '../../../core/errors.ts'
import type { ColumnType } from '../../../core/types.ts'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../../testing/postgres/database.ts'
import { collect, columnOf, never, readAll, shapeOf } from '../conformance-support.ts'
import type { Adapter, Snapshot, TableShape } from '../contract.ts'

const int32: ColumnType = { kind: 'int', bits: 32 }
const text: ColumnType = { kind: 'text' }
const zoned: ColumnType = { kind: 'timestamp', zoned: true }
const unzoned: ColumnType = { kind: 'timestamp', zoned: false }

let database: TestDatabase
const ending: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  database = await startTestDatabase({ max_prepared_transactions: '5' })
})

afterAll(() => database.stop())

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

describe('horizon', () => {
  const stamped = shapeOf(
    'stamped',
    [
      ['id', int32],
      ['at', zoned],
    ],
    ['id'],
  )

  test('a row of a transaction that began before the snapshot and commits after it is not lost', async () => {
    await database.client.query(
      'drop table if exists stamped; create table stamped (id int primary key, at timestamptz)',
    )
    const writer = await session()
    await writer.query('begin; insert into stamped values (1, now())')
    const before = await snapshotOf(database.url)
    await database.client.query('insert into stamped values (2, now())')
    await writer.query('commit')
    assert.equal((await readAll(before, stamped)).rows.length, 0)

    const { horizonMicros } = before
    assert.ok(horizonMicros !== null)
    const after = await snapshotOf(database.url)
    const { rows } = await readAll(after, stamped, { since: { column: 'at', atLeastMicros: horizonMicros } })
    assert.deepEqual(rows.map(row => row[0]).sort(), ['1', '2'])
  })

  test('it is the start of the oldest open transaction, and moves on when that ends', async () => {
    const writer = await session()
    await writer.query('begin')
    const { rows } = await writer.query<{ micros: string }>(
      'select (extract(epoch from now()) * 1000000)::bigint::text as micros',
    )
    await database.client.query('select pg_sleep(0)')
    const held = await snapshotOf(database.url)
    const began = BigInt(rows[0]?.micros ?? 0)
    assert.ok((held.horizonMicros ?? 0n) <= began)
    // It began before now: no sign of a clock that was put back.
    assert.ok((held.horizonMicros ?? 0n) > began - 600_000_000n)
    await writer.query('commit')
  })

  test('it is unknown when the account may not see the transactions of others', async () => {
    await role('watcher')
    const writer = await session()
    await writer.query('begin')
    assert.equal((await snapshotOf(database.urlWith({ user: 'watcher', password: 'secret' }))).horizonMicros, null)
    await database.client.query('grant pg_read_all_stats to watcher')
    assert.notEqual((await snapshotOf(database.urlWith({ user: 'watcher', password: 'secret' }))).horizonMicros, null)
    await writer.query('rollback')
  })

  test('it is unknown while a prepared transaction waits: its start is not kept', async () => {
    await database.client.query(`begin; create table prepared (id int); prepare transaction 'waiting'`)
    ending.push(() => database.client.query(`rollback prepared 'waiting'`))
    assert.equal((await snapshotOf(database.url)).horizonMicros, null)
  })

  test('it is unknown when a session reports nothing', async () => {
    const writer = await session()
    await writer.query('set track_activities = off')
    assert.equal((await snapshotOf(database.url)).horizonMicros, null)
  })
})

describe('stamps without a time zone', () => {
  const stamped = shapeOf(
    'local_stamps',
    [
      ['id', int32],
      ['at', unzoned],
    ],
    ['id'],
  )

  test('they are of the zone that the server stamps in, also where clocks are put back', async () => {
    await database.client.query('create database berlin')
    await database.client.query(`alter database berlin set timezone = 'Europe/Berlin'`)
    const url = database.urlWith({ database: 'berlin' })
    const writer = await session(url)
    await writer.query('create table local_stamps (id int primary key, at timestamp)')
    // Clocks went back from 03:00 to 02:00 at 01:00 UTC. Row n is written 15 minutes after row n - 1, as now() would.
    await writer.query(`
      insert into local_stamps
      select n, (timestamptz '2024-10-26 22:00+00' + n * interval '15 minutes') at time zone 'Europe/Berlin'
      from generate_series(0, 40) n`)
    const snapshot = await snapshotOf(url)
    const start = BigInt(Date.UTC(2024, 9, 26, 22)) * 1000n
    for (let n = 0; n <= 40; n++) {
      const since = { column: 'at', atLeastMicros: start + BigInt(n) * 900_000_000n }
      const { rows } = await readAll(snapshot, stamped, { since })
      const read = new Set(rows.map(row => Number(row[0])))
      for (let later = n; later <= 40; later++)
        assert.ok(read.has(later), `row ${later} is lost when read from row ${n}`)
    }
    const noon = { column: 'at', atLeastMicros: start + 40n * 900_000_000n }
    assert.equal((await readAll(snapshot, stamped, { since: noon })).rows.length, 1)
  })
})

describe('text', () => {
  test('a database in another encoding gives the same text and the same totals', async () => {
    await database.client.query(
      `create database korean encoding 'EUC_KR' template template0 locale_provider libc locale 'C'`,
    )
    const url = database.urlWith({ database: 'korean' })
    const writer = await session(url)
    await writer.query(`create table words (id int primary key, word text)`)
    await writer.query(`insert into words values (1, '나루'), (2, '가')`)
    const snapshot = await snapshotOf(url)
    const words = shapeOf(
      'words',
      [
        ['id', int32],
        ['word', text],
      ],
      ['id'],
    )
    assert.deepEqual((await readAll(snapshot, words)).rows.map(row => row[1]).sort(), ['가', '나루'])
    const totals = await snapshot.totals(words, {}, { hash: true }, never)
    assert.deepEqual(totals.columns[1], { column: 'word', count: 2n, sum: '9', min: '가', max: '나루' })
  })

  test('bytes that are no text become a reject where the server does not look at them', async () => {
    await database.client.query(
      `create database anything encoding 'SQL_ASCII' template template0 locale_provider libc locale 'C'`,
    )
    const url = database.urlWith({ database: 'anything' })
    const writer = await session(url)
    await writer.query(`create table words (id int primary key, word text)`)
    await writer.query(`insert into words values (1, 'fine'), (2, E'\\xff\\xfe'), (3, 'fine too')`)
    const { rows, rejects } = await readAll(
      await snapshotOf(url),
      shapeOf(
        'words',
        [
          ['id', int32],
          ['word', text],
        ],
        ['id'],
      ),
    )
    assert.deepEqual(
      rows.map(row => row[0]),
      ['1', '3'],
    )
    assert.deepEqual(
      rejects.map(it => [it.reason, it.key, it.content]),
      [['VALUE_NOT_IN_TYPE', { id: '2' }, '\\xfffe']],
    )
  })
})

describe('what is described', () => {
  test('tables of other schemas, views, partitioned tables, keys, and nothing that may not be read', async () => {
    await role('reader')
    await database.client.query(`
      create schema sales; grant usage on schema sales to reader;
      create table sales."order" ("Id" bigint generated always as identity, line int, secret text, primary key (line, "Id"));
      grant select ("Id", line) on sales."order" to reader;
      create table sales.hidden (id int primary key);
      create table by_unique (a int, b text not null, c int not null, unique (a), unique (b, c));
      create table by_year (id int, year int) partition by list (year);
      create table by_year_2001 partition of by_year for values in (2001);
      create view recent as select id from by_year;
      grant select on by_unique, by_year, recent to reader`)
    const adapter = await open(database.urlWith({ user: 'reader', password: 'secret' }))
    const tables = await adapter.describes?.describe(never)
    assert.deepEqual(
      tables?.map(({ name, key, columns }) => [name, key, columns.map(column => column.name)]),
      [
        ['by_unique', ['b', 'c'], ['a', 'b', 'c']],
        ['by_year', [], ['id', 'year']],
        ['recent', [], ['id']],
        ['sales.order', ['line', 'Id'], ['Id', 'line']],
      ],
    )
    await database.client.query('drop owned by reader')
  })

  test('it can be limited to some schemas', async () => {
    await database.client.query('create schema only_this; create table only_this.t (id int)')
    const adapter = await open(database.url, { schemas: 'only_this, nothing' })
    assert.deepEqual(
      (await adapter.describes?.describe(never))?.map(table => table.name),
      ['only_this.t'],
    )
  })
})

describe('a table that changes under a snapshot', () => {
  const kept = shapeOf('kept', [['id', int32]], ['id'])

  test('truncated between the view and its first use, it is an error and not an empty table', async () => {
    await database.client.query('create table kept (id int primary key); insert into kept values (1)')
    const snapshot = await snapshotOf(database.url)
    await database.client.query('truncate kept')
    await rejects('SOURCE_REWRITTEN', snapshot.look(kept.remote), ['kept', 'truncated'])
  })

  test('once it was verified, nobody can change its shape until the snapshot is closed', async () => {
    await database.client.query('drop table if exists kept; create table kept (id int primary key)')
    const snapshot = await snapshotOf(database.url)
    await snapshot.look(kept.remote)
    const other = await session()
    await assert.rejects(other.query(`set lock_timeout = '50ms'; alter table kept add column x int`), /lock timeout/)
    await snapshot.close()
    await other.query('alter table kept add column x int')
  })

  test('a read gives way to who waits for the view to be closed, so that nobody waits for a minute', async () => {
    await database.client.query('drop table if exists kept; create table kept (id int primary key)')
    const snapshot = await snapshotOf(database.url)
    await snapshot.look(kept.remote)
    const other = await session()
    const truncated = other.query('truncate kept')
    const waiting = `select 1 from pg_stat_activity where query = 'truncate kept' and wait_event_type = 'Lock'`
    for (let found = 0; found === 0;) found = (await database.client.query(waiting)).rowCount ?? 0
    await rejects('SOURCE_READ', collect(snapshot.read(kept, ['id'], {}, never)), ['kept', 'lock timeout'])
    await snapshot.close()
    await truncated
  })
})

describe('errors', () => {
  const lines = shapeOf(
    'lines',
    [
      ['id', int32],
      ['body', text],
    ],
    ['id'],
  )

  test('a wrong password names the user and never the password', async () => {
    const url = database.urlWith({ password: 'not-the-password' })
    await rejects('SOURCE_LOGIN', describeAll(url), ['ops', 'postgres'], ['not-the-password'])
  })

  test('a missing database', () =>
    rejects('SOURCE_LOGIN', describeAll(database.urlWith({ database: 'nowhere' })), ['nowhere']))

  test('an address that is none', () =>
    rejects('OPTION_INVALID', describeAll('mysql://u:hidden-word@h/d'), ['url'], ['hidden-word']))

  test('a port where nobody listens', async () => {
    const port = await freePort()
    const url = database.urlWith({ port, password: 'hidden-word' })
    await rejects('SOURCE_UNREACHABLE', describeAll(url), [`127.0.0.1:${port}`], ['hidden-word'])
  })

  test('a name that does not resolve', () =>
    rejects(
      'SOURCE_UNREACHABLE',
      describeAll('postgres://u:hidden-word@no-such-host.invalid/d'),
      ['no-such-host.invalid'],
      ['hidden-word'],
    ))

  test('a server that accepts and never answers', async () => {
    const port = await listen(() => {})
    await rejects('SOURCE_UNREACHABLE', describeAll(database.urlWith({ port }), { connectTimeout: '300ms' }), [
      `:${port}`,
    ])
  })

  test('a server that talks another language', async () => {
    const port = await listen(socket => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
    const error = await describeAll(database.urlWith({ port }), { connectTimeout: '2s' }).catch((it: unknown) => it)
    assert.ok(isNaruError(error) && ['SOURCE_UNREACHABLE', 'SOURCE_READ'].includes(error.code))
  })

  test('a table or a column that the account may not read', async () => {
    await role('stranger')
    await database.client.query(`
      create table closed (id int primary key, salary int);
      create table half_open (id int primary key, salary int); grant select (id) on half_open to stranger`)
    const snapshot = await snapshotOf(database.urlWith({ user: 'stranger', password: 'secret' }))
    const columns = shapeOf(
      'closed',
      [
        ['id', int32],
        ['salary', int32],
      ],
      ['id'],
    )
    await rejects('SOURCE_DENIED', snapshot.look(columns.remote), ['table "closed"'])
    const halfOpen = { ...columns, remote: 'half_open' }
    assert.deepEqual((await snapshot.look(halfOpen.remote)).denied, ['salary'])
    const known = { ...halfOpen, columns: columns.columns.slice(0, 1) }
    assert.deepEqual((await readAll(snapshot, known)).rows, [])
  })

  test('a connection that is cut in the middle of a table', async () => {
    await fill(lines)
    const proxy = await proxyTo(database.url)
    const snapshot = await snapshotOf(database.urlWith({ port: proxy.port }))
    await snapshot.look(lines.remote)
    proxy.afterBytes(2_000_000, sockets => sockets.forEach(socket => socket.resetAndDestroy()))
    await rejects('SOURCE_UNREACHABLE', readAll(snapshot, lines), ['ops'])
  })

  test('a server that goes silent in the middle of a table', async () => {
    await fill(lines)
    const proxy = await proxyTo(database.url)
    const snapshot = await snapshotOf(database.urlWith({ port: proxy.port }), { statementTimeout: '500ms' })
    await snapshot.look(lines.remote)
    proxy.afterBytes(2_000_000, sockets => sockets.forEach(socket => socket.pause()))
    await rejects('SOURCE_UNREACHABLE', readAll(snapshot, lines), ['500 ms'])
  })

  test('a server that ends a session between two reads is an error of the next one, not a wait without end', async () => {
    await fill(lines)
    const snapshot = await snapshotOf(database.url)
    assert.equal((await readAll(snapshot, lines)).rows.length, 40_000)
    const others = `from pg_stat_activity where application_name = 'naru'`
    await database.client.query(`select pg_terminate_backend(pid) ${others}`)
    for (let left = 1; left > 0;) {
      const { rows } = await database.client.query<{ n: number }>(`select count(*)::int as n ${others}`)
      left = rows[0]?.n ?? 0
    }
    await database.client.query('select pg_sleep(0.2)')
    await rejects('SOURCE_UNREACHABLE', readAll(snapshot, lines), ['ops'])
  })

  test('a consumer that waits longer than the server may is no error', async () => {
    await fill(lines)
    const snapshot = await snapshotOf(database.url, { statementTimeout: '400ms' })
    let rows = 0
    for await (const { batch } of snapshot.read(lines, ['id', 'body'], {}, never)) {
      if (rows === 0) await database.client.query('select pg_sleep(1)')
      rows += batch.rows
    }
    assert.equal(rows, 40_000)
  })

  test('a statement that takes too long', async () => {
    await database.client.query('create or replace view slow as select 1 as id, pg_sleep(20)::text as nap')
    const snapshot = await snapshotOf(database.url, { statementTimeout: '200ms' })
    const slow = shapeOf(
      'slow',
      [
        ['id', int32],
        ['nap', text],
      ],
      [],
    )
    await rejects('SOURCE_READ', snapshot.totals(slow, {}, { hash: false }, never), ['slow', 'statement timeout'])
  })

  test('a value that the server itself cannot produce', async () => {
    await database.client.query(
      'create or replace view broken as select n as id, 10 / (n - 3) as q from generate_series(1, 5) n',
    )
    const snapshot = await snapshotOf(database.url)
    const broken = shapeOf(
      'broken',
      [
        ['id', int32],
        ['q', int32],
      ],
      [],
    )
    await rejects('SOURCE_READ', readAll(snapshot, broken), ['broken', 'division by zero'])
    const few = { ...broken, columns: [columnOf('id', int32)] }
    assert.equal((await readAll(snapshot, few)).rows.length, 5)
  })

  test('every method names the table, and close never throws, twice and after a failure', async () => {
    const proxy = await proxyTo(database.url)
    const snapshot = await snapshotOf(database.urlWith({ port: proxy.port }))
    proxy.cut()
    await rejects('SOURCE_UNREACHABLE', snapshot.look(lines.remote), ['ops'])
    await snapshot.close()
    await snapshot.close()
  })
})

async function fill({ remote }: TableShape): Promise<void> {
  await database.client.query(`
    drop table if exists ${remote}; create table ${remote} (id int primary key, body text);
    insert into ${remote} select n, repeat('x', 500) from generate_series(1, 40000) n`)
}

async function open(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<Adapter> {
  const adapter = await openPostgres(url, options)
  ending.push(() => adapter.close())
  return adapter
}

async function describeAll(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
  return (await open(url, options)).describes?.describe(never)
}

async function snapshotOf(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<Snapshot> {
  const adapter = await open(url, options)
  const snapshot = await adapter.tables?.openSnapshot(never)
  assert.ok(snapshot !== undefined)
  return snapshot
}

/** Another session that ends with the test. */
async function session(url?: string): Promise<TestDatabase['client']> {
  const client = await database.connect(url)
  ending.push(() => client.end())
  return client
}

async function role(name: string): Promise<void> {
  await database.client.query(`create role ${name} login password 'secret'`)
  ending.push(() => database.client.query(`drop owned by ${name}; drop role ${name}`))
}

/** Fails unless the promise ends with this code, and its message has all of `words` and none of `secrets`. */
async function rejects(
  code: Code,
  promise: Promise<unknown>,
  words: readonly string[],
  secrets: readonly string[] = [],
): Promise<void> {
  await assert.rejects(promise, error => {
    assert.ok(isNaruError(error, code), String(error))
    for (const word of words) assert.ok(error.message.includes(word), error.message)
    for (const secret of secrets) assert.ok(!JSON.stringify([error.message, String(error.cause)]).includes(secret))
    return true
  })
}

async function listen(onSocket: (socket: net.Socket) => void): Promise<number> {
  const server = net.createServer(onSocket)
  const sockets = new Set<net.Socket>()
  server.on('connection', socket => sockets.add(socket.on('error', () => {})))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  ending.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return (server.address() as net.AddressInfo).port
}

async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

interface Proxy {
  readonly port: number
  /** Calls `fault` with the sockets towards us once so many more bytes have come from the server. */
  afterBytes(bytes: number, fault: (sockets: readonly net.Socket[]) => void): void
  /** Cuts every connection now. */
  cut(): void
}

/** Stands between us and the server, and does what networks do. */
async function proxyTo(url: string): Promise<Proxy> {
  const { hostname, port } = new URL(url)
  const inner: net.Socket[] = []
  let left = Number.POSITIVE_INFINITY
  let fault: (sockets: readonly net.Socket[]) => void = () => {}
  const outerPort = await listen(outer => {
    const server = net.connect(Number(port), hostname)
    inner.push(server, outer)
    server.on('error', () => {}).on('close', () => outer.destroy())
    outer.on('close', () => server.destroy())
    outer.pipe(server)
    server.on('data', chunk => {
      left -= chunk.length
      if (left < 0) fault(inner)
      else if (!outer.write(chunk)) {
        server.pause()
        outer.once('drain', () => server.resume())
      }
    })
  })
  return {
    port: outerPort,
    afterBytes: (bytes, then) => {
      left = bytes
      fault = then
    },
    cut: () => inner.forEach(socket => socket.destroy()),
  }
}
