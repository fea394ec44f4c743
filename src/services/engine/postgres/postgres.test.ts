import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../../core/secret.ts'
import { ident, rawSql, sql } from '../../../core/sql.ts'
import { postgresOpening, startEngineServer, type EngineServer } from '../../../testing/postgres/engine.ts'
import { batchOf, column } from '../../../testing/suite/batches.ts'
import type { Cell, Engine } from '../contract.ts'
import { databaseExists, openEngine } from './open.ts'

const never = new AbortController().signal
let server: EngineServer
const ending: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  server = await startEngineServer()
}, 180_000)
afterAll(() => server.stop())
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

async function open(url: string, access: 'write' | 'read' = 'write'): Promise<Engine> {
  const engine = await openEngine({ ...postgresOpening(url), access })
  ending.push(() => engine.close())
  return engine
}

async function read(engine: Engine, text: string): Promise<readonly (readonly Cell[])[]> {
  const rows: (readonly Cell[])[] = []
  for await (const page of (await engine.query(rawSql(text), never)).pages) rows.push(...page)
  return rows
}

describe('one writer', () => {
  test('a second one is refused and told who holds the database; readers are not', async () => {
    const url = await server.database()
    await open(url)
    await expect(open(url)).rejects.toMatchObject({
      code: 'ENGINE_HELD',
      message: expect.stringContaining(`PID ${process.pid}`),
    })
    await open(url, 'read')
  })

  test('whoever lost its connection commits nothing, and the next one may write', async () => {
    const url = await server.database()
    const first = await open(url)
    await first.transaction(never, tx => tx.execute(sql`create table t (a integer)`))
    const broken = first.transaction(never, async tx => {
      await tx.execute(sql`insert into t values (1)`)
      const kill = `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'naru write%' and datname = current_database()`
      await server.run(url, kill)
      await tx.execute(sql`insert into t values (2)`)
    })
    await expect(broken).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' })
    const second = await open(url)
    expect(await read(second, 'select count(*) from t')).toEqual([[0n]])
    await expect(first.transaction(never, tx => tx.execute(sql`insert into t values (3)`))).rejects.toMatchObject({
      code: 'ENGINE_UNREACHABLE',
    })
  })

  test('a body that swallowed a failed statement does not commit the rest', async () => {
    const engine = await open(await server.database())
    await engine.transaction(never, tx => tx.execute(sql`create table t (a integer)`))
    const half = engine.transaction(never, async tx => {
      await tx.execute(sql`insert into t values (1)`)
      await tx.execute(sql`insert into nowhere values (1)`).catch(() => {})
    })
    await expect(half).rejects.toMatchObject({ code: 'ENGINE_SQL' })
    expect(await read(engine, 'select count(*) from t')).toEqual([[0n]])
  })
})

describe('a database that does not fit', () => {
  test.each([
    ['that compares text by a language', `locale_provider icu icu_locale 'en-US'`, /rules of a language/],
    ['in another encoding', `encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' locale_provider libc`, /encoding is LATIN1/],
  ])('%s is refused with what to do', async (_, made, says) => {
    const name = `unfit_${Math.abs(made.length)}`
    await server.run(server.url, `create database ${name} template template0 ${made}`)
    const url = new URL(server.url)
    url.pathname = `/${name}`
    await expect(open(url.href)).rejects.toMatchObject({
      code: 'ENGINE_UNSUITABLE',
      message: expect.stringMatching(says),
      fix: expect.stringContaining('create database'),
    })
  })

  test('a wrong password and a server that is not there are told apart, and no password is shown', async () => {
    const url = new URL(server.url)
    url.password = 'canary-7f3a'
    const login = await open(url.href).catch((error: unknown) => error)
    expect(login).toMatchObject({ code: 'ENGINE_LOGIN' })
    expect(`${(login as Error).message}${(login as Error).stack}`).not.toContain('canary')
    url.port = '1'
    await expect(open(url.href)).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' })
    await expect(open('mysql://x')).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })

  test('it is there when a run has made its control tables', async () => {
    const url = await server.database()
    expect(await databaseExists(postgresOpening(url))).toBe(false)
    const engine = await open(url)
    await engine.transaction(never, async tx => {
      await tx.execute(sql`create schema naru`)
      await tx.execute(sql`create table naru.run (run bigint)`)
    })
    expect(await databaseExists(postgresOpening(url))).toBe(true)
  })
})

test('a value that the server cannot hold ends the load and is not shown', async () => {
  const engine = await open(await server.database())
  const columns = [column('a', { kind: 'text' })]
  const load = engine.transaction(never, async tx => {
    await tx.execute(sql`create table t (a text)`)
    await tx.append(ident('t'), columns, batchOf(columns, [['good', 'canary\0']]))
  })
  await expect(load).rejects.toMatchObject({ code: 'ENGINE_VALUE', message: expect.not.stringContaining('canary') })
  expect(await engine.transaction(never, tx => tx.exists(ident('t')))).toBe(false)
})

test('a secret of a statement stands in no error, whatever characters it has', async () => {
  const engine = await open(await server.database())
  const secret = new Secret(`ca\\na'ry-7f3a`)
  const failing = engine.transaction(never, tx => tx.execute(sql`select cast(${secret} as integer)`))
  const error = (await failing.catch((thrown: unknown) => thrown)) as Error
  expect(`${error.message} ${String(error.cause)}`).not.toMatch(/ry-7f3a/)
})
