import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { checkProject } from '../../src/app/check/check.ts'
import { env, pg, t } from '../../src/index.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { makeStore } from '../support/store.ts'

let database: TestDatabase
beforeAll(async () => (database = await startTestDatabase()))
afterAll(() => database.stop())

async function problemsOf(table: string): Promise<readonly { level: string; message: string; fix: string }[]> {
  const schema = { [table]: { key: ['id'], columns: { id: t.int(), sent: t.bool() } } } as const
  const change = { technique: 'status', column: 'sent', pending: false, done: true, deletes: 'keep' } as const
  const store = await makeStore('select 1', () => ({
    shop: pg('shop', {
      url: env(database.urlWith({ user: 'reader', password: 'secret' })),
      schema,
      changes: { '*': change },
    }),
  }))
  onTestFinished(() => store.remove())
  const problems = await checkProject(store.open(), new AbortController().signal)
  return problems.filter(({ code }) => code === 'CAPTURE_NOT_READY')
}

test('a check says what the account and the table lack for claims, each with the SQL that mends it', async () => {
  await database.client.query(`
    create table parcel (id integer primary key, sent boolean not null);
    create role reader login password 'secret';
    grant select on parcel to reader`)
  const denied = await problemsOf('parcel')
  expect(denied).toMatchObject([
    { level: 'error', fix: expect.stringContaining('grant create on database') },
    { level: 'error', fix: expect.stringContaining('grant select, update ("sent") on') },
  ])
  for (const { fix } of denied) await database.client.query(fix)
  const [slow] = await problemsOf('parcel')
  expect(slow).toMatchObject({ level: 'warn', fix: expect.stringContaining('create index on') })
  await database.client.query((slow as { fix: string }).fix)
  expect(await problemsOf('parcel')).toEqual([])
})
