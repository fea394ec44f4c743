import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { OpenProject } from '../../src/app/project.ts'
import { reading } from '../../src/app/read.ts'
import { resync } from '../../src/app/resync.ts'
import { startServer } from '../../src/app/server/start.ts'
import { Secret } from '../../src/core/secret.ts'
import { rawSql } from '../../src/core/sql.ts'
import { defineConfig, env, ods, pg, postgres, t } from '../../src/index.ts'
import { never } from '../../src/testing/engine.ts'
import { startEngineServer, type EngineServer } from '../../src/testing/postgres/engine.ts'
import { placeIn } from '../support/place.ts'

// A log and triggers followed into a PostgreSQL: the live session, comparisons beside it, and a table that is read again.

let server: EngineServer
let shop: string
let warehouse: string
let folder: string
let open: OpenProject
const ending = new AbortController()
let ended: Promise<unknown> = Promise.resolve()

beforeAll(async () => {
  server = await startEngineServer({ wal_level: 'logical', max_replication_slots: '4', max_wal_senders: '4' })
  shop = await server.database()
  warehouse = await server.database()
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-stream-engine-'))
  open = project()
}, 120_000)
afterAll(async () => {
  ending.abort(new Error('stopped by the test'))
  await ended
  await server?.stop()
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
})

function project(): OpenProject {
  const account = { key: ['code'], columns: { code: t.text(), balance: t.decimal(12, 2), at: t.timestamptz().null() } }
  const place = { key: ['id'], columns: { id: t.uuid(), name: t.text().null() } }
  const source = pg('shop', {
    url: env('SHOP_URL'),
    chunkRows: 40,
    compare: '1s',
    schema: { account, place },
    changes: { account: { technique: 'log' }, place: { technique: 'trigger' } },
  })
  return {
    project: defineConfig({
      name: 'followed',
      engine: postgres({ url: env('WAREHOUSE_URL') }),
      models: {
        account: ods.export(
          'account',
          ods.entity('account', { ...account, key: 'code' }).from(source.account, r => ({ ...r })),
        ),
        place: ods.export(
          'place',
          ods.entity('place', { ...place, key: 'id' }).from(source.place, r => ({ ...r })),
        ),
      },
    }),
    ...placeIn(folder),
    secret: ref => new Secret(ref.name === 'SHOP_URL' ? shop : warehouse),
  }
}

const waits = { timeout: 60_000, interval: 100 }
const rows = (query: string): Promise<readonly (readonly unknown[])[]> =>
  reading(open, never, async tx => (await tx.rows(rawSql(query))).map(row => Object.values(row)))

async function expectSame(): Promise<void> {
  const tables = {
    account: `select code, balance::text as balance, extract(epoch from at)::text as at from %.account order by code collate "C"`,
    place: 'select id::text as id, name from %.place order by id',
  }
  for (const query of Object.values(tables)) {
    const theirs = (await server.run(shop, query.replace('%', 'public'))).map(row => Object.values(row))
    await expect.poll(() => rows(query.replace('%', 'ods')), waits).toEqual(theirs)
  }
}

test('a live session follows a log and triggers, value by value', async () => {
  await server.run(
    shop,
    `create table account (code text primary key, balance numeric(12, 2) not null, at timestamptz);
     create table place (id uuid primary key, name text);
     insert into account select case when i % 2 = 0 then 'a' else 'B' end || i, i / 4.0, now() from generate_series(1, 90) i;
     insert into place select md5(i::text)::uuid, 'p' || i from generate_series(1, 90) i`,
  )
  await new Promise<void>((resolve, reject) => {
    ended = startServer(open, { signal: ending.signal, stallMs: 60_000, tell: it => it.kind === 'ready' && resolve() })
    ended.catch(reject)
  })
  await expectSame()
  await server.run(
    shop,
    `update account set balance = balance + 1 where code < 'a4';
     update account set code = 'moved' where code = 'B7';
     delete from account where code = 'a8';
     insert into account values ('', -1, null), ('한글', 99999.99, '2020-02-29 12:00:00.000001+09');
     delete from place where name like 'p3%';
     update place set name = null where name = 'p5'`,
  )
  await expectSame()
  await server.run(shop, `begin; truncate account; insert into account select 'k' || i, i, null from generate_series(1, 90) i; commit`) // prettier-ignore
  await expectSame()
}, 120_000)

const differences = `select distinct "table" as name, keys from naru.comparison where equal = false order by name, keys`

test('comparisons beside it find what somebody did to the rows here, and a table that is read again is right', async () => {
  const compared = `select "table" as name from naru.comparison where key_up_to is not null and equal group by 1 order by 1`
  await expect.poll(() => rows(compared), waits).toEqual([['account'], ['place']])
  expect(await rows(differences)).toEqual([])
  await server.run(
    warehouse,
    `delete from staging.shop_account where code = 'k11';
     update staging.shop_account set balance = 0 where code = 'k85';
     insert into staging.shop_place select '00000000-0000-0000-0000-000000000001', 'ghost', _load, _unit, _line
       from staging.shop_place where name = 'p9'`,
  )
  const account = [
    ['account', '[{"key":"k11","what":"missing here"}]'],
    ['account', '[{"key":"k85","what":"different"}]'],
  ]
  const place = ['place', '[{"key":"00000000-0000-0000-0000-000000000001","what":"not in the source"}]']
  const keys = async (): Promise<readonly unknown[]> =>
    (await rows(differences)).flatMap(([name, text]) =>
      (JSON.parse(String(text)) as readonly object[]).map(it => [name, JSON.stringify([it])]),
    )
  await expect
    .poll(async () => [...new Set((await keys()).map(it => JSON.stringify(it)))].sort(), waits)
    .toEqual([...account, place].map(it => JSON.stringify(it)).sort())
  const again = async (selector: string): Promise<unknown> =>
    (await resync(open, { selector, emit: () => {}, signal: never })).tables[0]
  expect(await again('shop.account')).toMatchObject({ inserted: 1, updated: 1, deleted: 0 })
  expect(await again('shop.place')).toMatchObject({ inserted: 0, updated: 0, deleted: 1 })
  expect(await again('shop.place')).toMatchObject({ inserted: 0, updated: 0, deleted: 0 })
  await expectSame()
  expect(await rows('select count(*)::integer from naru.reject')).toEqual([[0]])
}, 120_000)
