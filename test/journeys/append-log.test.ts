import fc from 'fast-check'
import type { Client } from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { checkProject } from '../../src/app/check/check.ts'
import { undoLoad } from '../../src/app/undo.ts'
import { resync } from '../../src/app/resync.ts'
import type { Project } from '../../src/config/model.ts'
import { Secret, type SecretRef } from '../../src/core/secret.ts'
import { defineConfig, duckdb, env, ods, pg, postgres, t } from '../../src/index.ts'
import { never } from '../../src/testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { follow } from '../support/scripted.ts'
import { expectLaw, happened, logProject, type LogProject } from '../support/append-log.ts'

vi.setConfig({ testTimeout: 240_000 })

let server: TestDatabase
beforeAll(async () => {
  server = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '20', max_wal_senders: '20' })
}, 180_000)
afterAll(() => server.stop())

function project(
  slot: string,
  contract: { readonly added?: 'evolve' } = {},
  engine = duckdb({ path: 'data.duckdb' }),
): Project {
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    slot,
    chunkRows: 50,
    schema: {
      visit: { key: 'append', columns: { moment: t.int().null(), what: t.text().null(), size: t.float().null() } },
    },
    changes: { visit: { technique: 'log' } },
    contract,
  })
  const visit = ods
    .entity('visit', {
      key: ['load', 'line'],
      columns: { load: t.big(), line: t.big(), op: t.text(), what: t.text().null() },
    })
    .from(shop.visit, r => ({ load: r.log_load, line: r.log_line, op: r.log_op, what: r.what }))
  return defineConfig({
    name: 'visits',
    engine,
    models: { visit: ods.export('visit', visit) },
  })
}

/** The same table once its rows have a key. */
function keyedProject(slot: string): Project {
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    slot,
    schema: { visit: { key: ['moment'], columns: { moment: t.int(), what: t.text().null(), size: t.float().null() } } },
    changes: { visit: { technique: 'log' } },
  })
  return defineConfig({ name: 'visits', engine: duckdb({ path: 'data.duckdb' }), models: [shop] })
}

interface Visits extends LogProject {
  readonly db: Client
  readonly slot: string
  /** Writes in transactions of many kinds until it is stopped. */
  write(): { stop(): Promise<number> }
}

let made = 0
async function visits(rows: number): Promise<Visits> {
  made += 1
  const slot = `visits_${made}`
  await server.client.query(`create database ${slot}`)
  const url = server.urlWith({ database: slot })
  const db = await server.connect(url)
  await db.query(`
    create table visit (moment integer, what text, size float);
    alter table visit replica identity full;
    alter table visit alter column what set storage external;
    insert into visit select i % 7, 'page', null from generate_series(1, ${rows}) i`)
  const writer = await server.connect(url)
  return { ...(await logProject(project(slot), url)), db, slot, write: () => writing(writer) }
}

function writing(client: Client): { stop(): Promise<number> } {
  const over = { is: false }
  const some = (n: number): string => `ctid in (select ctid from visit order by random() limit ${n})`
  const going = (async () => {
    let done = 0
    for (; !over.is; done++) {
      await client.query('begin')
      await client.query(
        `insert into visit select ${done % 5}, 'more', null from generate_series(1, ${1 + (done % 4)})`,
      )
      await client.query(`update visit set moment = moment + 1 where ${some(3)}`)
      await client.query(`delete from visit where ${some(2)}`)
      await client.query(done % 6 === 5 ? 'rollback' : 'commit')
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

async function lawOf(it: Visits): Promise<void> {
  const { rows } = await it.db.query<{ row: string }>(
    `select coalesce(moment::text, '-') || '|' || coalesce(what, '-') as row from visit`,
  )
  await expectLaw(
    it,
    rows.map(({ row }) => row),
  )
}

test('every change of a table without a key is a row, and equal rows stay as many as they are', async () => {
  const it = await visits(210)
  await it.run()
  expect(it.events).toContainEqual(expect.objectContaining({ code: 'APPEND_LOG' }))
  expect(await happened(it)).toEqual({ read: 210 })
  await it.db.query(`insert into visit values (1, 'page', null), (1, 'page', null), (null, null, 'NaN')`)
  await it.db.query(`update visit set what = repeat('long ', 2000) where moment = 2`)
  await it.db.query(`update visit set moment = 70 where moment = 2`)
  await it.db.query(`delete from visit where ctid in (select ctid from visit where moment = 1 limit 5)`)
  expect((await it.run()).stopped).toEqual([])
  const all = { read: 210, insert: 3, before: 60, after: 60, delete: 5 }
  expect(await happened(it)).toEqual(all)
  await lawOf(it)
  const told = await it.rows('select op, count(*)::integer as n from export.visit group by all')
  expect(Object.fromEntries(told.map(({ op, n }) => [op, n]))).toEqual(all)
  await it.run()
  expect(await happened(it)).toEqual(all)

  const [last] = await it.rows('select max(log_load) as load from staging.shop_visit')
  await undoLoad(it.open, {
    load: String(last?.['load']),
    cascade: false,
    keepPosition: false,
    emit: () => {},
    signal: never,
  })
  expect(await happened(it)).toEqual({ read: 210 })
  const left = await it.rows('select count(*)::integer as n from export.visit')
  expect(left).toEqual([{ n: 210 }])
})

test('a column that is taken in begins the log anew', async () => {
  const made = await visits(20)
  const it = { ...made, ...made.with(project(made.slot, { added: 'evolve' })) }
  await it.run()
  await it.db.query(`alter table visit add column extra text; delete from visit where moment = 1;
    update visit set extra = 'u' where moment = 2`)
  await it.run()
  await it.db.query(`insert into visit values (1, 'x', null, 'f')`)
  await it.run()
  await lawOf(it)
  const extra = await it.rows(
    'select extra, log_op as op, count(*)::integer as n from staging.shop_visit where extra is not null group by all order by 1',
  )
  expect(extra).toEqual([
    { extra: 'f', op: 'insert', n: 1 },
    { extra: 'u', op: 'read', n: 3 },
  ])
})

test('naru start reads it first, and follows it', async () => {
  const it = await visits(100)
  const live = await follow({ open: it.open, events: [] } as never)
  onTestFinished(() => live.stop())
  await it.db.query(`insert into visit values (1, 'x', null); delete from visit where moment = 3`)
  await live.untilRows(
    `select sum(case when log_op in ('read', 'insert') then 1 else -1 end)::integer from staging.shop_visit`,
    [[87]],
  )
  const seen = { technique: 'log', isAppend: true, state: 'live', rejected: 0 }
  await vi.waitFor(() => expect(live.status()?.tables[0]).toMatchObject(seen), { timeout: 60_000, interval: 50 })
  await live.stop()
  await lawOf(it)
})

test('a warehouse in PostgreSQL has the same log', async () => {
  const made = await visits(14)
  const url = server.urlWith({ database: `${made.slot}_w` })
  await server.client.query(`create database ${made.slot}_w`)
  const it = made.with(project(made.slot, {}, postgres({ url: env('ENGINE_URL') })))
  const { secret } = it.open
  Object.assign(it.open, {
    secret: (ref: SecretRef) => (ref.name === 'ENGINE_URL' ? new Secret(url) : secret(ref, '')),
  })
  await it.run()
  await made.db.query(`update visit set what = 'z' where moment = 2; delete from visit where moment = 3`)
  await made.db.query(`truncate visit; insert into visit values (9, 'a', null), (9, 'a', null)`)
  await it.run()
  const warehouse = await server.connect(url)
  const { rows } = await warehouse.query('select op, count(*)::integer as n from export.visit group by 1')
  const all = { read: 14, before: 2, after: 2, delete: 2, truncate: 1, insert: 2 }
  expect(Object.fromEntries(rows.map(({ op, n }: { op: string; n: number }) => [op, n]))).toEqual(all)
})

test('a first load under writers, killed again and again, has every row and every change once', async () => {
  const it = await visits(400)
  const writer = it.write()
  const points = [
    'stream.place.commit.after',
    'interface.chunk.commit.after',
    'interface.load.accept.after',
    'stream.step.commit.before',
    'run.publish.commit.before',
  ]
  let killed = 0
  for (const point of points) {
    it.killAt(point)
    await it.run().catch(() => (killed += 1))
  }
  expect(killed).toBe(points.length)
  await it.run()
  expect(await writer.stop()).toBeGreaterThan(5)
  await it.run()
  await lawOf(it)
  const { read = 0, insert = 0, before = 0, after = 0 } = await happened(it)
  expect({ read: read > 0, insert: insert > 0, same: before === after }).toEqual({
    read: true,
    insert: true,
    same: true,
  })
  const [keys] = await it.rows('select count(*) - count(distinct (log_load, log_line)) as n from staging.shop_visit')
  expect(Number(keys?.['n'])).toBe(0)
})

test('a transaction of many pieces that the first load has read already is not there twice', async () => {
  const it = await visits(3)
  it.killAt('stream.place.commit.after')
  await expect(it.run()).rejects.toThrow(/killed/)
  await it.db.query(`begin; delete from visit where moment = 3;
    insert into visit select i, repeat('x', 100000), null from generate_series(1, 120) i; commit`)
  await it.run()
  expect(await happened(it)).toEqual({ read: 122 })
  await it.db.query(`update visit set moment = 0`)
  await it.run()
  await lawOf(it)
})

test('whatever happens to equal rows, the log tells how many there are', async () => {
  const it = await visits(20)
  await it.run()
  const few = fc.integer({ min: 0, max: 3 })
  const statement = fc.oneof(
    fc.tuple(few, few).map(([v, n]) => `insert into visit select ${v}, 'w', null from generate_series(1, ${n})`),
    fc.tuple(few, few).map(([v, w]) => `update visit set moment = ${w} where moment = ${v}`),
    few.map(v => `update visit set what = case when what is null then repeat('x', 5000) end where moment = ${v}`),
    fc
      .tuple(few, few)
      .map(([v, n]) => `delete from visit where ctid in (select ctid from visit where moment = ${v} limit ${n})`),
    fc.constant('truncate visit'),
  )
  const transaction = fc.record({ statements: fc.array(statement, { maxLength: 5 }), commits: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(transaction, { minLength: 1, maxLength: 6 }), async transactions => {
      for (const { statements, commits } of transactions) {
        await it.db.query(['begin', ...statements, commits ? 'commit' : 'rollback'].join(';'))
      }
      await it.run()
      await lawOf(it)
    }),
    { numRuns: 5, endOnFailure: true },
  )
})

test('a key that comes later: the log goes on until the config names it, and is kept then', async () => {
  const it = await visits(7)
  await it.run()
  await it.db.query(`alter table visit add primary key (moment)`)
  await it.db.query(`insert into visit values (100, 'page', null)`)
  expect((await it.run()).stopped).toEqual([])
  await lawOf(it)
  const keyed = it.with(keyedProject(it.slot))
  await it.db.query(`update visit set what = 'seen' where moment = 100`)
  expect((await keyed.run()).stopped).toEqual([])
  expect(await keyed.rows('select count(*)::integer as n from staging.shop_visit')).toEqual([{ n: 8 }])
  const [past] = await keyed.rows(
    `select table_name as name from information_schema.tables where table_name like 'shop_visit__past_%'`,
  )
  expect(past).toBeDefined()
  const back = it.with(it.open.project)
  await back.run()
  await lawOf(it)
})

test('what an append log cannot be is told, and naru resync of the source begins it anew', async () => {
  const it = await visits(70)
  await it.db.query('alter table visit replica identity default')
  const problems = await checkProject(it.open, never)
  expect(problems).toContainEqual(
    expect.objectContaining({ level: 'error', fix: expect.stringMatching(/replica identity full/) }),
  )
  expect(problems).toContainEqual(expect.objectContaining({ code: 'APPEND_LOG', level: 'warn' }))
  await it.db.query('alter table visit replica identity full')
  await it.run()
  await it.db.query(`delete from visit where moment = 3`)
  const given = { emit: () => {}, signal: never }
  await expect(resync(it.open, { ...given, selector: 'shop.visit' })).rejects.toThrow(/has no key/)
  await resync(it.open, { ...given, selector: 'shop' })
  expect(await happened(it)).toEqual({ read: 60 })
  await lawOf(it)
  const [past] = await it.rows(`select count(*)::integer as n from staging.shop_visit__past where "_op" = 'd'`)
  expect(Number(past?.['n'])).toBeGreaterThanOrEqual(70)
})
