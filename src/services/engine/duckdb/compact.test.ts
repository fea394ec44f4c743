import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { rawSql } from '../../../core/sql.ts'
import { testOpening } from '../../../testing/engine.ts'
import type { Engine, Row } from '../contract.ts'
import { openEngine } from './open.ts'

const never = new AbortController().signal
const ending: (() => Promise<unknown> | void)[] = []
let file = ''

beforeEach(async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-compact-'))
  file = path.join(folder, 'a.duckdb')
  ending.push(() => rm(folder, { recursive: true }))
})

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

async function open(): Promise<Engine> {
  const engine = await openEngine(testOpening(file))
  ending.push(() => engine.close())
  return engine
}

function run(engine: Engine, ...statements: readonly string[]): Promise<void> {
  return engine.transaction(never, async tx => {
    for (const statement of statements) await tx.execute(rawSql(statement))
  })
}

const rows = (engine: Engine, statement: string): Promise<readonly Row[]> =>
  engine.transaction(never, tx => tx.rows(rawSql(statement)))

async function numberOf(engine: Engine, query: string): Promise<number> {
  return Number(Object.values((await rows(engine, query))[0] as Row)[0])
}

const make = (count: number): string =>
  `create table t as select i as id, 0 as v, hash(i) as a, hash(i + 1) as b, hash(i + 2) as c from range(${count}) r(i)`
/** Every `each`th of the rows, another each time. */
const update = (round: number, each: number): readonly string[] => [
  `create or replace temp table k as select * from t where hash(id * 31 + ${round}) % ${each} = 0`,
  `delete from t where id in (select id from k)`,
  `insert into t select id, ${round}, hash(id + ${round}), hash(id - ${round}), hash(id * ${round}) from k`,
]
const blocks = `select total_blocks from pragma_database_size() where database_name = '_naru'`
const stored = `select max(estimated_size) from duckdb_tables() where table_name = 't'`
const contents = `select count(*) as n, sum(hash(id, v, a, b, c))::varchar as h from t`

describe('space of deleted rows', () => {
  test('comes back: after updates of most rows the file is near that of a fresh load, and the rows are the same', async () => {
    const count = 1_500_000
    const engine = await open()
    await run(engine, make(count), `create view v as select id from t`)
    await engine.checkpoint()
    const fresh = await numberOf(engine, blocks)
    const sizes: number[] = []
    for (let round = 1; round <= 6; round += 1) {
      await run(engine, ...update(round, 10))
      const before = await rows(engine, contents)
      await engine.checkpoint()
      expect(await rows(engine, contents)).toEqual(before)
      sizes.push(await numberOf(engine, blocks))
    }
    // Twice as large when everything is merged at once; three tenths more rows when nothing is merged behind the first step.
    expect(Math.max(...sizes) / fresh).toBeLessThan(1.7)
    expect((await numberOf(engine, stored)) / count).toBeLessThan(1.25)
    expect(await numberOf(engine, 'select count(*) from v')).toBe(count)
    expect(await numberOf(engine, 'select count(distinct id) from t')).toBe(count)
  })

  test('is waited for no longer than asked', async () => {
    const engine = await open()
    await run(engine, make(1_000_000))
    await engine.checkpoint()
    await run(engine, ...update(1, 2))
    const kept = await rows(engine, contents)
    await engine.checkpoint(0)
    const some = await numberOf(engine, stored)
    expect(some).toBeGreaterThan(1_200_000)
    expect(await engine.checkpoint(undefined, AbortSignal.abort())).toBe('done')
    expect(await numberOf(engine, stored)).toBe(some)
    await engine.checkpoint()
    // A change is needed for the next step: it makes one.
    expect(await numberOf(engine, stored)).toBeLessThan(some)
    expect(await rows(engine, contents)).toEqual(kept)
  })

  test('is left where readers are open, and the table is whole for them', async () => {
    const engine = await open()
    await run(engine, make(1_000_000))
    await engine.checkpoint()
    const result = await engine.query(rawSql('select id, v from t'), never)
    const pages = result.pages[Symbol.asyncIterator]()
    let seen = (await pages.next()).value?.length as number
    await run(engine, ...update(1, 2))
    const kept = await rows(engine, contents)
    await engine.checkpoint()
    expect(await rows(engine, contents)).toEqual(kept)
    for (;;) {
      const { done, value } = await pages.next()
      if (done === true) break
      seen += value.length
    }
    expect(seen).toBe(1_000_000)
  })

  test('a process that is killed on the way leaves the table whole', async () => {
    const built = new URL('../../../../dist/', import.meta.url)
    const script = `
      const { realEnv } = await import('${new URL('core/env.js', built).href}')
      const { rawSql } = await import('${new URL('core/sql.js', built).href}')
      const { openEngine } = await import('${new URL('services/engine/duckdb/open.js', built).href}')
      const engine = await openEngine({ options: { path: ${JSON.stringify(file)} }, configDir: '.', access: 'write', env: realEnv() })
      const run = statements => engine.transaction(new AbortController().signal, async tx => {
        for (const statement of statements) await tx.execute(rawSql(statement))
      })
      await run([${JSON.stringify(make(1_000_000))}])
      await engine.checkpoint()
      await run(${JSON.stringify(update(1, 2))})
      await engine.checkpoint(0)
      console.log('ready')
      for (;;) await engine.checkpoint()`
    const child = spawn('node', ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exit = once(child, 'exit')
    ending.push(() => void child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await exit
    const engine = await open()
    const undisturbed = await openEngine(testOpening(`${file}.other`))
    ending.push(() => undisturbed.close())
    await run(undisturbed, make(1_000_000), ...update(1, 2))
    expect(await rows(engine, contents)).toEqual(await rows(undisturbed, contents))
  })
})

test('a smaller table is rid of deleted rows as well', async () => {
  const engine = await open()
  await run(engine, make(100_000), `create view v as select id from t`)
  await engine.checkpoint()
  for (let round = 1; round <= 12; round += 1) await run(engine, ...update(round, 4))
  const before = await rows(engine, contents)
  expect(await numberOf(engine, stored)).toBeGreaterThan(300_000)
  await engine.checkpoint()
  expect(await numberOf(engine, stored)).toBeLessThan(160_000)
  expect(await rows(engine, contents)).toEqual(before)
  expect(await numberOf(engine, 'select count(*) from v')).toBe(100_000)
})

test('a table that has a column named as the place of its rows keeps them all', async () => {
  const engine = await open()
  await run(engine, `create table t as select i % 1000 as rowid, i as id, 0 as v from range(1000000) r(i)`)
  await engine.checkpoint()
  const some = `hash(id) % 3 <> 0`
  await run(
    engine,
    `create or replace temp table k as select rowid, id from t where ${some}`,
    `delete from t where ${some}`,
    `insert into t select rowid, id, 1 from k`,
  )
  const all = `select sum(hash(rowid, id, v))::varchar || ' ' || count(*) as it from t`
  const before = await rows(engine, all)
  await engine.checkpoint()
  expect(await rows(engine, all)).toEqual(before)
})
