import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { checkProject } from '../../src/app/check/check.ts'
import { makePlan } from '../../src/app/plan.ts'
import type { OpenProject } from '../../src/app/project.ts'
import { resync } from '../../src/app/resync.ts'
import { runProject, type RunOutcome } from '../../src/app/run-project.ts'
import { realEnv } from '../../src/core/env.ts'
import { rawSql } from '../../src/core/sql.ts'
import { Secret } from '../../src/core/secret.ts'
import { defineConfig, duckdb, env, ods, pg, t } from '../../src/index.ts'
import { openEngine } from '../../src/services/engine/duckdb/open.ts'
import { never, testOpening } from '../../src/testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { placeIn } from '../support/place.ts'

let source: TestDatabase
let folder: string

beforeAll(async () => {
  source = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '10', max_wal_senders: '10' })
}, 120_000)
afterAll(() => source.stop())
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Orders of two regions, in a source that has nothing of an earlier test. */
async function begin(): Promise<void> {
  await source.client.query(`
    select pg_drop_replication_slot(slot_name) from pg_replication_slots;
    drop publication if exists naru_shop; drop publication if exists theirs;
    drop table if exists orders; create table orders (id integer primary key, region text not null, amount integer);
    insert into orders values (1, 'EU', 1), (2, 'ELSEWHERE', 2), (3, 'EU', 3)`)
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-where-'))
}

function project(orders: string | undefined, change: object, more: object = {}): OpenProject {
  const columns = { id: t.int(), region: t.text(), amount: t.int().null() }
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    schema: { orders: { key: ['id'], columns } },
    changes: { orders: change as never },
    ...(orders === undefined ? {} : { where: { orders } }),
    ...more,
  })
  const entity = ods.entity('orders', { key: 'id', columns }).from(shop.orders, r => ({ ...r }))
  const models = { orders: ods.export('orders', entity) }
  return {
    project: defineConfig({ name: 'filtered', engine: duckdb({ path: 'data.duckdb' }), models }),
    ...placeIn(folder),
    secret: () => new Secret(source.url),
  }
}

const run = (open: OpenProject): Promise<RunOutcome> =>
  runProject(open, { selectors: [], hashControls: true, emit: () => {}, signal: never })

async function here(): Promise<readonly string[]> {
  const engine = await openEngine({ ...testOpening(path.join(folder, 'data.duckdb')), access: 'read' })
  try {
    const rows = await engine.transaction(never, tx =>
      tx.rows(rawSql(`select concat_ws(' ', id, region, amount) as text from ods.orders order by id`)),
    )
    return rows.map(row => String(row['text']))
  } finally {
    await engine.close()
  }
}

async function durableLog(): Promise<string> {
  const bus = path.join(folder, '.naru', 'bus')
  const files = await readdir(bus, { recursive: true, withFileTypes: true })
  const texts = files.filter(it => it.isFile()).map(it => readFile(path.join(it.parentPath, it.name), 'latin1'))
  return (await Promise.all(texts)).join('')
}

async function problems(open: OpenProject): Promise<readonly string[]> {
  return (await checkProject(open, never)).map(it => `${it.level}: ${it.message} ${it.fix}`)
}

function stopAt(point: string): (at: string) => void {
  return at => {
    if (at === point) throw new Error(`stopped at ${point}`)
  }
}

const eu = `region = 'EU'`

test('rows that are not wanted never leave the log of their source: rows come into the condition and go out of it', async () => {
  await begin()
  const open = project(eu, { technique: 'log' })
  expect((await problems(open)).join('\n')).toMatch(
    /error: .*needs columns that its replica identity \(id\) does not hold.*alter table "public"."orders" replica identity full/,
  )
  await expect(run(open)).rejects.toMatchObject({ code: 'CAPTURE_NOT_READY' })
  // Nothing was made that would refuse the updates of its application.
  await source.client.query(`update orders set amount = 1 where id = 1; alter table orders replica identity full`)
  expect((await problems(open)).filter(it => it.startsWith('error'))).toEqual([])

  await run(open)
  expect(await here()).toEqual(['1 EU 1', '3 EU 3'])
  await source.client.query(`
    insert into orders values (4, 'EU', 4), (5, 'ELSEWHERE', 5); update orders set amount = 20 where id = 2;
    update orders set region = 'EU' where id = 5; update orders set region = 'ELSEWHERE' where id = 3; delete from orders where id = 2`)
  const { differing } = await run(open)
  expect(await here()).toEqual(['1 EU 1', '4 EU 4', '5 EU 5'])
  // A comparison of the table, and reading it again, see what the stream sees.
  expect(differing).toEqual([])
  expect(await durableLog()).not.toContain('ELSEWHERE')
  const again = await resync(open, { selector: 'shop.orders', signal: never, emit: () => {} } as never)
  expect(again).toMatchObject({ tables: [{ inserted: 0, updated: 0, deleted: 0 }] })
  expect(await here()).toEqual(['1 EU 1', '4 EU 4', '5 EU 5'])
})

test('another condition is another set of rows: the table is read again by it, and its stream goes on by it', async () => {
  await begin()
  await source.client.query('alter table orders replica identity full')
  await run(project(eu, { technique: 'log' }))
  await source.client.query(`insert into orders values (6, 'EU', 60)`)
  const large = project('amount > 1', { technique: 'log' })
  const planned = async (): Promise<unknown> => (await makePlan(large, never)).reads.map(({ how }) => how)
  expect(await planned()).toEqual(['whole table, in chunks; then its changes (log); only rows where amount > 1'])
  await run(large)
  expect(await planned()).toEqual([expect.stringMatching(/^changes \(log\) behind .*; only rows where amount > 1$/)])
  expect(await here()).toEqual(['2 ELSEWHERE 2', '3 EU 3', '6 EU 60'])
  await source.client.query(`insert into orders values (7, 'EU', 0), (8, 'ELSEWHERE', 80)`)
  await run(large)
  expect(await here()).toEqual(['2 ELSEWHERE 2', '3 EU 3', '6 EU 60', '8 ELSEWHERE 80'])
  await run(project(undefined, { technique: 'log' }))
  await source.client.query(`update orders set amount = 9 where id = 1`)
  expect((await run(project(undefined, { technique: 'log' }))).differing).toEqual([])
  expect(await here()).toHaveLength(6)
})

test('a condition that is corrected before the first load is done is the one that counts: the table is new, and no other stops', async () => {
  await begin()
  await source.client.query('alter table orders replica identity full')
  // Killed at once behind its place, and again with the load read and not published.
  for (const point of ['stream.place.commit.after', 'interface.load.accept.before'] as const) {
    const killed = { ...realEnv(), crash: stopAt(point) }
    await expect(run({ ...project(eu, { technique: 'log' }), env: killed })).rejects.toThrow(point)
    await run(project(`region <> 'EU'`, { technique: 'log' }))
    expect(await here()).toEqual(['2 ELSEWHERE 2'])
    await source.client.query(`insert into orders values (9, 'ELSEWHERE', 9), (10, 'EU', 10)`)
    await run(project(`region <> 'EU'`, { technique: 'log' }))
    expect(await here()).toEqual(['2 ELSEWHERE 2', '9 ELSEWHERE 9'])
    await source.client.query('delete from orders where id > 3')
    await run(project(`region <> 'EU'`, { technique: 'log' }))
  }
})

test.each([
  ['gives all of its rows', eu, 'alter publication naru_shop set table orders'],
  ['gives other rows', eu, `alter publication naru_shop set table orders where (region <> 'EU')`],
  ['gives a part of its rows', undefined, `alter publication naru_shop set table orders where (region = 'EU')`],
])(
  'somebody changes our publication so that it %s: the table stops by name, and is read again',
  async (_, asked, by) => {
    await begin()
    await source.client.query('alter table orders replica identity full')
    const open = project(asked, { technique: 'log' })
    await run(open)
    const before = await here()
    await source.client.query(by)
    await source.client.query(`insert into orders values (4, 'EU', 4), (5, 'ELSEWHERE', 5)`)
    await expect(run(open)).rejects.toMatchObject({
      message: expect.stringMatching(/publication "naru_shop" gives .*asked for/),
    })
    expect(await here()).toEqual(before)
    await resync(open, { selector: 'shop.orders', signal: never, emit: () => {} } as never)
    expect(await here()).toEqual([...before, '4 EU 4', ...(asked === undefined ? ['5 ELSEWHERE 5'] : [])])
    await source.client.query(`insert into orders values (6, 'EU', 6), (7, 'ELSEWHERE', 7)`)
    expect((await run(open)).differing).toEqual([])
    expect(await here()).toHaveLength(before.length + (asked === undefined ? 4 : 2))
  },
)

test('a table that is polled is read by its condition, with its control totals; another condition reads all of it', async () => {
  await begin()
  const change = { technique: 'version', column: 'amount', deletes: { sweep: '0s' } }
  await run(project(eu, change))
  expect(await here()).toEqual(['1 EU 1', '3 EU 3'])
  await source.client.query(
    `insert into orders values (4, 'ELSEWHERE', 40); update orders set region = 'ELSEWHERE', amount = 41 where id = 3`,
  )
  await run(project(eu, change))
  expect(await here()).toEqual(['1 EU 1'])
  await run(project(`region <> 'EU'`, change))
  expect(await here()).toEqual(['2 ELSEWHERE 2', '3 ELSEWHERE 41', '4 ELSEWHERE 40'])
})

test('a publication of somebody else with a condition that the config does not have is told, and one without it refused', async () => {
  await begin()
  await source.client.query(`alter table orders replica identity full;
    create publication theirs for table orders where (region = 'EU')`)
  const theirs = { publication: 'theirs' }
  expect((await problems(project(undefined, { technique: 'log' }, theirs))).join('\n')).toMatch(
    /warn: .*gives a part of its rows.*where: \{ orders: /,
  )
  expect((await problems(project(eu, { technique: 'log' }, theirs))).join('\n')).not.toMatch(/part of its rows|error/)
  await source.client.query(`alter publication theirs set table orders`)
  expect((await problems(project(eu, { technique: 'log' }, theirs))).join('\n')).toMatch(
    /error: .*gives all of its rows/,
  )
})
