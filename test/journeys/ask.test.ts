import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgres, type PostgresServer } from '../../src/testing/servers/embedded-postgres.ts'
import { startNaru, type Ended } from '../support/command.ts'

let folder = ''
let server: PostgresServer

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'naru-ask-'))
  server = await startPostgres({ dir: path.join(folder, 'server'), settings: { fsync: 'off' } })
  const database = new sqlite.Database(path.join(folder, 'shop.db'))
  database.exec(`
    create table item (id integer primary key, name text not null);
    create table line (no integer, pos integer, qty integer, primary key (no, pos));
    insert into item values (1, 'tea'), (2, 'cup'), (3, 'pot')`)
  database.close()
})
afterAll(async () => {
  await server.remove()
  await rm(folder, { recursive: true, force: true })
})

async function naru(...args: readonly string[]): Promise<Ended> {
  return startNaru(folder, args, { variables: { SHOP_URL: server.url } }).ended
}

function answerOf({ stdout }: Ended): unknown {
  return JSON.parse(stdout.trim().split('\n').at(-1) as string)
}

describe('naru tables', () => {
  test('lists the tables of a system with their keys, without a project', async () => {
    const { stdout } = await naru('tables', 'shop.db')
    expect(stdout).toMatch(/item +id +2/)
    expect(stdout).toMatch(/line +no, pos +3/)
    expect(answerOf(await naru('tables', 'shop.db', '--json'))).toMatchObject({
      ok: true,
      tables: [
        { name: 'item', key: ['id'], columns: [{ name: 'id', type: 'INTEGER' }, { name: 'name' }] },
        { name: 'line' },
      ],
    })
  })

  test('an empty system is said to be empty', async () => {
    expect((await naru('tables', 'env:SHOP_URL')).stdout).toContain('shows this account no table')
  })

  test('a system without a catalog, and one that is not there, end with what to do', async () => {
    expect((await naru('tables', 'env:NOBODY')).stderr).toContain('ENV_MISSING')
    expect((await naru('tables', 'shop')).stderr).toContain('TRANSFER_ADDRESS')
  })
})

describe('naru sql --on', () => {
  test("asks a system in its own SQL, and shows each value's exact text", async () => {
    const query = `select 9007199254740993::bigint as n, 0.10::numeric(4,2) as d, 'a' || chr(10) as t, null::text as z`
    expect(answerOf(await naru('sql', query, '--on', 'env:SHOP_URL', '--json'))).toMatchObject({
      columns: [{ name: 'n' }, { name: 'd' }, { name: 't' }, { name: 'z' }],
      rows: [['9007199254740993', '0.10', 'a\n', null]],
      complete: true,
    })
  })

  test('says when there are more rows than are shown', async () => {
    const { stdout } = await naru('sql', 'select name from item order by id', '--on', 'shop.db', '--limit', '2')
    expect(stdout).toContain('tea')
    expect(stdout).not.toContain('pot')
    expect(stdout).toContain('more than 2 rows')
  })

  test('cannot change anything', async () => {
    const statements = [
      'delete from item',
      'create table x (a int)',
      'with d as (delete from item returning *) select * from d',
    ]
    for (const statement of statements) {
      const { status, stderr } = await naru('sql', statement, '--on', 'shop.db')
      expect([status, stderr]).toEqual([expect.any(Number), expect.stringContaining('SOURCE_QUERY')])
      expect(status).not.toBe(0)
    }
    const written = await naru(
      'sql',
      "select lo_create(0) as n, set_config('a.b', '1', false) as s",
      '--on',
      'env:SHOP_URL',
    )
    expect(written.stderr).toContain('SOURCE_')
    expect(answerOf(await naru('sql', 'select count(*) as n from item', '--on', 'shop.db', '--json'))).toMatchObject({
      rows: [['3']],
    })
  })

  test('a faulty query ends with what the system says of it', async () => {
    const { stderr } = await naru('sql', 'select nme from item', '--on', 'shop.db')
    expect(stderr).toContain('SOURCE_QUERY')
    expect(stderr).toContain('nme')
  })
})
