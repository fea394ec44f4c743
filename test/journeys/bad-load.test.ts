import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCutting } from '../support/cutting.ts'
import { expectNoSecret, expectRefused } from '../support/project.ts'
import { sales, shopConfig, startSystems, type Systems, startHeld } from '../support/shop.ts'

// What may happen to a bulk load from outside: whatever it was, nothing is half visible, and the next run completes.

let systems: Systems
beforeAll(async () => void (systems = await startSystems()))
afterAll(() => systems.stop())

const endSessions = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'naru'`

describe('a source that ends every session, as a restart does', () => {
  test('is asked again, and the same run completes', async () => {
    const shop = await systems.shop()
    const going = await startHeld(systems, shop)
    await systems.observer.query(endSessions)
    await going.says('trying again')
    await shop.db.query('rollback')
    const ended = await going.ended
    expect(ended.status, ended.stderr).toBe(0)
    expectNoSecret(ended, shop.secrets)
    expect(await shop.rows('select count(*) as n from ods.sale')).toEqual([{ n: BigInt(sales) }])
  })

  test('with retries: 0 the run ends with the source named, and what was finished is kept', async () => {
    const shop = await systems.shop({ config: shopConfig({ ops: 'retries: 0,' }) })
    const going = await startHeld(systems, shop)
    await systems.observer.query(endSessions)
    const ended = await going.ended
    expectRefused(ended, { status: 1, code: 'SOURCE_UNREACHABLE', says: ['source "ops"'] })
    await shop.db.query('rollback')
    expect(await shop.rows(`select "table" as t from naru.load where state = 'accepted'`)).toContainEqual({
      t: 'customer',
    })
    await shop.run()
    expect(await shop.rows('select count(*) as n from ods.sale')).toEqual([{ n: BigInt(sales) }])
  })
})

describe('a table that changes while the run is on its way to it', () => {
  test.each([
    ['loses a column', 'alter table sale drop column amount'],
    ['changes a type', 'alter table sale alter amount type numeric'],
    ['is truncated', 'truncate sale'],
    [
      'is replaced by another',
      'alter table sale rename to old_sale; create table sale as select * from old_sale limit 5',
    ],
  ])('%s: refused, and nothing of it is visible', async (_, change) => {
    const shop = await systems.shop({ config: shopConfig({ ops: 'retries: 0,' }) })
    await shop.run()
    const before = await shop.visible()
    const going = await startHeld(systems, shop)
    await shop.db.query(`${change}; commit`)
    const ended = await going.ended
    expect(ended.status, ended.stderr).toBe(1)
    expect(ended.stderr).toMatch(/\[(SOURCE_\w+|LOAD_REFUSED|DIMENSION_EMPTIED)\]/)
    expect(ended.stderr).not.toMatch(/^\s+at /m)
    expect(await shop.visible()).toEqual(before)
  })
})

describe('a connection that is cut', () => {
  test('after any number of bytes: no row is lost, doubled or half visible', async () => {
    const shop = await systems.shop({ config: shopConfig({ ops: 'retries: 0,' }) })
    let refused = 0
    for (const bytes of [100, 900, 2_000, 5_000, 9_000, 13_000, 17_000, 25_000]) {
      const proxy = await startCutting(systems.postgres.port, bytes)
      const url = new URL(shop.variables['OPS_URL'] as string)
      url.port = String(proxy.port)
      const ended = await shop.naru(['run'], { OPS_URL: url.href })
      await proxy.stop()
      if (ended.status === 0) continue
      refused += 1
      expectRefused(ended, { status: 1, code: 'SOURCE_UNREACHABLE', says: ['source "ops"'] })
      expectNoSecret(ended, shop.secrets)
      const seen = await shop.rows(`select count(*) as n from information_schema.tables where table_schema = 'ods'`)
      expect(seen).toEqual([{ n: 0n }])
    }
    expect(refused).toBeGreaterThan(4)
    await shop.run()
    expect(await shop.rows('select count(*) as n, count(distinct id) as d from staging.ops_sale')).toEqual([
      { n: BigInt(sales), d: BigInt(sales) },
    ])
  }, 180_000)
})

test('several connections bring the same rows as one', async () => {
  const shop = await systems.shop({ config: shopConfig({ ops: 'connections: 3,' }) })
  const run = await shop.run('--hash', '--chunks')
  expect(run.controls['ops_sale']).toEqual({ source: sales, staged: sales, equal: true })
  expect(await shop.rows('select count(*) as n from naru.control_total where not coalesce(equal, false)')).toEqual([
    { n: 0n },
  ])
})

test('a table that has no key in its source is read in physical ranges, each row once', async () => {
  const shop = await systems.shop({
    config: shopConfig({ ops: 'connections: 2,' }).replace('chunkRows: 60', 'chunkRows: 500'),
  })
  await shop.db.query(`alter table sale drop constraint sale_pkey;
    insert into sale select i, 1, 1, '2026-01-01', now() from generate_series(1001, 4000) i; analyze sale`)
  const run = await shop.run()
  expect(run.controls['ops_sale']).toEqual({ source: sales + 3000, staged: sales + 3000, equal: true })
  const [units] = await shop.rows(
    `select count(*) as n, min(kind) as kind from naru.unit u join naru.load l using (load) where "table" = 'sale'`,
  )
  expect(units?.['kind']).toBe('place')
  expect(Number(units?.['n'])).toBeGreaterThan(3)
})

describe('SIGTERM in the middle of a long load', () => {
  test('ends the run in less than ten seconds, keeps the finished chunks, and the next run goes on behind them', async () => {
    const slow = shopConfig({ ops: 'rowsPerSecond: 10,' }).replace('chunkRows: 60', 'chunkRows: 30')
    const shop = await systems.shop({ config: slow.replace(/changes: \{ sale.*\n/, '') })
    const going = shop.start(['run', 'ops.sale'])
    // It is said every five seconds: some chunks are there then, and most are not.
    await going.says('interface ops.sale')
    const beganMs = performance.now()
    going.child.kill('SIGTERM')
    const ended = await going.ended
    expect(performance.now() - beganMs).toBeLessThan(10_000)
    expectRefused(ended, { status: 1, code: 'CANCELLED', says: ['run 1 was cancelled'] })
    const [kept] = await shop.rows('select count(*) as n, max(unit) as last from naru.unit')
    expect(Number(kept?.['n'])).toBeGreaterThan(0)
    await shop.configure(
      shopConfig()
        .replace('chunkRows: 60', 'chunkRows: 30')
        .replace(/changes: \{ sale.*\n/, ''),
    )
    const again = await shop.run()
    expect(again.stderr).toContain(`goes on behind chunk ${String(kept?.['last'])}`)
    expect(again.ods['sale']).toBe(sales)
  })
})
