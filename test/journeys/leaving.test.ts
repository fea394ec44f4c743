import { mkdtemp, readdir, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { OpenProject } from '../../src/app/project.ts'
import { leftBehind } from '../../src/app/check/leftovers.ts'
import type { ServerEvent } from '../../src/app/server/report.ts'
import { startServer } from '../../src/app/server/start.ts'
import { resync } from '../../src/app/resync.ts'
import { runProject } from '../../src/app/run-project.ts'
import { openTrialSource } from '../../src/app/advise/trial-source.ts'
import { rememberStream } from '../../src/app/stream/installed.ts'
import { capturedTable } from '../../src/app/stream/streams.ts'
import type { SourceDef } from '../../src/config/model.ts'
import type { Captures } from '../../src/services/adapter/contract-capture.ts'
import { Secret } from '../../src/core/secret.ts'
import { defineConfig, duckdb, env, ods, pg, t } from '../../src/index.ts'
import type { RunEvent } from '../../src/core/events.ts'
import { never } from '../../src/testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { checkLeft, installStreams, statementsOf, type FoundLeft } from '../support/installed.ts'
import { placeIn } from '../support/place.ts'

type Technique = 'trigger' | 'log' | 'event' | 'full'

let source: TestDatabase
const folders: string[] = []

beforeAll(async () => {
  source = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '10', max_wal_senders: '10' })
}, 180_000)
afterAll(async () => {
  await source?.stop()
})
beforeEach(async () => {
  await source.client.query(`
    drop table if exists item, place; drop schema if exists naru_capture cascade;
    select pg_drop_replication_slot(slot_name) from pg_replication_slots; drop publication if exists naru_shop;
    create table item (id integer primary key, label text); insert into item values (1, 'a');
    create table place (id integer primary key, label text); insert into place values (1, 'p')`)
})
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function folder(): Promise<string> {
  const made = await mkdtemp(path.join(os.tmpdir(), 'naru-leaving-'))
  folders.push(made)
  return made
}

/** A project in a folder: what a person has after an edit of the config is another call with the same folder. */
function project(
  at: string,
  { item, place }: { readonly item: Technique; readonly place: Technique },
  more: { readonly name?: string; readonly url?: string } = {},
): OpenProject {
  const columns = { id: t.int(), label: t.text().null() }
  const shop = pg(more.name ?? 'shop', {
    url: env('SHOP_URL'),
    schema: { item: { key: ['id'], columns }, place: { key: ['id'], columns } },
    changes: { item: { technique: item }, place: { technique: place } } as never,
  })
  const items = ods.entity('item', { key: 'id', columns }).from(shop.item, r => ({ ...r }))
  const places = ods.entity('place', { key: 'id', columns }).from(shop.place, r => ({ ...r }))
  return {
    project: defineConfig({
      name: 'leaving',
      engine: duckdb({ path: 'data.duckdb' }),
      models: { item: ods.export('item', items), place: ods.export('place', places) },
    }),
    ...placeIn(at),
    secret: () => new Secret(more.url ?? source.url),
  }
}

/** What a run tells of what was left. */
async function run(open: OpenProject): Promise<readonly string[]> {
  const events: RunEvent[] = []
  await runProject(open, { selectors: [], hashControls: false, signal: never, emit: event => void events.push(event) })
  return notesOf(events)
}

function notesOf(events: readonly RunEvent[]): readonly string[] {
  return events.flatMap(it => (it.kind === 'note' && it.code?.startsWith('CAPTURE_') === true ? [it.text] : []))
}

/** What a run tells and forgets before it reads anything. */
async function beginRun(open: OpenProject): Promise<readonly string[]> {
  return (await leftBehind(open, { signal: never, forgets: true })).map(it => it.error.message)
}

async function doAsTold(left: FoundLeft | undefined): Promise<void> {
  await source.client.query(statementsOf(left as FoundLeft))
}

async function count(query: string): Promise<number> {
  const { rows } = await source.client.query<{ n: number }>(`select count(*)::integer as n from ${query}`)
  return rows[0]?.n ?? -1
}

test('a table that is left out of its triggers, then the whole technique, are told with what removes exactly that', async () => {
  const at = await folder()
  expect(await run(project(at, { item: 'trigger', place: 'trigger' }))).toEqual([])
  expect(await checkLeft(project(at, { item: 'trigger', place: 'trigger' }))).toEqual([])

  const less = project(at, { item: 'trigger', place: 'full' })
  const [told, ...others] = await run(less)
  expect(others).toEqual([])
  expect(told).toContain('the change table "naru_capture"."place" with the triggers on "place"')
  await source.client.query(`insert into place values (2, 'q')`)
  const [left, ...more] = await checkLeft(less)
  expect(more).toEqual([])
  expect(left).toMatchObject({ code: 'CAPTURE_LEFT' })
  expect(left?.message).toMatch(/trigger.*"place".*a second time, for ever.*bytes/)
  expect(left?.fix).not.toContain('item')
  // A server tells it once, however many commands are handed to it.
  const atServer = await ofServer(less, () =>
    runProject(less, { selectors: [], hashControls: false, emit: () => {}, signal: never }),
  )
  expect(atServer).toHaveLength(1)
  expect(atServer[0]).toContain('"naru_capture"."place"')
  await doAsTold(left)
  // The stream of the other table goes on, or the check would have an error.
  expect(await checkLeft(less)).toEqual([])
  expect(await count(`pg_trigger where tgrelid = 'item'::regclass and not tgisinternal`)).toBe(4)
  expect(await count(`pg_trigger where tgrelid = 'place'::regclass and not tgisinternal`)).toBe(0)

  const log = project(at, { item: 'log', place: 'full' })
  expect((await beginRun(log)).join()).toContain('"naru_capture"."item"')
  const [whole] = await checkLeft(log)
  await doAsTold(whole)
  expect(await count(`pg_namespace where nspname = 'naru_capture'`)).toBe(0)
  expect(await checkLeft(log)).toEqual([])
  expect(await beginRun(log)).toEqual([])
  expect(await readdir(path.join(at, '.naru', 'installed'))).toEqual([])
})

test.each(['in their order', 'in the other order'])(
  'of two tables that triggers left, each statement removes its own and the last one the rest, %s',
  async order => {
    const at = await folder()
    await installStreams(project(at, { item: 'trigger', place: 'trigger' }))
    const none = project(at, { item: 'full', place: 'full' })
    const found = await checkLeft(none)
    expect(found).toHaveLength(2)
    const [first, second] = order === 'in their order' ? found : found.toReversed()
    const rest = first?.message.includes('"place"') === true ? 'item' : 'place'
    await doAsTold(first)
    expect(await count(`pg_trigger where tgrelid = '${rest}'::regclass and not tgisinternal`)).toBe(4)
    await doAsTold(second)
    expect(await count(`pg_namespace where nspname = 'naru_capture'`)).toBe(0)
    // Whoever runs them twice breaks nothing, and what is not ours stays.
    await source.client.query('create schema naru_capture; create table naru_capture.theirs (id integer)')
    for (const it of found) await doAsTold(it)
    expect(await count('naru_capture.theirs')).toBe(0)
    await source.client.query('drop schema naru_capture cascade')
    expect(await checkLeft(none)).toEqual([])
  },
)

/** What a server tells of leftovers, from its start to behind what it is asked for then. */
async function ofServer(open: OpenProject, ask: () => Promise<unknown>): Promise<readonly string[]> {
  const told: string[] = []
  const ending = new AbortController()
  let isReady = false
  let note = (): void => {}
  const known = new Promise<void>(resolve => (note = resolve))
  const tell = (event: ServerEvent): void => {
    if (event.kind === 'ready') isReady = true
    else if (event.code?.startsWith('CAPTURE_LEFT') === true) told.push(event.text)
    if (isReady && told.length > 0) note()
  }
  const ended = startServer(open, { signal: ending.signal, tell, stallMs: 60_000 })
  await Promise.race([known, ended])
  await ask()
  await ask()
  ending.abort(new Error('stopped by the test'))
  await ended
  return told
}

test('a slot that nobody reads, its publication, and a table that is left in it are told, and what keeps the log', async () => {
  const at = await folder()
  await installStreams(project(at, { item: 'log', place: 'log' }))
  const less = project(at, { item: 'log', place: 'full' })
  const [published] = await checkLeft(less)
  expect(published?.message).toContain('table "place" in the publication "naru_shop"')
  await doAsTold(published)
  expect(await checkLeft(less)).toEqual([])
  expect(await count(`pg_publication_tables where pubname = 'naru_shop'`)).toBe(1)

  const none = project(at, { item: 'full', place: 'full' })
  const found = await checkLeft(none)
  expect(found.map(it => it.message.includes('slot "naru_shop"'))).toEqual([true, false])
  expect(found[0]?.fix).toMatch(/run at the source, as a superuser or an account with REPLICATION: select pg_drop/)
  expect(found[1]?.fix).toMatch(/as the owner of the publication/)
  expect(found[0]?.message).toMatch(/all of its log .* until the disk is full, .*: \d+ bytes/)
  expect(await beginRun(none)).toHaveLength(2)
  for (const it of found) await doAsTold(it)
  expect(await count('pg_replication_slots')).toBe(0)
  expect(await count('pg_publication')).toBe(0)
  expect(await beginRun(none)).toEqual([])
  expect(await readdir(path.join(at, '.naru', 'installed'))).toEqual([])
})

test('an outbox that is left is told, and that the application must end first', async () => {
  const at = await folder()
  await installStreams(project(at, { item: 'event', place: 'full' }))
  const left = project(at, { item: 'full', place: 'full' })
  const [outbox] = await checkLeft(left)
  expect(outbox?.message).toMatch(/the outbox "naru_capture"."outbox".*Let the application write there no more, first/)
  await doAsTold(outbox)
  expect(await checkLeft(left)).toEqual([])
})

test('what other projects made is never claimed, whatever it is called', async () => {
  const [ours, theirs] = [await folder(), await folder()]
  // The same database, the same name of the source, the same names at the source: only they made it.
  await installStreams(project(theirs, { item: 'trigger', place: 'log' }))
  const mine = project(ours, { item: 'full', place: 'full' })
  expect(await beginRun(mine)).toEqual([])
  expect(await checkLeft(mine)).toEqual([])

  // Ours, which they have made anew since: it is theirs.
  await installStreams(project(ours, { item: 'event', place: 'full' }))
  await source.client.query('drop schema naru_capture cascade')
  await installStreams(project(theirs, { item: 'event', place: 'full' }, { name: 'other' }))
  expect(await checkLeft(mine)).toEqual([])
  expect(await count('naru_capture.outbox')).toBe(0)

  // What somebody reads.
  const held = await folder()
  await source.client.query('drop schema naru_capture cascade')
  await installStreams(project(held, { item: 'trigger', place: 'full' }))
  const left = project(held, { item: 'full', place: 'full' })
  await source.client.query(`select pg_advisory_lock(hashtextextended('naru_capture trigger', 0))`)
  expect(await checkLeft(left)).toEqual([])
  await source.client.query('select pg_advisory_unlock_all()')
  expect(await checkLeft(left)).toHaveLength(1)

  // Tables that they capture beside ours, in the one schema that a database has for it.
  await source.client.query('drop schema naru_capture cascade')
  const [first, second] = [await folder(), await folder()]
  await installStreams(project(first, { item: 'trigger', place: 'full' }))
  await installStreams(project(second, { item: 'full', place: 'trigger' }, { name: 'other' }))
  const [alone, ...more] = await checkLeft(project(first, { item: 'full', place: 'full' }))
  expect(more).toEqual([])
  await doAsTold(alone)
  expect(await count(`pg_trigger where tgrelid = 'item'::regclass and not tgisinternal`)).toBe(0)
  expect(await count(`pg_trigger where tgrelid = 'place'::regclass and not tgisinternal`)).toBe(4)
})

test('a second project that captures where another does is refused by name, and a resync takes nothing of the other', async () => {
  const first = project(await folder(), { item: 'trigger', place: 'full' })
  expect(await run(first)).toEqual([])
  const second = project(await folder(), { item: 'full', place: 'trigger' }, { name: 'other' })
  const held = /triggers and change tables of this database belong to source "shop" of the project "leaving" \(/
  await expect(checkLeft(second)).rejects.toThrow(held)
  await expect(resync(second, { selector: 'other', signal: never, emit: () => {} })).rejects.toThrow(held)
  expect(await count(`pg_trigger where tgrelid = 'place'::regclass and not tgisinternal`)).toBe(0)
  expect(await count(`pg_trigger where tgrelid = 'item'::regclass and not tgisinternal`)).toBe(4)
  // The first goes on where it was, and its own resync keeps it the owner.
  await source.client.query(`insert into item values (2, 'b')`)
  expect(await checkLeft(first)).toEqual([])
  expect((await resync(first, { selector: 'shop', signal: never, emit: () => {} })).tables).toHaveLength(1)
  await expect(checkLeft(second)).rejects.toThrow(held)
}, 120_000)

test('where the source cannot be looked at, it is told with what would remove it, and nothing fails', async () => {
  const at = await folder()
  await installStreams(project(at, { item: 'trigger', place: 'trigger' }))
  const { client } = source
  await client.query(
    `drop role if exists reader; create role reader login password 'r'; grant select on item, place to reader`,
  )
  const url = new URL(source.url)
  url.username = 'reader'
  url.password = 'r'
  const [hidden] = await checkLeft(project(at, { item: 'full', place: 'full' }, { url: url.href }))
  expect(hidden).toMatchObject({ code: 'CAPTURE_LEFT_UNSEEN' })
  expect(hidden?.message).toContain('may not read naru_capture.naru_stream')

  // A source that is called otherwise now: of the old name nobody knows the address any more.
  const renamed = project(at, { item: 'full', place: 'full' }, { name: 'store' })
  const [gone] = await checkLeft(renamed)
  expect(gone?.message).toContain('is in the configuration no more')
  expect(gone?.message).not.toContain(':r@')
  const file = /delete (\S+\.json)/.exec(gone?.fix ?? '')?.[1] ?? ''
  const statements = /nobody else uses it: (.*) Once it is gone/.exec(gone?.fix ?? '')?.[1] ?? ''
  await client.query(statements)
  expect(await count(`pg_trigger where tgname like '0_naru%'`)).toBe(0)
  await rm(file)
  expect(await checkLeft(renamed)).toEqual([])
  await client.query('drop owned by reader; drop role reader')
})

test('what a trial that was killed made at the source is told with what removes it', async () => {
  const open = project(await folder(), { item: 'full', place: 'full' })
  const [shop] = open.project.sources as [SourceDef]
  const { named, adapter } = await openTrialSource(open, shop)
  for (const technique of ['trigger', 'log'] as const) {
    const captures = adapter.captures?.[technique] as Captures
    const tables = shop.tables.filter(it => it.name === 'item').map(capturedTable)
    const def = { source: named, technique }
    await rememberStream(open, { def, adapter, captures, tables }, await captures.install(tables, never))
  }
  await adapter.close()
  const told = await checkLeft(open)
  expect(told.map(it => it.message).join()).toMatch(
    /slot "naru_shop_trial".*"naru_capture"."item" with the triggers on "item"/,
  )
  for (const left of told) await doAsTold(left)
  expect(await count('pg_replication_slots')).toBe(0)
  expect(await count(`pg_namespace where nspname = 'naru_capture'`)).toBe(0)
  expect(await beginRun(open)).toEqual([])
})

test('a stream that goes on elsewhere is told to be left at the place where it was', async () => {
  const at = await folder()
  await installStreams(project(at, { item: 'trigger', place: 'full' }))
  const moved = new URL(source.url)
  moved.hostname = moved.hostname === 'localhost' ? '127.0.0.1' : 'localhost'
  const elsewhere = project(at, { item: 'full', place: 'full' }, { url: moved.href })
  const [left] = await checkLeft(elsewhere)
  expect(left).toMatchObject({ code: 'CAPTURE_LEFT_UNSEEN' })
  expect(left?.message).toContain(`the source is at ${moved.host}`)
})
