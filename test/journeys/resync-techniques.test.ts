import { createHmac } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openProjectBus } from '../../src/app/bus.ts'
import { openEngine, type OpenProject } from '../../src/app/project.ts'
import { reading } from '../../src/app/read.ts'
import { resync } from '../../src/app/resync.ts'
import type { Resynced } from '../../src/app/resync/request.ts'
import { runProject } from '../../src/app/run-project.ts'
import { openStream } from '../../src/app/stream/session.ts'
import { streamsOf, type StreamDef } from '../../src/app/stream/streams.ts'
import { Secret } from '../../src/core/secret.ts'
import { rawSql } from '../../src/core/sql.ts'
import { defineConfig, duckdb, env, events, ods, pg, t } from '../../src/index.ts'
import { never } from '../../src/testing/engine.ts'
import { freePort } from '../servers/server.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { placeIn } from '../support/place.ts'

// Tables that follow an outbox or a flag are read again like those of a log: what passed the technique by comes in.

let source: TestDatabase
let folder: string
let port: number
const hookSecret = 'a secret that is long enough, of forty characters'
let open: OpenProject

beforeAll(async () => {
  source = await startTestDatabase()
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-resync-how-'))
  port = await freePort()
  open = project()
}, 120_000)
afterAll(async () => {
  await source?.stop()
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
})

function project(): OpenProject {
  const columns = { id: t.int(), note: t.text().null() }
  const flagged = { id: t.int(), note: t.text().null(), sent: t.bool() }
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    schema: {
      told: { key: ['id'], columns },
      swept: { key: ['id'], columns: flagged },
      kept: { key: ['id'], columns: flagged },
    },
    changes: {
      told: { technique: 'event' },
      swept: { technique: 'status', column: 'sent', pending: false, done: true, deletes: { sweep: '1d' } },
      kept: { technique: 'status', column: 'sent', pending: false, done: true, deletes: 'keep' },
    },
  })
  const hook = events('hook', { port, secret: env('HOOK'), schema: { sent: { key: ['id'], columns } } })
  const of = { key: 'id', columns } as const
  return {
    project: defineConfig({
      name: 'again',
      engine: duckdb({ path: 'data.duckdb' }),
      models: {
        told: ods.export(
          'told',
          ods.entity('told', of).from(shop.told, r => ({ ...r })),
        ),
        swept: ods.export(
          'swept',
          ods.entity('swept', of).from(shop.swept, r => ({ id: r.id, note: r.note })),
        ),
        kept: ods.export(
          'kept',
          ods.entity('kept', of).from(shop.kept, r => ({ id: r.id, note: r.note })),
        ),
        sent: ods.export(
          'sent',
          ods.entity('sent', of).from(hook.sent, r => ({ ...r })),
        ),
      },
    }),
    ...placeIn(folder),
    secret: ref => new Secret(ref.name === 'HOOK' ? hookSecret : source.url),
  }
}

const given = { emit: () => {}, signal: never }
const again = (selector: string): Promise<Resynced> => resync(open, { selector, ...given })
const run = () => runProject(open, { selectors: ['shop'], hashControls: false, ...given })

test('rows that passed the technique by are found, once, and what the config keeps is kept', async () => {
  const { client } = source
  await client.query(`create table told (id integer primary key, note text)`)
  for (const table of ['swept', 'kept']) {
    await client.query(`create table ${table} (id integer primary key, note text, sent boolean not null)`)
  }
  const all = ['told', 'swept', 'kept']
  for (const table of all) {
    const flag = table === 'swept' || table === 'kept' ? ', false' : ''
    await client.query(`insert into ${table} select i, 'n' || i${flag} from generate_series(1, 9) i`)
  }
  await run()
  for (const table of all) {
    const flag = table === 'swept' || table === 'kept' ? ', true' : ''
    await client.query(`update ${table} set note = 'other' where id = 3`)
    await client.query(`delete from ${table} where id = 4`)
    await client.query(`insert into ${table} values (20, 'new'${flag})`)
  }
  for (const table of all) {
    const found = { table: `shop.${table}`, inserted: 1, updated: 1, deleted: table === 'kept' ? 0 : 1 }
    expect((await again(`shop.${table}`)).tables).toMatchObject([found])
    expect((await again(`shop.${table}`)).tables).toMatchObject([{ ...found, inserted: 0, updated: 0, deleted: 0 }])
    const rows = await reading(open, never, tx => tx.rows(rawSql(`select id, note from ods.${table} order by id`)))
    const expected = [1, 2, 3, 4, 5, 6, 7, 8, 9, 20].map(id => ({ id, note: id === 3 ? 'other' : id === 20 ? 'new' : `n${id}` })) // prettier-ignore
    expect(rows).toEqual(expected.filter(it => it.id !== 4 || table === 'kept'))
  }
}, 120_000)

test('events that an outbox gave are not read, nor removed: subscribers keep theirs, and rows that stand alone theirs', async () => {
  const before = await places()
  const bus = await openProjectBus(open, () => {})
  const topic = await bus.openTopic('changes.shop.event', { keepBytes: 0 })
  await (await topic.subscribe('billing', 'start')).close()
  const waiting = (await topic.subscribers())[0]?.messages ?? 0
  await bus.close()
  await source.client.query(`insert into told values (30, 'silent')`)
  await again('shop')
  const after = await openProjectBus(open, () => {})
  const [kept] = await (await after.openTopic('changes.shop.event', { keepBytes: 0 })).subscribers()
  await after.close()
  expect(waiting).toBeGreaterThan(0)
  expect(kept).toMatchObject({ name: 'billing' })
  expect(kept?.messages).toBeGreaterThanOrEqual(waiting)
  expect(await places()).toEqual(before)
  const rows = await reading(open, never, tx => tx.rows(rawSql('select note from ods.told where id = 30')))
  expect(rows).toEqual([{ note: 'silent' }])
}, 120_000)

const places = () =>
  reading(open, never, tx => tx.rows(rawSql(`select log from naru.stream where source = 'shop' and "table" = 'told'`)))

test('events of a receiver are told once: the error says what to do instead', async () => {
  for (const asked of ['hook.sent', 'hook']) {
    await expect(again(asked)).rejects.toMatchObject({
      code: 'RESYNC_TOLD_ONCE',
      fix: expect.stringContaining('send the rows again') as string,
    })
  }
}, 60_000)

test('events that were answered and not taken yet are taken before anything is removed', async () => {
  await runProject(open, { selectors: ['hook'], hashControls: false, ...given })
  const engine = await openEngine(open, 'write')
  const bus = await openProjectBus(open, () => {})
  const def = streamsOf(open.project.sources).find(it => it.source.name === 'hook') as StreamDef
  const stream = await openStream({ open, engine, bus, ...given }, def)
  await stream.reader.opened(never)
  await send({ table: 'sent', op: 'insert', key: { id: 1 }, row: { id: 1, note: 'answered' } })
  await stream.close()
  await bus.close()
  await engine.close()
  await expect(again('hook')).rejects.toMatchObject({ code: 'RESYNC_TOLD_ONCE' })
  expect(await reading(open, never, tx => tx.rows(rawSql('select * from ods.sent')))).toMatchObject([
    { id: 1, note: 'answered' },
  ])
}, 60_000)

/** Posts an event, and has it answered. */
async function send(event: object): Promise<void> {
  const body = JSON.stringify(event)
  const seconds = Math.floor(Date.now() / 1000)
  const hex = createHmac('sha256', hookSecret).update(`${seconds}\nk1\n${body}`).digest('hex')
  const headers = { 'naru-signature': `t=${seconds},v1=${hex}`, 'idempotency-key': 'k1' }
  const answer = await fetch(`http://127.0.0.1:${port}/events`, { method: 'POST', headers, body })
  expect(answer.status).toBe(200)
}
