import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { jsonOf, makeProject, type TestProject } from '../support/project.ts'
import { startServer } from '../support/server.ts'

let source: TestDatabase
let project: TestProject

const config = (maxValueBytes: number): string =>
  `import { defineConfig, duckdb, env, ods, pg, t } from 'naru'
const columns = { id: t.big(), body: t.text() }
const shop = pg('shop', {
  url: env('SHOP_URL'), maxValueBytes: ${maxValueBytes},
  schema: { doc: { key: ['No'], columns: { No: t.big(), body: t.text() } } },
  renamed: { doc: { No: 'Key of it' } },
  changes: { doc: { technique: 'log' } },
})
const doc = ods.entity('doc', { key: 'id', columns }).from(shop.doc, r => ({ id: r.No, body: r.body }))
export default defineConfig({ name: 'docs', engine: duckdb({ path: 'data.duckdb' }), models: { doc: ods.export('doc', doc) } })
`

beforeAll(async () => {
  source = await startTestDatabase({ wal_level: 'logical' })
  await source.client.query(
    `create table doc ("Key of it" bigint primary key, body text not null); insert into doc values (1, 'one')`,
  )
  project = await makeProject({ config: config(2_000), variables: { SHOP_URL: source.url } })
}, 120_000)
afterAll(async () => {
  await project?.remove()
  await source?.stop()
})

const waits = { timeout: 120_000, interval: 100 }
const statusText = async (): Promise<string> => (await project.naru(['status'])).stdout
const here = (): Promise<unknown> => project.rows('select id, length(body) as n from ods.doc order by id')

test('a change that was set aside comes by a command, once what was wrong is mended; the rest flows meanwhile', async () => {
  await project.run()
  await source.client.query(`insert into doc values (9007199254740993, repeat('x', 5000)), (3, 'three')`)
  await project.run()
  expect(await here()).toEqual([
    { id: 1n, n: 3n },
    { id: 3n, n: 5n },
  ])
  const rejects = await project.rows('select "table", reason, row_key from naru.reject')
  expect(rejects).toEqual([{ table: 'doc', reason: 'VALUE_TOO_LARGE', row_key: '{"No":"9007199254740993"}' }])

  // Nothing is mended: it is read, and set aside again.
  const still = await project.naru(['resync', 'shop.doc', '--rejected'])
  expect(still.stdout).toContain('shop.doc: nothing came; 1 row is still set aside: {')
  expect(still.stdout).toContain('"9007199254740993"} VALUE_TOO_LARGE; see naru.reject')
  expect(still.status).toBe(3)
  expect(await project.rows('select "table", reason, row_key from naru.reject')).toEqual(rejects)
  expect(await here()).toHaveLength(2)
  const known = await project.naru(['status', '--json'])
  expect(jsonOf(known)).toMatchObject({ setAside: [{ table: 'shop.doc', rows: 1, reasons: ['VALUE_TOO_LARGE'] }] })
  const notes = await project.rows(`select distinct note from naru.comparison where rows_source <> rows_staged`)
  expect(notes).toEqual([{ note: '1 row of the table is set aside (VALUE_TOO_LARGE): naru.reject' }])
  // What was set aside in an earlier run is none of this one.
  expect((await project.naru(['run'])).stdout).not.toContain('rejected')

  await project.configure(config(100_000))
  await source.client.query(`insert into doc values (4, 'four')`)
  const replayed = await project.naru(['resync', 'shop.doc', '--rejected'])
  expect(replayed.stdout).toContain('shop.doc: 1 missing, 0 different, 0 gone')
  expect(await here()).toEqual([
    { id: 1n, n: 3n },
    { id: 3n, n: 5n },
    { id: 4n, n: 4n },
    { id: 9007199254740993n, n: 5000n },
  ])
  expect((await project.naru(['resync', 'shop.doc', '--rejected'])).stdout).toContain('nothing differed')
  const both = await project.naru(['resync', 'shop.doc', '--rejected', '--where', 'true'])
  expect(both.stderr).toContain('RESYNC_UNABLE')
})

test('a server says what it sets aside, in its log and its status, until it has come or its source has it no more', async () => {
  await project.configure(config(2_000))
  const server = await startServer(project)
  await source.client.query(`update doc set body = repeat('y', 5000) where body in ('three', 'four')`)
  await expect.poll(async () => (await statusText()).match(/shop\.doc +2 +VALUE_TOO_LARGE/)?.length, waits).toBe(1)
  const told = await statusText()
  expect(told).toContain('goes on; 2 rows are set aside')
  expect(told).not.toContain('all is well')
  expect(told).toContain('naru resync shop.doc --rejected')
  await source.client.query(`update doc set body = 'short' where body like 'yyy%' and (select count(*) from doc) > 0
    and ctid = (select min(ctid) from doc where body like 'yyy%')`)
  await expect.poll(statusText, waits).toContain('goes on; 1 row is set aside')
  await source.client.query(`delete from doc where body like 'yyy%'`)
  const settled = await project.naru(['resync', 'shop.doc', '--rejected'])
  expect(settled.stdout).toContain('1 is not in the source any more, and no longer set aside')
  expect(settled.status).toBe(0)
  expect(await statusText()).toContain('all is well')
  server.child.kill('SIGTERM')
  const ended = await server.ended
  expect(ended.stderr).toContain('naru resync shop.doc --rejected')
  expect(ended.stderr.match(/set aside \(VALUE_TOO_LARGE, such as \{/g)).toHaveLength(1)
})
