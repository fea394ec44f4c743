import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startPostgres, type PostgresServer } from '../../src/testing/servers/embedded-postgres.ts'
import { startNaru, type Ended } from '../support/command.ts'

let folder = ''
let server: PostgresServer
let client: Client

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'naru-increment-'))
  server = await startPostgres({ dir: path.join(folder, 'server'), settings: { fsync: 'off' } })
  client = new Client(server.url)
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await server.remove()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  for (const name of ['copy.db', '.naru']) await rm(path.join(folder, name), { recursive: true, force: true })
  await client.query('rollback')
  await client.query(`drop table if exists item; create table item
    (id int primary key, name text not null, day date not null, changed timestamptz not null default clock_timestamp())`)
  await client.query(
    `insert into item select n, 'tea ' || n, date '2026-01-01' + n, date '2026-01-01' + n from generate_series(1, 3) n`,
  )
})

async function naru(...args: readonly string[]): Promise<Ended> {
  return startNaru(folder, args, { variables: { SHOP_URL: server.url } }).ended
}

/** Moves with these flags; gives the rows that were read. */
async function move(...flags: readonly string[]): Promise<number> {
  const done = await naru('transfer', 'env:SHOP_URL#item', 'copy.db#item', '--create', '--json', ...flags)
  expect(done.status, done.stderr).toBe(0)
  return Number((JSON.parse(done.stdout.trim().split('\n').at(-1) as string) as { rows: string }).rows)
}

function copied(): unknown {
  const database = new sqlite.Database(path.join(folder, 'copy.db'))
  try {
    return database.all('select id, name from item order by id').map(row => `${row['id']} ${row['name']}`)
  } finally {
    database.close()
  }
}

describe('an incremental transfer', () => {
  test('adds what has a larger number than it saw, each row once', async () => {
    const flags = ['--mode', 'insert', '--incremental', 'id']
    expect(await move(...flags)).toBe(3)
    expect(await move(...flags)).toBe(0)
    await client.query(`insert into item values (10, 'cup', '2026-02-01'), (11, 'pot', '2026-02-01')`)
    expect(await move(...flags)).toBe(2)
    expect(copied()).toEqual(['1 tea 1', '2 tea 2', '3 tea 3', '10 cup', '11 pot'])
  })

  test.each([
    ['a time', 'changed'],
    ['a date', 'day'],
  ])('changes rows by key when it goes by %s, and sees rows at the last value again', async (_, column) => {
    const flags = ['--mode', 'upsert', '--incremental', column]
    expect(await move(...flags)).toBe(3)
    await client.query(`update item set name = 'cup', changed = clock_timestamp(), day = '2026-03-01' where id = 2`)
    expect(await move(...flags)).toBeLessThan(3)
    expect(copied()).toEqual(['1 tea 1', '2 cup', '3 tea 3'])
  })

  test('a row that commits late, with an older time, is not missed', async () => {
    const flags = ['--mode', 'upsert', '--incremental', 'changed']
    const late = new Client(server.url)
    await late.connect()
    await late.query(`begin; insert into item values (4, 'late', '2026-01-09', now())`)
    await client.query(`insert into item values (5, 'early', '2026-01-09', clock_timestamp())`)
    await move(...flags)
    await late.query('commit')
    await late.end()
    await move(...flags)
    expect(copied()).toContain('4 late')
  })

  test('begins behind a value that is given, and keeps what it saw', async () => {
    const flags = ['--mode', 'insert', '--incremental', 'id']
    expect(await move(...flags, '--last-value', '2')).toBe(1)
    expect(copied()).toEqual(['3 tea 3'])
    expect(await move(...flags)).toBe(0)
  })

  test('begins behind a time to the microsecond', async () => {
    await client.query(`update item set changed = timestamptz '2026-01-01 00:00:00Z' + n * interval '1 day'
      from generate_series(1, 3) n where n = id`)
    const flags = ['--mode', 'upsert', '--incremental', 'changed']
    expect(await move(...flags, '--last-value', '2026-01-03 00:00:00.000001')).toBe(1)
    expect(copied()).toEqual(['3 tea 3'])
  })

  test('a place to go on from that was damaged ends it, instead of adding everything again', async () => {
    const flags = ['--mode', 'insert', '--incremental', 'id']
    await move(...flags)
    const kept = path.join(folder, '.naru/increments')
    for (const name of await readdir(kept)) await writeFile(path.join(kept, name), '{')
    const done = await naru('transfer', 'env:SHOP_URL#item', 'copy.db#item', ...flags)
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining('--last-value')])
    expect(copied()).toHaveLength(3)
  })

  test('a time without a zone is a wall clock: in no zone of the server are later ones missed', async () => {
    await client.query(`alter database postgres set timezone = 'Asia/Seoul'`)
    await client.query(`alter table item add at timestamp; update item set at = '2020-01-01 10:00'`)
    const flags = ['--mode', 'upsert', '--incremental', 'at']
    await move(...flags)
    await client.query(`insert into item values (4, 'tie', '2020-01-01', now(), '2020-01-01 10:00'),
      (5, 'later', '2020-01-01', now(), '2020-01-01 10:00:00.000001')`)
    await move(...flags)
    await client.query(`alter database postgres reset timezone`)
    expect(copied()).toEqual(['1 tea 1', '2 tea 2', '3 tea 3', '4 tie', '5 later'])
  })

  test('a row that commits late, with an earlier day, is not missed', async () => {
    const flags = ['--mode', 'upsert', '--incremental', 'day']
    const late = new Client(server.url)
    await late.connect()
    await late.query(`begin; insert into item values (4, 'late', current_date, now())`)
    await client.query(`insert into item values (5, 'early', current_date + 2, now())`)
    await move(...flags)
    await late.query('commit')
    await late.end()
    await move(...flags)
    expect(copied()).toContain('4 late')
  })

  test('a second call is refused while the first is at work, before it reads where to begin', async () => {
    await client.query('begin; lock table item in access exclusive mode')
    const args = [
      'transfer',
      'env:SHOP_URL#item',
      'copy.db#item',
      '--create',
      '--mode',
      'insert',
      '--incremental',
      'id',
    ]
    const first = startNaru(folder, args, { variables: { SHOP_URL: server.url } })
    const waits = `select 1 from pg_locks where not granted`
    const looking = new Client(server.url)
    await looking.connect()
    while ((await looking.query(waits)).rows.length === 0);
    await looking.end()
    const second = await naru(...args, '--chunk-rows', '10')
    expect([second.status, second.stderr]).toEqual([expect.any(Number), expect.stringContaining('RUN_HELD')])
    await client.query('commit')
    expect((await first.ended).status).toBe(0)
    expect(copied()).toHaveLength(3)
  })

  test('ends where its column became one of another kind', async () => {
    const flags = ['--mode', 'upsert', '--incremental', 'id']
    await move(...flags)
    await client.query(`alter table item alter id type text`)
    const done = await naru('transfer', 'env:SHOP_URL#item', 'copy.db#item', ...flags)
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining('was a whole number and is text now')])
  })

  test('goes on behind the greatest number that its column holds', async () => {
    await client.query(`insert into item values (2147483647, 'last', '2026-01-01')`)
    const flags = ['--mode', 'insert', '--incremental', 'id']
    expect(await move(...flags)).toBe(4)
    expect(await move(...flags)).toBe(0)
  })

  test('does not make a table with only what is new where the one before is gone', async () => {
    const flags = ['--mode', 'insert', '--incremental', 'id']
    await move(...flags)
    await rm(path.join(folder, 'copy.db'))
    await client.query(`insert into item values (10, 'cup', '2026-02-01')`)
    const done = await naru('transfer', 'env:SHOP_URL#item', 'copy.db#item', '--create', ...flags)
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining('remove ')])
    for (const name of await readdir(path.join(folder, '.naru/increments'))) {
      await rm(path.join(folder, '.naru/increments', name))
    }
    expect(await move(...flags)).toBe(4)
  })

  test.each([
    [['--incremental', 'id', '--mode', 'insert', '--last-value', '1.5'], '1.5'],
    [['--incremental', 'day', '--mode', 'upsert', '--last-value', '2026-02-31'], '2026-02-31'],
    [['--incremental', 'id'], 'replace'],
    [['--incremental', 'changed', '--mode', 'insert'], '--mode upsert'],
    [['--incremental', 'nope', '--mode', 'insert'], 'nope'],
    [['--incremental', 'changed', '--mode', 'upsert', '--last-value', 'yesterday'], 'yesterday'],
    [['--incremental', 'changed', '--mode', 'upsert', '--last-value', '2026-02-31'], '2026-02-31'],
    [['--incremental', 'id', '--mode', 'insert', '--last-value', '1.5'], 'a whole number'],
  ])('%j is refused with what is wrong', async (flags, said) => {
    const done = await naru('transfer', 'env:SHOP_URL#item', 'copy.db#item', '--create', ...flags)
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining('TRANSFER_INCREMENTAL')])
    expect(done.stderr).toContain(said)
  })

  test('a value to begin behind without a column that it is of is wrong use', async () => {
    const done = await naru('transfer', 'env:SHOP_URL#item', 'copy.db#item', '--create', '--last-value', '2')
    expect([done.status, done.stderr]).toEqual([2, expect.stringContaining('--incremental')])
  })
})
