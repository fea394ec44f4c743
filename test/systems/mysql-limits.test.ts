import assert from 'node:assert/strict'
import type { Connection } from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import type { ColumnBatch, ColumnData } from '../../src/core/batch.ts'
import type { ColumnDef, ColumnType } from '../../src/core/types.ts'
import { never, readAll, readChunks } from '../../src/services/adapter/conformance-support.ts'
import type { Adapter, KeyBound, Snapshot, TableShape } from '../../src/services/adapter/contract.ts'
import type { TableWriter, WritesTables } from '../../src/services/adapter/contract-writes.ts'
import { batchOf, type TestValue } from '../../src/testing/suite/batches.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { makeCertificate } from '../servers/certificate.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'

// What only MySQL and MariaDB have: engines without snapshots, collations, accounts, notes for values that were changed.

let server: MariaDb
let client: Connection
const ending: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  const { certificate, key } = makeCertificate('IP:127.0.0.1')
  server = await startMariaDb({
    'ssl-key': key,
    'ssl-cert': certificate,
    'ssl-ca': certificate,
    'max-allowed-packet': '256M',
  })
  client = await connectMysql(server.url())
})
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})
afterAll(async () => {
  await client?.end()
  await server?.stop()
})

async function open(options: Readonly<Record<string, unknown>> = {}, url = server.url()): Promise<Adapter> {
  const adapter = await openMysql(url, options)
  ending.push(() => adapter.close())
  return adapter
}

async function snapshotOf(adapter: Adapter): Promise<Snapshot> {
  return (adapter.tables as NonNullable<Adapter['tables']>).openSnapshot(never)
}

/** The table as it is now, with all of its columns. */
async function shapeNow(snapshot: Snapshot, remote: string): Promise<TableShape> {
  const { columns, key } = await snapshot.look(remote)
  return { remote, columns, key }
}

describe('snapshots', () => {
  test('a table of an engine without snapshots is refused, and read as it is only when the config says so', async () => {
    await client.query(
      `create or replace table old (id int primary key) engine = MyISAM; insert into old values (1), (2)`,
    )
    const strict = await snapshotOf(await open())
    await rejectsWith('SOURCE_NO_SNAPSHOT', strict.look('old'), 'MyISAM')
    const snapshot = await snapshotOf(await open({ otherEngines: 'accept' }))
    assert.equal((await readAll(snapshot, await shapeNow(snapshot, 'old'))).rows.length, 2)
  })

  test('several connections are one moment with a lock, and refused without one', async () => {
    await rejectsWith('OPTION_INVALID', openMysql(server.url(), { connections: 3 }), 'readLock')
    await client.query(
      `create or replace table many (id int primary key); insert into many select seq from seq_1_to_1000`,
    )
    const snapshot = await snapshotOf(await open({ connections: 3, readLock: true }))
    await client.query('insert into many values (1001)')
    const shape = await shapeNow(snapshot, 'many')
    const reads = await Promise.all([1, 2, 3, 4].map(() => readAll(snapshot, shape)))
    assert.deepEqual(
      reads.map(({ rows }) => rows.length),
      [1000, 1000, 1000, 1000],
    )
  })

  for (const change of [
    'truncate table late',
    'alter table late force',
    'drop table late; create table late (id int)',
  ]) {
    test(`a table after "${change}" is an error in a view from before, not an empty table`, async () => {
      await client.query('create or replace table late (id int primary key); insert into late values (1)')
      const snapshot = await snapshotOf(await open())
      await client.query(change)
      await rejectsWith('SOURCE_READ', snapshot.look('late'), 'late')
    })
  }

  test('without the PROCESS privilege the horizon is not known', async () => {
    await client.query(`create or replace user clerk identified by 'x'; grant select on shop.* to clerk`)
    const snapshot = await snapshotOf(await open({}, server.url('clerk', 'x')))
    assert.equal(snapshot.horizonMicros, null)
  })

  test('the horizon lies before the start of a transaction that is open', async () => {
    await client.query('create or replace table busy (id int primary key)')
    const other = await connectMysql(server.url())
    ending.push(() => other.end())
    await other.query('start transaction; insert into busy values (1)')
    const [rows] = await client.query({
      sql: 'select cast(unix_timestamp(sysdate(6)) * 1000000 as signed)',
      rowsAsArray: true,
    })
    const snapshot = await snapshotOf(await open())
    const now = BigInt((rows as number[][])[0]?.[0] ?? 0)
    assert.ok((snapshot.horizonMicros as bigint) < now)
    // It began before now: no sign of a clock that was put back.
    assert.ok((snapshot.horizonMicros as bigint) > now - 600_000_000n)
  })
})

describe('values and keys', () => {
  test('dates with zeros are NULL when the config says so, and the totals agree', async () => {
    await client.query(`set sql_mode = ''; create or replace table zeros (id int primary key, d date, t datetime);
      insert into zeros values (1, '0000-00-00', '2024-00-01'), (2, '2024-02-29', '2024-02-29 01:02:03')`)
    const snapshot = await snapshotOf(await open({ zeroDates: 'null' }))
    const shape = await shapeNow(snapshot, 'zeros')
    const { rows, rejects } = await readAll(snapshot, shape)
    assert.deepEqual(rejects, [])
    assert.deepEqual(rows, [
      ['1', null, null],
      ['2', '2024-02-29', '2024-02-29 01:02:03'],
    ])
    const totals = await snapshot.totals(shape, {}, { hash: true }, never)
    assert.deepEqual(
      totals.columns.map(it => it.count),
      [2n, 1n, 1n],
    )
  })

  test('a value at the limit of 64 MiB arrives, one over it is set aside', async () => {
    const limit = 64 * 1024 * 1024
    await client.query(`create or replace table large (id int primary key, body longblob);
      insert into large values (1, repeat('x', ${limit - 64})), (2, repeat('y', ${limit + 1})), (3, 'small')`)
    const snapshot = await snapshotOf(await open())
    const lengths: number[] = []
    const rejected: unknown[] = []
    const shape = await shapeNow(snapshot, 'large')
    for await (const { batch, rejects } of snapshot.read(shape, ['id', 'body'], {}, never)) {
      rejected.push(...rejects.map(it => [it.reason, it.key]))
      lengths.push(...lengthsOf(batch.columns[1] as ColumnData, batch.rows))
    }
    assert.deepEqual(lengths, [limit - 64, 5])
    assert.deepEqual(rejected, [['VALUE_TOO_LARGE', { id: '2' }]])
  })

  for (const [charset, collation] of [
    ['utf8mb4', 'utf8mb4_general_ci'],
    ['utf8mb4', 'utf8mb4_nopad_bin'],
    ['latin1', 'latin1_german1_ci'],
    ['euckr', 'euckr_korean_ci'],
    ['utf8mb3', 'utf8mb3_bin'],
  ]) {
    test(`keys in ${collation} are cut and compared in its own order`, async () => {
      await client.query(`create or replace table words (w varchar(30) character set ${charset} collate ${collation},
        n smallint, primary key (w, n))`)
      const words = charset === 'latin1' ? ['ä', 'B', "it's", 'z', '\\'] : ['가', 'B', "it's", 'z', '힣', '\\']
      for (const word of words) {
        await client.query(`insert into words select ?, seq from seq_1_to_9`, [word])
      }
      const snapshot = await snapshotOf(await open())
      const rows = await readChunks(snapshot, await shapeNow(snapshot, 'words'), 7)
      assert.equal(new Set(rows.map(row => row.join('\0'))).size, words.length * 9)
    })
  }

  for (const [native, values] of [
    ['datetime(6)', ["'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000002'", "'1000-01-01'", "'9999-12-31'"]],
    ['float', ['0.1', '0.2', '16777217', '-1e-30']],
    ['decimal(30,10)', ['1.0000000001', '1.0000000002', '99999999999999999999.5', '-3']],
    ['bigint unsigned', ['0', '9223372036854775807', '9223372036854775808', '18446744073709551615']],
    ['varbinary(9)', ["x'00'", "x'0000'", "x'ff'", "x'61'"]],
    ["enum('z','a','m','b')", ["'z'", "'a'", "'m'", "'b'"]],
    [
      'uuid',
      [
        "'00000000-0000-1000-8000-000000000001'",
        "'10000000-0000-1000-8000-000000000000'",
        "'f0000000-0000-4000-8000-000000000000'",
        "'00000000-0000-4000-8000-000000000001'",
      ],
    ],
    ['bit(40)', ["b'0'", "b'1'", '1099511627775', '5']],
    ['time(3)', ["'-01:00:00.001'", "'00:00:00'", "'12:00:00.5'", "'23:00:00'"]],
  ] as const) {
    test(`a key of ${native} is cut between any two rows`, async () => {
      await client.query(`create or replace table keyed (k ${native} primary key, v int not null default 1);
        insert into keyed (k) values ${values.map(value => `(${value})`).join(', ')}`)
      const snapshot = await snapshotOf(await open())
      const shape = await shapeNow(snapshot, 'keyed')
      let rows = 0n
      let after: KeyBound | undefined
      for (let chunks = 0; ; chunks++) {
        assert.ok(chunks <= values.length)
        const upTo: KeyBound | null = await snapshot.boundary(shape, after, 1)
        rows += (await snapshot.totals(shape, { after, upTo: upTo ?? undefined }, { hash: false }, never)).rows
        if (upTo === null) break
        assert.equal(rows, BigInt(chunks + 1))
        after = upTo
      }
      assert.equal(rows, BigInt(values.length))
    })
  }
})

describe('accounts and addresses', () => {
  test.each([
    ['SOURCE_LOGIN', 'a wrong password', (): string => server.url('root', 'wrong'), {}],
    ['SOURCE_LOGIN', 'a database that is not there', (): string => server.url().replace('/shop', '/none'), {}],
    ['SOURCE_UNREACHABLE', 'nobody listening', (): string => 'mysql://me:x@127.0.0.1:1/shop', {}],
    ['SOURCE_TLS', 'a certificate that nobody vouches for', (): string => server.url(), { tls: 'verify' }],
  ] as const)('%s for %s', async (code, _, url, options) => {
    const adapter = await open(options, url())
    await rejectsWith(code, (adapter.describes as NonNullable<Adapter['describes']>).describe(never))
  })

  test('an encrypted session reads like any other', async () => {
    await client.query(
      'create or replace table safe (id int primary key); insert into safe select seq from seq_1_to_5000',
    )
    const snapshot = await snapshotOf(await open({ tls: 'unverified' }))
    assert.equal((await readAll(snapshot, await shapeNow(snapshot, 'safe'))).rows.length, 5000)
  })

  test('columns that may not be read are told, and are not described', async () => {
    await client.query(`create or replace table staff (id int primary key, name text, salary int);
      create or replace user reader identified by 'x'; grant select (id, name), insert (salary) on shop.staff to reader`)
    const adapter = await open({}, server.url('reader', 'x'))
    const now = await (await snapshotOf(adapter)).look('staff')
    assert.deepEqual([now.columns.map(it => it.name), now.denied], [['id', 'name'], ['salary']])
  })
})

describe('writes', () => {
  const text: ColumnType = { kind: 'text' }
  const cases: readonly (readonly [native: string, type: ColumnType, value: TestValue, words: string])[] = [
    ['decimal(5,2)', { kind: 'decimal', precision: 9, scale: 3 }, 1005n, 'truncated'],
    ['decimal(5,2)', { kind: 'decimal', precision: 9, scale: 2 }, 100_000n, 'Out of range'],
    ['tinyint', { kind: 'int', bits: 64 }, 128n, 'Out of range'],
    ['float', { kind: 'float', bits: 64 }, 0.1, 'rounded'],
    ['char(5)', text, 'a ', 'spaces'],
    ['varchar(3)', text, 'abcd', 'too long'],
    ['varchar(3)', text, 'abc ', 'truncated'],
    ['varchar(9) character set latin1', text, '한', 'Incorrect string'],
    [`enum('a')`, text, 'A', 'labels'],
    ['binary(4)', { kind: 'bytes' }, new Uint8Array([1, 2, 3]), 'zeros'],
    ['datetime', { kind: 'timestamp', zoned: false }, 1n, 'round'],
    ['time', { kind: 'time' }, 500_000n, 'round'],
    ['timestamp(6)', { kind: 'timestamp', zoned: true }, 4_000_000_000_000_000n, 'Incorrect datetime'],
    ['int not null', { kind: 'int', bits: 32 }, null, 'null'],
  ]
  for (const [native, type, value, words] of cases) {
    test(`${native} refuses ${String(value)} by the name of its column`, async () => {
      await client.query(`create or replace table narrow (id int primary key, v ${native})`)
      const writer = await writerOf(
        'narrow',
        [
          ['id', { kind: 'int', bits: 32 }],
          ['v', type],
        ],
        'insert',
      )
      const batch = batchOf(
        columnsOf([
          ['id', { kind: 'int', bits: 32 }],
          ['v', type],
        ]),
        [[1n], [value]],
      )
      await rejectsWith('WRITE_VALUE', writer.stage('a', only(batch), never), words)
      await writer.discard(never)
    })
  }

  test('what was published is not published again by a writer that comes after a crash', async () => {
    await client.query('create or replace table once (id int primary key)')
    const columns = [['id', { kind: 'int', bits: 32 }]] as const
    const first = await writerOf('once', columns, 'insert')
    await first.stage('a', only(batchOf(columnsOf(columns), [[1n, 2n]])), never)
    await first.publish({ missed: 'refuse' }, never)
    await first.close()
    await client.query('delete from once where id = 1')
    const second = await writerOf('once', columns, 'insert')
    assert.equal(second.published?.inserted, 2n)
    assert.equal((await second.publish({ missed: 'refuse' }, never)).inserted, 2n)
    const [rows] = await client.query('select id from once')
    assert.deepEqual(rows, [{ id: 2 }])
    await second.discard(never)
  })

  test('a write of the same name for something else begins empty', async () => {
    await client.query('create or replace table other (id int primary key, v int)')
    const first = await writerOf('other', [['id', { kind: 'int', bits: 32 }]], 'insert')
    await first.stage('1', empty(), never)
    await first.close()
    const other = await writerOf('other', [['v', { kind: 'int', bits: 32 }]], 'insert')
    assert.deepEqual(other.staged, [])
    await other.discard(never)
  })

  async function writerOf(
    remote: string,
    columns: readonly (readonly [string, ColumnType])[],
    mode: 'insert' | 'replace',
  ): Promise<TableWriter> {
    const adapter = await open()
    const target = { id: remote, remote, columns: columnsOf(columns), key: [], mode, create: false }
    return (adapter.writes as WritesTables).openWriter(target, never)
  }
})

async function* empty(): AsyncGenerator<ColumnBatch> {}

function columnsOf(columns: readonly (readonly [string, ColumnType])[]): readonly ColumnDef[] {
  return columns.map(([name, type]) => ({ name, type, nullable: true, personal: false }))
}

function lengthsOf(column: ColumnData, rows: number): readonly number[] {
  assert.equal(column.layout, 'bytes')
  const { offsets } = column as Extract<ColumnData, { layout: 'bytes' }>
  return Array.from({ length: rows }, (_, row) => (offsets[row + 1] as number) - (offsets[row] as number))
}

async function* only<T>(value: T): AsyncGenerator<T> {
  yield value
}
