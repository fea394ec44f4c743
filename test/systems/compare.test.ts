import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { OpenProject } from '../../src/app/project.ts'
import { openEngine } from '../../src/app/project.ts'
import { runProject } from '../../src/app/run-project.ts'
import { Secret } from '../../src/core/secret.ts'
import { rawSql } from '../../src/core/sql.ts'
import { defineConfig, duckdb, env, ods, pg, t } from '../../src/index.ts'
import type { Row } from '../../src/services/engine/contract.ts'
import { never } from '../../src/testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { placeIn } from '../support/place.ts'

let source: TestDatabase
let folder: string
let open: OpenProject
let stopWriting: (() => Promise<unknown>) | undefined

beforeAll(async () => {
  source = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '10', max_wal_senders: '10' })
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-compare-pg-'))
  open = project()
}, 300_000)
afterAll(async () => {
  await stopWriting?.()
  await source.stop()
  await rm(folder, { recursive: true, force: true })
})

function project(): OpenProject {
  const columns = { id: t.int(), body: t.text().null(), amount: t.float().null(), at: t.timestamp().null() }
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    chunkRows: 40,
    schema: {
      account: { key: ['id'], columns },
      word: { key: ['word'], columns: { word: t.text(), n: t.int() } },
      doc: { key: ['id'], columns: { id: t.int(), body: t.text().null() } },
    },
    changes: { account: { technique: 'log' }, word: { technique: 'log' }, doc: { technique: 'event' } },
  })
  const account = ods.entity('account', { key: 'id', columns }).from(shop.account, r => ({ ...r }))
  const word = ods
    .entity('word', { key: 'word', columns: { word: t.text(), n: t.int() } })
    .from(shop.word, r => ({ ...r }))
  const doc = ods
    .entity('doc', { key: 'id', columns: { id: t.int(), body: t.text().null() } })
    .from(shop.doc, r => ({ ...r }))
  return {
    project: defineConfig({
      name: 'compared',
      engine: duckdb({ path: 'data.duckdb' }),
      models: { account: ods.export('account', account), word: ods.export('word', word), doc: ods.export('doc', doc) },
    }),
    ...placeIn(folder),
    secret: () => new Secret(source.url),
  }
}

async function rows(query: string): Promise<readonly Row[]> {
  const engine = await openEngine(open, 'read')
  try {
    return await engine.transaction(never, tx => tx.rows(rawSql(query)))
  } finally {
    await engine.close()
  }
}

const run = () => runProject(open, { selectors: [], hashControls: false, emit: () => {}, signal: never })

/** Inserts, updates and deletes, each transaction of several rows, until it is stopped. */
function writes(client: Client, seed: number): { stop(): Promise<number> } {
  const over = { is: false }
  const going = (async () => {
    let done = 0
    for (; !over.is; done++) {
      await open.env.clock.sleep(5)
      const id = (done * 37 + seed * 11) % 200
      await client.query('begin')
      await client.query(
        `insert into account values ($1, 'new', 0.1, now()) on conflict (id) do
        update set body = 'v' || $2::text, amount = account.amount + 0.1, at = clock_timestamp()`,
        [id, done],
      )
      if (done % 3 === 0) await client.query('delete from account where id = $1', [(id + 1) % 200])
      await client.query(`insert into word values ($1, 1) on conflict (word) do update set n = word.n + 1`, [
        ['Äpfel', 'apple', 'Zoo', 'zebra', 'éclair', '"q"'][done % 6],
      ])
      await client.query(done % 5 === 0 ? 'rollback' : 'commit')
    }
    return done
  })()
  return {
    stop: () => {
      over.is = true
      return going
    },
  }
}

test('writers at the source make no false alarm, and quiet tables are found equal', async () => {
  await source.client.query(`
    create table account (id integer primary key, body text, amount double precision, at timestamp);
    create table word (word text primary key, n integer not null);
    create table doc (id integer primary key, body text);
    insert into account select i, 'body ' || i, i / 3.0, now() from generate_series(0, 199) i;
    insert into word select md5(i::text), i from generate_series(1, 100) i;
    insert into doc select i, 'doc ' || i from generate_series(1, 90) i`)
  expect((await run()).differing).toEqual([])
  const writers = [writes(await source.connect(), 1), writes(await source.connect(), 2)]
  const stopAll = () => Promise.all(writers.map(it => it.stop()))
  stopWriting = stopAll
  for (let i = 0; i < 3; i++) expect((await run()).differing).toEqual([])
  const done = await stopAll()
  expect(Math.min(...done)).toBeGreaterThan(4)
  for (let i = 0; i < 3; i++) expect((await run()).differing).toEqual([])
  expect(await rows('select * from naru.comparison where equal = false')).toEqual([])
  const compared = await rows(
    `select "table" as name, bool_or(equal) as equal from naru.comparison group by all order by all`,
  )
  expect(compared).toEqual(['account', 'doc', 'word'].map(name => ({ name, equal: true })))
}, 300_000)

test('a writer that tells nothing to the outbox is found, and its keys are named', async () => {
  await source.client.query(`update doc set body = 'silent' where id = 7`)
  await source.client.query(`delete from doc where id = 60`)
  const found: unknown[] = []
  for (let i = 0; i < 2; i++) found.push(...(await run()).differing)
  expect(found.length).toBeGreaterThan(0)
  const keys = await rows(`select distinct keys from naru.comparison where equal = false order by keys`)
  expect(keys).toEqual([
    { keys: '[{"key":"60","what":"not in the source"}]' },
    { keys: '[{"key":"7","what":"different"}]' },
  ])
}, 180_000)

test('a target that is stopped does not fill the source: what it missed is an error, and the rows stay', async () => {
  const { client } = source
  await client.query(`alter system set max_slot_wal_keep_size = '1MB'`)
  await client.query('select pg_reload_conf()')
  const status = async (): Promise<unknown> =>
    (await client.query(`select wal_status from pg_replication_slots where slot_name = 'naru_shop'`)).rows[0]
      ?.wal_status
  for (let i = 0; i < 20 && (await status()) !== 'lost'; i++) {
    await client.query(`update account set body = 'while it was stopped'`)
    await client.query('select pg_switch_wal()')
    await client.query('checkpoint')
  }
  expect(await status()).toBe('lost')
  const { stopped } = await run()
  expect(stopped.map(it => it.table.name).sort()).toEqual(['account', 'word'])
  expect(stopped[0]?.error).toMatchObject({
    code: 'POSITION_LOST',
    message: expect.stringContaining('wal_status lost') as string,
  })
  const [row] = await rows('select count(*)::integer as n from ods.account')
  expect(Number(row?.['n'])).toBeGreaterThan(100)
}, 180_000)
