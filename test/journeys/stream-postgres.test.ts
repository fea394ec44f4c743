import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runProject } from '../../src/app/run-project.ts'
import type { OpenProject } from '../../src/app/project.ts'
import { Secret } from '../../src/core/secret.ts'
import { defineConfig, duckdb, env, ods, pg, t } from '../../src/index.ts'
import { never } from '../../src/testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { follow, type Following } from '../support/scripted.ts'
import { placeIn } from '../support/place.ts'

let source: TestDatabase
let folder: string
let live: Following | undefined
let stopWriting: (() => Promise<unknown>) | undefined

beforeAll(async () => {
  source = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '10', max_wal_senders: '10' })
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-stream-pg-'))
}, 180_000)
afterAll(async () => {
  await stopWriting?.()
  await live?.stop()
  await source.stop()
  await rm(folder, { recursive: true, force: true })
})

function project(): OpenProject {
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    chunkRows: 50,
    schema: {
      account: {
        key: ['id'],
        columns: { id: t.int(), owner: t.text().null(), balance: t.big(), note: t.text().null() },
      },
    },
    changes: { account: { technique: 'log' } },
  })
  const account = ods
    .entity('account', {
      key: 'id',
      columns: { id: t.int(), owner: t.text().null(), balance: t.big(), note: t.text().null() },
    })
    .from(shop.account, r => ({ ...r }))
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

/** Moves amounts between accounts until it is stopped: their sum stays what it was at the end of each transaction. */
function transfers(client: Client): { stop(): Promise<number> } {
  const over = { is: false }
  let done = 0
  const going = (async () => {
    while (!over.is) {
      const [a, b] = [(done * 7) % 200, (done * 13 + 1) % 200]
      await client.query('begin')
      await client.query('update account set balance = balance - 5 where id = $1', [a])
      await client.query('update account set balance = balance + 5 where id = $1', [a === b ? a : b])
      await client.query('commit')
      done += 1
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

const sums = 'select sum(balance)::bigint as total, count(*)::integer as n from ods.account'

test('R8: tables follow the log of a real server while others write, exactly and at every moment', async () => {
  const { client } = source
  await client.query(`
    create table account (id integer primary key, owner text, balance bigint not null, note text);
    alter table account alter column note set storage external;
    insert into account select i, 'owner ' || i, 1000, repeat('long note ' || i, 400) from generate_series(0, 199) i`)
  const writer = await source.connect()
  const writing = transfers(writer)
  stopWriting = writing.stop
  const open = project()
  const given = { selectors: [], hashControls: false, emit: () => {}, signal: never }
  await runProject(open, given)
  const first = await runProject(open, given)
  expect(first.stopped).toEqual([])

  const events: never[] = []
  live = await follow({ open, events } as never)
  await live.untilRows('select count(*)::integer from ods.account', [[200]])
  for (let look = 0; look < 20; look++) {
    expect(await live.rows(sums)).toEqual([{ total: 200_000n, n: 200 }])
    await open.env.clock.sleep(50)
  }
  await client.query(`update account set id = id + 1000 where id in (1, 2, 3)`)
  await client.query(`delete from account where id = 4`)
  await client.query(`update account set note = 'short' where id = 5`)
  await client.query(`insert into account values (500, null, 7, null)`)
  expect(await writing.stop()).toBeGreaterThan(10)

  const expected = await client.query('select id, owner, balance::text, md5(note) as note from account order by id')
  const wanted = expected.rows.map((row: Record<string, unknown>) => Object.values(row))
  await live.untilRows('select id, owner, balance::varchar, md5(note) as note from ods.account order by id', wanted)
  expect(live.status()?.tables[0]).toMatchObject({ state: 'live', error: null, rejected: 0 })
  expect(await live.rows('select count(*)::integer as n from naru.reject')).toEqual([{ n: 0 }])
  // The history of every key has no gap: each version is 5 more or less than the one before it.
  const gaps = await live.rows(`
    select id, balance, earlier from (
      select id, balance, lag(balance) over (partition by id order by l, i nulls first) as earlier from (
        select id, balance, note, "_load" as l, "_line" as i from staging.shop_account__past where id < 200
        union all select id, balance, note, "_load", "_line" from staging.shop_account where id < 200) v
      where not (id = 5 and note = 'short')) w
    where abs(balance - earlier) <> 5`)
  expect(gaps).toEqual([])
}, 180_000)

test('a table that is emptied at once is empty here, and its rows are in the past', async () => {
  await source.client.query('truncate account')
  await source.client.query(`insert into account values (1, 'new', 1, null)`)
  await live?.untilRows('select id, owner from ods.account', [[1, 'new']])
  const gone = await live?.rows(
    `select count(*)::integer as n from staging.shop_account__past where "_op" = 'd' and id >= 1000`,
  )
  expect(gone).toEqual([{ n: 3 }])
}, 180_000)
