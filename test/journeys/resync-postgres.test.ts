import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { OpenProject } from '../../src/app/project.ts'
import { reading } from '../../src/app/read.ts'
import { adapters, type AdapterImplementation } from '../../src/app/registry.ts'
import { resync } from '../../src/app/resync.ts'
import type { Resynced } from '../../src/app/resync/request.ts'
import { runProject } from '../../src/app/run-project.ts'
import { startServer } from '../../src/app/server/start.ts'
import { Secret } from '../../src/core/secret.ts'
import { rawSql } from '../../src/core/sql.ts'
import { defineConfig, duckdb, env, ods, pg, t } from '../../src/index.ts'
import type { Row } from '../../src/services/engine/contract.ts'
import { never } from '../../src/testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { placeIn } from '../support/place.ts'

// A table of a real server that is read again through the server, while others write to it and ticks go on.

let source: TestDatabase
let folder: string
let open: OpenProject
/** What resyncs said. */
const told: string[] = []
let stopServer: () => Promise<void> = () => Promise.resolve()
let stopWriting: () => Promise<number> = () => Promise.resolve(0)

beforeAll(async () => {
  source = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '10', max_wal_senders: '10' })
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-resync-pg-'))
  open = project()
}, 180_000)
afterAll(async () => {
  await stopWriting()
  await stopServer()
  await source.stop()
  await rm(folder, { recursive: true, force: true })
})

function project(): OpenProject {
  const columns = { id: t.int(), balance: t.big(), note: t.text().null() }
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    chunkRows: 40,
    schema: { account: { key: ['id'], columns } },
    changes: { account: { technique: 'log' } },
  })
  const account = ods.entity('account', { key: 'id', columns }).from(shop.account, r => ({ ...r }))
  return {
    project: defineConfig({
      name: 'accounts',
      engine: duckdb({ path: 'data.duckdb' }),
      models: { account: ods.export('account', account) },
    }),
    ...placeIn(folder),
    secret: () => new Secret(source.url),
  }
}

/** Changes rows, moves keys, deletes and inserts, until it is stopped. */
function writing(client: Client): () => Promise<number> {
  const over = { is: false }
  let done = 0
  const going = (async () => {
    for (; !over.is; done++) {
      const id = (done * 7) % 200
      await client.query('begin')
      await client.query('update account set balance = balance + 1 where id in ($1, $2)', [id, (id + 50) % 200])
      if (done % 5 === 0) await client.query('delete from account where id = $1', [(id + 3) % 200])
      if (done % 5 === 1) {
        await client.query(
          `insert into account select $1, 5, repeat('again', 900) where not exists (select 1 from account where id = $1)`,
          [(id + 3) % 200],
        )
      }
      await client.query('commit')
      await client.query('select pg_sleep(0.01)')
    }
    return done
  })()
  return () => {
    over.is = true
    return going
  }
}

async function start(): Promise<void> {
  const ending = new AbortController()
  let server: Promise<unknown> = Promise.resolve()
  await new Promise<void>((resolve, reject) => {
    server = startServer(open, { signal: ending.signal, stallMs: 60_000, tell: it => it.kind === 'ready' && resolve() })
    server.catch(reject)
  })
  stopServer = async () => {
    ending.abort(new Error('stopped by the test'))
    await server
  }
}

/** What is done in it is in no change that the stream gives, and nobody looks: an open stream stops a table that was taken out. */
async function silently(...statements: readonly string[]): Promise<void> {
  await stopServer()
  const { rows } = await source.client.query<{ name: string }>(
    `select quote_ident(pubname) as name from pg_publication_tables where tablename = 'account'`,
  )
  const name = rows[0]?.name ?? ''
  await source.client.query(`alter publication ${name} drop table account`)
  for (const statement of statements) await source.client.query(statement)
  await source.client.query(`alter publication ${name} add table account`)
  await start()
}

const rows = (query: string): Promise<readonly Row[]> => reading(open, never, tx => tx.rows(rawSql(query)))
const again = (part: object = {}, selector = 'shop.account'): Promise<Resynced> =>
  resync(open, { selector, ...part, emit: it => void (it.kind === 'note' && told.push(it.text)), signal: never })

const mine = 'select id, balance::varchar, md5(note) as note from ods.account order by id'
const waits = { timeout: 120_000, interval: 100 }

async function expectSame(): Promise<void> {
  const wanted = await source.client.query('select id, balance::text, md5(note) as note from account order by id')
  const values = wanted.rows.map((row: Record<string, unknown>) => Object.values(row))
  await expect.poll(async () => (await rows(mine)).map(row => Object.values(row)), waits).toEqual(values)
}

test('a table is right again, row by row, while others write to it', async () => {
  const { client } = source
  await client.query(`
    create table account (id integer primary key, balance bigint not null, note text);
    alter table account alter column note set storage external;
    insert into account select i, 1000, repeat('long note ' || i, 400) from generate_series(0, 199) i;
    insert into account select i, 0, repeat('quiet ' || i, 900) from generate_series(2000, 2009) i`)
  await runProject(open, { selectors: [], hashControls: false, emit: () => {}, signal: never })
  await silently(
    `update account set balance = 7 where id in (1, 2000)`,
    `update account set note = 'other' where id = 2001`,
    `delete from account where id in (2, 2002)`,
    `insert into account values (3000, 1, null)`,
  )
  stopWriting = writing(await source.connect())
  const { tables } = await again()
  expect(tables[0]?.inserted).toBeGreaterThanOrEqual(1)
  expect(tables[0]?.updated).toBeGreaterThanOrEqual(2)
  expect(tables[0]?.deleted).toBeGreaterThanOrEqual(1)
  const [more] = (await again()).tables
  expect(more).toMatchObject({ inserted: 0, updated: 0, deleted: 0 })
  expect(await stopWriting()).toBeGreaterThan(10)
  await expectSame()
  expect(await rows('select count(*)::integer as n from naru.reject')).toEqual([{ n: 0 }])
}, 180_000)

test('a part of it is right again, and the rest stays as it was', async () => {
  await silently(
    `insert into account select i, 1, null from generate_series(4000, 4009) i`,
    `delete from account where id in (2003, 2008)`,
    `update account set balance = 9 where id in (2004, 2009)`,
  )
  const range = { range: { column: 'id', from: '2000', to: '2005' } }
  expect((await again(range)).tables[0]).toMatchObject({ inserted: 0, updated: 1, deleted: 1 })
  expect((await again({ where: 'id between 4000 and 4003' })).tables[0]).toMatchObject({ inserted: 4, updated: 0 })
  expect((await again({ where: 'id >= 2005' })).tables[0]).toMatchObject({ inserted: 6, updated: 1, deleted: 1 })
  expect((await again()).tables[0]).toMatchObject({ inserted: 0, updated: 0, deleted: 0 })
  const wrong = { code: 'RESYNC_WHERE', message: expect.stringContaining('with --where "balanc = 1"') as string }
  await expect(again({ where: 'balanc = 1' })).rejects.toMatchObject(wrong)
  const long = { where: `balanc in (${Array.from({ length: 500 }, (_, i) => i).join(', ')})` }
  const cut = await again(long).then(String, (error: unknown) => (error as Error).message)
  expect(cut).toMatch(/with --where "balanc in \(0, 1, .{150,200}…"/)
  expect(cut.length).toBeLessThan(800)
  expect(told.join('\n')).not.toContain('trying again')
  await expectSame()
}, 120_000)

test('a condition takes only rows for deleted that it finds and that the source has no more', async () => {
  await silently(
    `update account set balance = -5 where id = 4000`,
    `delete from account where id in (4001, 4002, 2006)`,
    `update account set balance = 50 where id = 4003`,
  )
  const own = { where: `balance = 1 and id::oid::text = id::text and current_setting('server_version_num')::int > 0` }
  expect((await again(own)).tables[0]).toMatchObject({ inserted: 0, updated: 0, deleted: 0 })
  expect(told.join('\n')).toMatch(/shop\.account: the engine cannot tell which staged rows the condition finds/)
  const [found] = (await again({ where: 'balance = 1' })).tables
  expect(found).toMatchObject({ inserted: 0, updated: 0, deleted: 2 })
  expect((await again()).tables[0]).toMatchObject({ inserted: 0, updated: 2, deleted: 1 })
  await expectSame()
}, 180_000)

test('a source whose slot is gone is installed anew, and its tables compared', async () => {
  await stopServer()
  const { client } = source
  await client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots')
  await client.query(`update account set balance = 77 where id = 2005; delete from account where id = 4009`)
  const run = (): Promise<unknown> =>
    runProject(open, { selectors: [], hashControls: false, emit: () => {}, signal: never })
  await expect(run()).rejects.toMatchObject({ code: 'POSITION_LOST' })
  const { tables, gap } = await again({}, 'shop')
  expect(tables).toEqual([{ table: 'shop.account', inserted: 0, updated: 1, deleted: 1, touched: 0 }])
  expect(gap).toContain('shop.account: what changed between ')
  await expectSame()
  await client.query('update account set balance = 78 where id = 2005')
  await run()
  await expectSame()
}, 180_000)

/** PostgreSQL, of which something happens between the first view that is opened and its first use. */
function withBehindView(happens: () => Promise<void>): typeof adapters {
  let isOver = false
  const { postgres } = adapters as { readonly postgres: AdapterImplementation }
  const open: AdapterImplementation['open'] = async () => {
    const { openAdapter } = await postgres.open()
    return {
      openAdapter: async given => {
        const adapter = await openAdapter(given)
        const tables = adapter.tables as NonNullable<typeof adapter.tables>
        const openSnapshot: typeof tables.openSnapshot = async signal => {
          const snapshot = await tables.openSnapshot(signal)
          if (!isOver) await happens()
          isOver = true
          return snapshot
        }
        return { ...adapter, tables: Object.assign(Object.create(tables) as typeof tables, { openSnapshot }) }
      },
    }
  }
  return { ...adapters, postgres: { ...postgres, open } }
}

test('a table that is emptied behind the view is read by a condition in the next one, which is not blamed', async () => {
  const empty = async (): Promise<void> => {
    await source.client.query(`truncate account; insert into account values (1, 1, 'again')`)
  }
  const options = { selector: 'shop.account', where: 'id < 9', signal: never, adapters: withBehindView(empty) }
  const texts: string[] = []
  await resync(open, { ...options, emit: it => void (it.kind === 'note' && texts.push(it.text)) })
  expect(texts.join('\n')).toContain('was truncated, rewritten or replaced after the read began')
  await expectSame()
}, 180_000)
