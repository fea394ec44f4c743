import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'
import sqlite from 'node-sqlite3-wasm'
import { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startPostgres, type PostgresServer } from '../../src/testing/servers/embedded-postgres.ts'
import { startNaru, type Ended } from '../support/command.ts'

let folder = ''
let server: PostgresServer
let client: Client

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'naru-from-files-'))
  server = await startPostgres({ dir: path.join(folder, 'server'), settings: { fsync: 'off' } })
  client = new Client(server.url)
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await server.remove()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(() => rm(path.join(folder, 'copy.db'), { force: true }))

async function naru(...args: readonly string[]): Promise<Ended> {
  return startNaru(folder, args, { variables: { SHOP_URL: server.url } }).ended
}

async function moved(...args: readonly string[]): Promise<Ended> {
  const done = await naru('transfer', ...args)
  expect(done.status, done.stderr).toBe(0)
  return done
}

function copied(query: string): unknown {
  const database = new sqlite.Database(path.join(folder, 'copy.db'))
  try {
    return database.all(query)
  } finally {
    database.close()
  }
}

const write = (name: string, content: string | Uint8Array): Promise<void> => writeFile(path.join(folder, name), content)

describe('a file as the source of a transfer', () => {
  test('CSV goes into a table of its own name, as text, and the count is compared', async () => {
    await write('orders.csv', 'id;note\n007;"a;b"\n8;\n')
    const done = await moved('orders.csv', 'copy.db', '--create')
    expect(done.stdout).toContain('the row count agrees')
    expect(copied('select id, note from orders order by 1')).toEqual([
      { id: '007', note: 'a;b' },
      { id: '8', note: null },
    ])
  })

  test('its text goes into the types of a table that is there, where nothing is lost', async () => {
    await client.query(
      'drop table if exists orders; create table orders (id int primary key, at date, price numeric(6,2))',
    )
    await write('orders.csv', 'id,at,price\n1,2026-01-31,2.50\n2,,\n')
    await moved('orders.csv', 'env:SHOP_URL', '--mode', 'insert')
    const { rows } = await client.query('select id, at::text, price::text from orders order by id')
    expect(rows).toEqual([
      { id: 1, at: '2026-01-31', price: '2.50' },
      { id: 2, at: null, price: null },
    ])
  })

  test.each([
    ['a number that is none', 'id,at,price\n3,2026-01-31,cheap\n'],
    ['a day that does not exist', 'id,at,price\n3,2026-02-30,1.00\n'],
    ['digits that would be cut', 'id,at,price\n3,2026-01-31,1.005\n'],
  ])('%s ends it with the column named and nothing changed', async (_, content) => {
    await client.query(
      'drop table if exists orders; create table orders (id int primary key, at date, price numeric(6,2))',
    )
    await write('orders.csv', content)
    const done = await naru('transfer', 'orders.csv', 'env:SHOP_URL', '--mode', 'insert')
    expect([done.status, done.stderr]).toEqual([1, expect.stringMatching(/WRITE_VALUE/)])
    expect((await client.query('select * from orders')).rows).toEqual([])
  })

  test('several files with the same columns are one table; packed lines of JSON are read as well', async () => {
    await write('part_1.ndjson.gz', zlib.gzipSync('{"id":1,"name":"tea"}\n'))
    await write('part_2.ndjson.gz', zlib.gzipSync('{"id":2,"name":"cup"}\n'))
    await moved('part_*.ndjson.gz', 'copy.db#part', '--create')
    expect(copied('select count(*) as n from part')).toEqual([{ n: 2 }])
    const unnamed = await naru('transfer', 'part_*.ndjson.gz', 'copy.db', '--create')
    expect([unnamed.status, unnamed.stderr]).toEqual([2, expect.stringContaining('must name the table')])
  })

  test('Parquet keeps its types on the way from a file to a file and to a database', async () => {
    await client.query(
      'drop table if exists kept; create table kept (id bigint primary key, d numeric(20,3), at timestamptz)',
    )
    await client.query(`insert into kept values (9007199254740993, 0.125, '2026-01-31 10:00:00.000001+00')`)
    await moved('env:SHOP_URL#kept', 'kept.parquet')
    await client.query('drop table kept')
    await moved('kept.parquet', 'env:SHOP_URL', '--create', '--mode', 'insert')
    const { rows } = await client.query(`select id::text, d::text, (at at time zone 'utc')::text as at from kept`)
    expect(rows).toEqual([{ id: '9007199254740993', d: '0.125', at: '2026-01-31 10:00:00.000001' }])
  })

  test('a bad line ends it by its number, with nothing changed', async () => {
    await write('bad.csv', 'id,note\n1,a\n2,b,c\n')
    const done = await naru('transfer', 'bad.csv', 'copy.db', '--create')
    expect([done.status, done.stderr]).toEqual([1, expect.stringContaining('TRANSFER_REJECTS')])
    expect(done.stderr).toContain('line 3')
  })

  test.each([
    [['none.csv', 'copy.db'], 'there is no file none.csv'],
    [['orders.csv'], '"orders.csv" is one end of a transfer; the other is missing'],
    [['orders.csv', 'copy.db', '--create', '--where', 'id = 1'], '--where'],
    [['orders.csv', 'copy.db', '--create', '--validate', 'hash'], '--validate hash'],
    [['orders.csv', 'copy.db', '--create', '--split-by', 'id'], '--split-by'],
  ])('%j is refused with what is wrong', async (args, said) => {
    await write('orders.csv', 'id\n1\n')
    const done = await naru('transfer', ...args)
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining(said)])
  })

  test('what an option mends is not followed by the same command as the next one', async () => {
    await write('orders.csv', 'id\n1\n')
    const { stderr } = await naru('transfer', 'orders.csv', 'copy.db')
    expect(stderr).toContain('--create')
    expect(stderr).not.toContain('next:')
  })

  test.each([
    ['a column without a name', ',a\n0,x\n', 'has no name'],
    ['an empty file', '', 'nothing in it'],
  ])('%s is no table that could be copied whole', async (_, content, said) => {
    await write('odd.csv', content)
    const done = await naru('transfer', 'odd.csv', 'copy.db', '--create')
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining(said)])
    expect(done.stderr).toContain('TRANSFER_FILE')
  })

  test('a link that leads out of the folder is in the way of its own name only', async () => {
    await symlink('/etc/hosts', path.join(folder, 'out.csv'))
    await write('orders.csv', 'id\n1\n')
    await moved('orders.csv', 'copy.db', '--create')
    const done = await naru('transfer', 'out.csv', 'copy.db', '--create')
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining('out of the folder')])
    await rm(path.join(folder, 'out.csv'))
  })

  test('files whose columns differ are not one table', async () => {
    await write('odd_1.csv', 'id,a\n1,2\n')
    await write('odd_2.csv', 'id,b\n1,2\n')
    const done = await naru('transfer', 'odd_*.csv', 'copy.db#odd', '--create')
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining('TRANSFER_FILE')])
  })
})

describe('a file as the target of a transfer', () => {
  const written = (name: string): Promise<string> => readFile(path.join(folder, name), 'utf8')
  beforeAll(() =>
    client.query(`create table note (id int primary key, body text, at timestamptz, price numeric(20,3));
      insert into note values (1, 'a;b', '2026-01-31 10:00:00.000001+00', 12345678901234567.125), (2, null, null, null), (3, '', null, 0), (4, '\\N', null, 1)`),
  )

  test('CSV has the delimiter, the text for NULL and the header that are asked for', async () => {
    const flags = ['--delimiter', ';', '--null-text', '\\N', '--no-header', '--columns', 'id,body']
    await moved('env:SHOP_URL#note', 'note.csv', ...flags)
    expect(await written('note.csv')).toBe('1;"a;b"\n2;\\N\n3;""\n4;"\\N"\n')
  })

  test('.tsv is tab-delimited in both directions, where \\t may be said as well', async () => {
    await moved('env:SHOP_URL#note', 'note.tsv', '--columns', 'id,body')
    await moved('env:SHOP_URL#note', 'note.csv', '--columns', 'id,body', '--delimiter', '\\t')
    expect(await written('note.tsv')).toBe(await written('note.csv'))
    expect(await written('note.tsv')).toMatch(/^id\tbody\n1\ta;b\n/)
    await moved('note.tsv', 'copy.db', '--create')
    expect(copied('select body from note order by id')).toEqual(['a;b', null, '', '\\N'].map(body => ({ body })))
  })

  test.each([
    ['note.avro', []],
    ['note.avro', ['--compression', 'none']],
    ['note.parquet', ['--compression', 'zstd']],
  ])('%s with %j goes back into a database as it was', async (name, flags) => {
    await moved('env:SHOP_URL#note', name, ...flags)
    await moved(name, 'env:SHOP_URL#back', '--create')
    const { rows } = await client.query(`select * from note except select * from back`)
    expect([rows, (await client.query('select * from back')).rowCount]).toEqual([[], 4])
    await client.query('drop table back')
  })

  test.each([
    [['env:SHOP_URL#note', 'copy.db', '--create', '--delimiter', ';'], 'TRANSFER_CANNOT'],
    [['env:SHOP_URL#note', 'note.parquet', '--null-text', 'x'], '--null-text is of CSV'],
    [['env:SHOP_URL', 'note.avro', '--query', 'select 1 as "a b"'], 'unlike "a b"'],
  ])('%j is refused with what is wrong', async (args, said) => {
    const done = await naru('transfer', ...args)
    expect([done.status === 0, done.stderr]).toEqual([false, expect.stringMatching(said)])
  })
})
