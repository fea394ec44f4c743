import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { rawSql, sql } from '../../../core/sql.ts'
import { postgresOpening, startEngineServer, type EngineServer } from '../../../testing/postgres/engine.ts'
import type { Cell, Engine, EngineAccess, QueryResult } from '../contract.ts'
import { openEngine } from './open.ts'

// Who reads never waits for a run longer than a moment, nor for another reader; who writes goes on between them.

const never = new AbortController().signal
const rowsOfTable = 20_000
let server: EngineServer
let url: string
let writer: Engine
const ending: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  server = await startEngineServer()
}, 180_000)
afterAll(() => server.stop())

beforeEach(async () => {
  url = await server.database()
  writer = await open({ access: 'write' }, { lockTimeout: '4s' })
  await writer.transaction(never, async tx => {
    await tx.execute(sql`create schema ods`)
    for (const table of ['a', 'b']) {
      await tx.execute(
        rawSql(`create table ods.${table} as select n, 'x' as t from generate_series(1, ${rowsOfTable}) n`),
      )
    }
  })
})
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

async function open(access: EngineAccess, options: Readonly<Record<string, unknown>> = {}): Promise<Engine> {
  const opening = postgresOpening(url)
  const engine = await openEngine({ ...opening, ...access, options: { ...opening.options, ...options } })
  ending.push(() => engine.close())
  return engine
}

const people: EngineAccess = { access: 'people', masked: [{ schema: 'ods', table: 'a', columns: ['t'] }], closed: [] }

async function rest(result: QueryResult): Promise<number> {
  let count = 0
  for await (const page of result.pages) count += page.length
  return count
}

/** A query that has begun and is not read to its end: it holds its tables. */
async function longReader(text: string): Promise<QueryResult> {
  return (await open(people)).query(rawSql(text), never)
}

test('two queries of people run beside each other, however long one of them takes', async () => {
  const first = await longReader('select * from ods.a')
  const others = await Promise.all([1, 2, 3, 4].map(() => longReader('select t, count(*) from ods.a group by t')))
  for (const other of others) expect(await rest(other)).toBe(1)
  expect(await rest(first)).toBe(rowsOfTable)
})

test('a run writes, adds tables and publishes while people read, and they see the state that they began with', async () => {
  const reader = await longReader('select n from ods.a')
  await writer.transaction(never, async tx => {
    await tx.execute(sql`delete from ods.a where n % 2 = 0`)
    await tx.execute(sql`create table ods.landing (a integer)`)
    await tx.execute(sql`drop table ods.b`)
    await tx.execute(sql`alter table ods.landing rename to b`)
    // In the middle of the publishing transaction somebody asks: of the state before it.
    expect(await rest(await longReader('select n from ods.a'))).toBe(rowsOfTable)
  })
  expect(await rest(await longReader('select n from ods.a'))).toBe(rowsOfTable / 2)
  expect(await rest(await longReader('select * from ods.b'))).toBe(0)
  expect(await rest(reader)).toBe(rowsOfTable)
})

test('who reads a table that a run is making anew is told so after a moment, and others are not held up', async () => {
  await writer.transaction(never, async tx => {
    await tx.execute(sql`drop table ods.a`)
    await tx.execute(sql`create table ods.a (n integer, t text)`)
    await expect(longReader('select * from ods.a')).rejects.toMatchObject({ code: 'ENGINE_BUSY', retry: 'later' })
    expect(await rest(await longReader('select * from ods.b'))).toBe(rowsOfTable)
  })
  expect(await rest(await longReader('select * from ods.a'))).toBe(0)
})

test('a run that makes a table anew waits for its reader and lets new readers pass meanwhile', async () => {
  const reader = await longReader('select * from ods.a')
  const dropping = writer.transaction(never, async tx => {
    await tx.execute(sql`drop table ods.a`)
    return tx.rows(sql`select 1 as done`)
  })
  expect(await rest(await longReader('select * from ods.a'))).toBe(rowsOfTable)
  expect(await rest(reader)).toBe(rowsOfTable)
  expect(await dropping).toEqual([{ done: 1 }])
})

test('a run that waits too long ends with who reads, and has changed nothing', async () => {
  const reader = await longReader('select * from ods.a')
  const dropping = writer.transaction(never, async tx => {
    await tx.execute(sql`delete from ods.b`)
    await tx.execute(sql`drop table ods.a`)
  })
  await expect(dropping).rejects.toMatchObject({
    code: 'ENGINE_BUSY',
    message: expect.stringMatching(new RegExp(`naru query on .* PID ${process.pid}.*since`)),
  })
  expect(await rest(reader)).toBe(rowsOfTable)
  expect(await rest(await longReader('select * from ods.b'))).toBe(rowsOfTable)
})

test('where a run and a reader wait for each other, the reader is left out and the run goes on', async () => {
  const reading = await open({ access: 'read' })
  let writerHasA: () => void = () => {}
  let readerHasB: () => void = () => {}
  const aIsHeld = new Promise<void>(resolve => (writerHasA = resolve))
  const bIsHeld = new Promise<void>(resolve => (readerHasB = resolve))
  const run = writer.transaction(never, async tx => {
    await tx.execute(sql`drop table ods.a`)
    writerHasA()
    await bIsHeld
    await tx.execute(sql`drop table ods.b`)
  })
  const read = reading.transaction(never, async tx => {
    await tx.rows(sql`select max(n) as n from ods.b`)
    await aIsHeld
    readerHasB()
    return tx.rows(sql`select max(n) as n from ods.a`)
  })
  await expect(read).rejects.toMatchObject({ code: 'ENGINE_BUSY' })
  await run
})

test('reading commands see one state, and the server keeps them from writing', async () => {
  const reading = await open({ access: 'read' })
  const counts: (Cell | undefined)[] = []
  await reading
    .transaction(never, async tx => {
      counts.push((await tx.rows(sql`select count(*) as n from ods.a`))[0]?.['n'])
      await writer.transaction(never, other => other.execute(sql`delete from ods.a`))
      counts.push((await tx.rows(sql`select count(*) as n from ods.a`))[0]?.['n'])
      await expect(tx.execute(sql`delete from ods.b`)).rejects.toThrow(/read-only transaction/)
    })
    .catch(() => {})
  expect(counts).toEqual([BigInt(rowsOfTable), BigInt(rowsOfTable)])
})
