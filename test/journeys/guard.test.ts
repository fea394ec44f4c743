import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Client } from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { checkProject } from '../../src/app/check/check.ts'
import { resync } from '../../src/app/resync.ts'
import { runProject, type RunOutcome } from '../../src/app/run-project.ts'
import { leastPrivileges } from '../../src/app/check/privileges.ts'
import { sourceLags } from '../../src/app/check/source-lags.ts'
import type { OpenProject } from '../../src/app/project.ts'
import type { RunEvent } from '../../src/core/events.ts'
import { Secret } from '../../src/core/secret.ts'
import { defineConfig, duckdb, env, ods, pg, t } from '../../src/index.ts'
import { never } from '../../src/testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { makeProject } from '../support/project.ts'
import { follow, type Following } from '../support/scripted.ts'
import { placeIn } from '../support/place.ts'

let source: TestDatabase
let folder: string
let live: Following | undefined
const events: RunEvent[] = []

beforeAll(async () => {
  source = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '10', max_wal_senders: '10' })
  await source.client.query(`
    create table item (id integer primary key, name text);
    create table country (id integer primary key, name text);
    create table noise (id integer, filler text)`)
}, 120_000)
afterAll(() => source.stop())
afterEach(async () => {
  await live?.stop()
  live = undefined
  await rm(folder, { recursive: true, force: true })
  events.length = 0
})

type Technique = 'log' | 'trigger'

/** A project with a stream and a table that is polled, of a source that has nothing of an earlier test. */
async function project(technique: Technique, care: object): Promise<OpenProject> {
  await source.client.query(`
    select pg_drop_replication_slot(slot_name) from pg_replication_slots;
    drop publication if exists naru_shop; drop schema if exists naru_capture cascade;
    truncate item, country, noise; insert into item values (1, 'one'); insert into country values (1, 'here')`)
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-guard-'))
  const columns = { id: t.int(), name: t.text().null() }
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    every: '1s',
    compare: 'off',
    schema: { item: { key: ['id'], columns }, country: { key: ['id'], columns } },
    changes: { item: { technique } },
    ...care,
  })
  const item = ods.entity('item', { key: 'id', columns }).from(shop.item, r => ({ ...r }))
  const country = ods.entity('country', { key: 'id', columns }).from(shop.country, r => ({ ...r }))
  const models = { item: ods.export('item', item), country: ods.export('country', country) }
  return {
    project: defineConfig({ name: 'guarded', engine: duckdb({ path: 'data.duckdb' }), models }),
    ...placeIn(folder),
    secret: () => new Secret(source.url),
  }
}

const run = (open: OpenProject): Promise<RunOutcome> =>
  runProject(open, { selectors: [], hashControls: false, emit: event => void events.push(event), signal: never })

/** A run that leaves the tables of the stream as they are, and says why. */
async function expectLost(open: OpenProject, says: string): Promise<void> {
  const { stopped } = await run(open)
  expect(stopped.map(({ table, error }) => [table.name, error.code])).toEqual([['item', 'POSITION_LOST']])
  expect(stopped[0]?.error.message).toContain(says)
}

const told = (code: string): readonly string[] =>
  events.flatMap(event => (event.kind === 'note' && event.code === code ? [event.text] : []))

/** About four megabytes of log. */
const write = (client: Client): Promise<unknown> =>
  client.query(`insert into noise select n, repeat('x', 200) from generate_series(1, 12000) n`)

async function slots(): Promise<number> {
  const { rows } = await source.client.query<{ n: number }>('select count(*)::int as n from pg_replication_slots')
  return rows[0]?.n ?? -1
}

test('a paused source is read by its stream alone until that has caught up, and both are told', async () => {
  const open = await project('log', { guard: { bytes: 3_000_000, then: 'pause' } })
  await run(open)
  live = await follow({ open, events } as never)
  await live.untilRows('select name from ods.item', [['one']])
  // What an open transaction wrote is kept for the slot, however fast its changes are read.
  const holder = await source.connect()
  await holder.query('begin')
  await write(holder)
  const shop = (): { readonly isPaused: boolean } | undefined =>
    live?.status()?.sources.find(it => it.technique === 'log')
  await live.until(() => shop()?.isPaused === true, 'the pause')
  await source.client.query(`update country set name = 'there'; update item set name = 'two'`)
  await live.untilRows('select name from ods.item', [['two']])
  await live.until(() => told('GUARD_PAUSED').some(it => it.includes('waits until the stream')), 'a poll that waits')
  expect(await live.rows('select name from ods.country')).toEqual([{ name: 'here' }])
  expect(told('STREAM_LAG')).toHaveLength(1)
  expect(told('STREAM_LAG')[0]).toContain('guard.bytes is 3000000')

  await holder.query('commit')
  await holder.end()
  await live.until(async () => {
    await source.client.query('checkpoint')
    return shop()?.isPaused === false
  }, 'the end of the pause')
  await live.untilRows('select name from ods.country', [['there']])
  expect(told('STREAM_LAG')).toHaveLength(2)
  // Bytes and milliseconds of each table, the polled one as well.
  const [item, country] = ['shop.item', 'shop.country'].map(name =>
    live?.status()?.tables.find(it => it.table === name),
  )
  expect(item?.behindBytes?.p99).toBeGreaterThan(0)
  expect(item?.behindMs?.p99).toBeGreaterThanOrEqual(item?.behindMs?.p50 ?? Infinity)
  expect(country?.behindMs?.p99).toBeGreaterThan(0)
}, 120_000)

test('a slot that keeps too much is dropped: the stream says what is missed, and makes none again until it is read anew', async () => {
  const open = await project('log', { guard: { bytes: 3_000_000, then: 'drop' } })
  await run(open)
  live = await follow({ open, events } as never)
  await live.untilRows('select name from ods.item', [['one']])
  const holder = await source.connect()
  await holder.query('begin')
  await write(holder)
  const item = (): unknown => live?.status()?.tables.find(it => it.table === 'shop.item')?.error?.code
  await live.until(() => item() === 'POSITION_LOST', 'the guard')
  await live.until(async () => (await slots()) === 0, 'the slot to be gone')
  await holder.query('commit')
  await holder.end()
  expect(told('POSITION_LOST').at(-1)).toMatch(
    /guard.bytes is 3000000: the guard removed what kept its log.*are missed/,
  )
  await live.stop()
  live = undefined

  await expectLost(open, 'is gone')
  expect(await slots()).toBe(0)
  await source.client.query(`update item set name = 'three'`)
  await resync(open, { selector: 'shop', emit: () => {}, signal: never })
  expect(await slots()).toBe(1)
  live = await follow({ open, events } as never)
  await live.untilRows('select name from ods.item', [['three']])
}, 120_000)

test('change tables that grow too large are removed with their triggers, and a run says so before it reads', async () => {
  const open = await project('trigger', { guard: { bytes: 1_000_000, then: 'drop' } })
  await run(open)
  await source.client.query(`insert into item select n, repeat('x', 200) from generate_series(2, 6000) n`)
  const left = async (): Promise<unknown> =>
    (await source.client.query(`select to_regclass('naru_capture.item')::text as it`)).rows[0]
  expect(await left()).toEqual({ it: 'naru_capture.item' })
  await expectLost(open, 'the guard removed its triggers and their tables')
  expect(await left()).toEqual({ it: null })
  // The application writes on, and nothing of ours grows for nobody.
  await source.client.query(`update item set name = 'after'`)
  await expectLost(open, 'there is no change table any more')
  expect(await left()).toEqual({ it: null })
}, 120_000)

test('naru check --privileges prints what an administrator runs, by source and technique', async () => {
  const open = await project('log', {})
  expect(await leastPrivileges(open)).toEqual([
    expect.objectContaining({ source: 'shop', technique: 'log', tables: ['item'] }),
    expect.objectContaining({ source: 'shop', technique: 'full', tables: ['country'] }),
  ])
  const own = await makeProject({
    config: `import { defineConfig, duckdb, env, pg, t } from 'naru'
      const shop = pg('shop', { url: env('SHOP_URL'), changes: { item: { technique: 'trigger' } },
        schema: { item: { key: ['id'], columns: { id: t.int() } } } })
      export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: [shop] })`,
    variables: { SHOP_URL: 'postgres://reader:secret@127.0.0.1:1/shop' },
    folder,
  })
  const { status, stdout } = await own.naru(['check', '--privileges'])
  expect(status).toBe(0)
  expect(stdout).toContain('-- source shop, technique trigger: item')
  expect(stdout).toContain('grant create on database "shop" to "reader";')
  expect(stdout).not.toContain('secret')
})

test('what is kept while nobody reads is an alarm of check, is in the status, and is told by a run that begins', async () => {
  const open = await project('log', { lagAlarmBytes: 1_000_000 })
  expect(await sourceLags(open, never)).toEqual([])
  await run(open)
  const [well] = await sourceLags(open, never)
  expect(well).toMatchObject({ source: 'shop', technique: 'log', error: null })
  await write(source.client)
  const [kept] = await sourceLags(open, never)
  expect(kept?.lag?.bytes).toBeGreaterThan(1_000_000n)
  expect(kept?.error).toMatchObject({ code: 'STREAM_LAG', text: expect.stringContaining('lagAlarmBytes is 1000000') })
  const problems = await checkProject(open, never)
  expect(problems.filter(it => it.level === 'error')).toEqual([
    expect.objectContaining({ where: 'source shop, log', code: 'STREAM_LAG', exit: 1 }),
  ])
  events.length = 0
  await run(open)
  expect(told('STREAM_LAG')).toHaveLength(1)
  expect((await checkProject(open, never)).filter(it => it.level === 'error')).toEqual([])
  // Of a slot that is gone nothing is kept: neither a check nor a run says that a disk fills.
  await source.client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots')
  expect((await checkProject(open, never)).filter(it => it.level === 'error')).toEqual([
    expect.objectContaining({ where: 'source shop, log', code: 'POSITION_LOST', exit: 1 }),
  ])
  // A source that is away is said to be, and ends nothing.
  const away = { ...open, secret: () => new Secret('postgres://u:p@127.0.0.1:1/none') }
  expect(await sourceLags(away, never)).toMatchObject([{ lag: null, error: { code: 'SOURCE_UNREACHABLE' } }])
}, 120_000)
