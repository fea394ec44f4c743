import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgresServer, type PostgresServer } from '../servers/postgres.ts'
import { primarySettings, startPostgresStandby, type PostgresStandby } from '../servers/postgres-standby.ts'
import { makeProject, type TestProject } from '../support/project.ts'

let primary: PostgresServer
let standby: PostgresStandby
const projects: TestProject[] = []

beforeAll(async () => {
  primary = await startPostgresServer('npm 18', { settings: { ...primarySettings, max_slot_wal_keep_size: '1GB' } })
  standby = await startPostgresStandby(primary, { sync_replication_slots: 'on' })
  await primary.client.query(`create table account (id integer primary key, v integer not null);
    insert into account select i, i from generate_series(1, 100) i`)
})
afterAll(async () => {
  for (const project of projects) await project.remove()
  await standby?.stop()
  await primary?.stop()
})

async function projectOf(url: string, slot: string): Promise<TestProject> {
  const config = `import { defineConfig, duckdb, env, ods, pg, t } from 'naru'
const columns = { id: t.int(), v: t.int() }
const shop = pg('shop', {
  url: env('SHOP_URL'), slot: '${slot}', connectTimeout: '5s',
  schema: { account: { key: ['id'], columns } },
  changes: { account: { technique: 'log' } },
})
const account = ods.entity('account', { key: 'id', columns }).from(shop.account, r => ({ ...r }))
export default defineConfig({ name: 'ledger', engine: duckdb({ path: 'data.duckdb' }), models: { account: ods.export('account', account) } })
`
  const project = await makeProject({ config, variables: { SHOP_URL: url } })
  projects.push(project)
  return project
}

async function sumOf(project: TestProject): Promise<unknown> {
  const [row] = await project.rows('select sum(v)::bigint as sum, count(*)::integer as n from ods.account')
  return row
}

const raise = (): Promise<unknown> => primary.client.query('update account set v = v + 1 where id <= 10')

/** Everything that the primary has is at the standby as well. */
async function caughtUp(): Promise<void> {
  const { rows } = await primary.client.query<{ lsn: string }>('select pg_current_wal_flush_lsn() as lsn')
  await expect
    .poll(async () => {
      const there = await standby.client.query<{ is: boolean }>('select pg_last_wal_replay_lsn() >= $1::pg_lsn as is', [
        rows[0]?.lsn,
      ])
      return there.rows[0]?.is
    })
    .toBe(true)
}

describe('a standby as a source', () => {
  test('is read, and its log followed, with nothing written into it; what only the primary can do is said', async () => {
    await caughtUp()
    const project = await projectOf(standby.url, 'naru_reader')
    const refused = await project.naru(['check'])
    expect(refused.status).toBe(1)
    expect(refused.stdout + refused.stderr).toMatch(/At its primary: create publication "naru_reader" for table/)
    await primary.client.query('create publication naru_reader for table account')
    await caughtUp()
    expect((await project.naru(['check'])).status).toBe(0)

    // A slot of a standby begins where its primary tells of the transactions that go on.
    const told = { is: false }
    const telling = (async () => {
      while (!told.is) await primary.client.query('select pg_log_standby_snapshot(), pg_sleep(0.1)')
    })()
    await project.run().finally(() => (told.is = true))
    await telling
    expect(await sumOf(project)).toEqual({ sum: 5050n, n: 100 })
    await raise()
    await primary.client.query('delete from account where id = 100')
    await caughtUp()
    await project.run()
    expect(await sumOf(project)).toEqual({ sum: 4960n, n: 99 })
    await primary.client.query('insert into account values (100, 90)')
    await standby.client.query(`select pg_drop_replication_slot('naru_reader')`)
  })
})

describe('a server that is lost', () => {
  test('its standby goes on with the stream, and nothing is missing; what is not set up for that is said before', async () => {
    const project = await projectOf(primary.url, 'naru_shop')
    await project.run()
    const warned = await project.naru(['check'])
    expect(warned.stdout + warned.stderr).toMatch(/synchronized_standby_slots = 'standby'/)
    await primary.client.query(`alter system set synchronized_standby_slots = 'standby'`)
    await primary.client.query('select pg_reload_conf()')
    await expect
      .poll(async () => {
        const { stdout, stderr } = await project.naru(['check'])
        return stdout + stderr
      })
      .not.toMatch(/standby/)

    const synced = `select synced, failover from pg_replication_slots where slot_name = 'naru_shop' and not temporary`
    const slots = async (): Promise<unknown> => {
      await raise()
      await project.run()
      return (await standby.client.query(synced)).rows
    }
    await expect.poll(slots, { interval: 500 }).toEqual([{ synced: true, failover: true }])
    await raise() // nobody has read it when the server is lost
    await caughtUp()
    await primary.lose()
    await standby.promote()
    await standby.client.query('update account set v = v + 1000 where id = 1')
    const ended = await project.naru(['run', '--json'], { SHOP_URL: standby.url })
    expect(ended.stderr + ended.stdout).toMatch(/"ok":true/)
    const there = await standby.client.query('select sum(v)::text as sum, count(*)::integer as n from account')
    const here = (await sumOf(project)) as { sum: bigint; n: number }
    expect({ ...here, sum: String(here.sum) }).toEqual(there.rows[0])
  })
})
