import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import native from '@duckdb/node-bindings'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { rawSql } from '../../../core/sql.ts'
import { testOpening } from '../../../testing/engine.ts'
import type { Cell, Engine } from '../contract.ts'
import { openEngine } from './open.ts'

const never = new AbortController().signal
const ending: (() => Promise<unknown> | void)[] = []
let folder = ''

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-aside-'))
  ending.push(() => rm(folder, { recursive: true }))
})

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

/** An engine whose clock goes on by `pass` alone. */
async function open(
  file = path.join(folder, 'a.duckdb'),
  memory = '1GB',
): Promise<{ engine: Engine; pass: (ms: number) => void }> {
  const opening = testOpening(file)
  const { clock } = opening.env
  let passed = 0
  const env = { ...opening.env, clock: { ...clock, monotonicMs: () => passed } }
  const engine = await openEngine({ ...opening, options: { path: file, memory }, env })
  ending.push(() => engine.close())
  return { engine, pass: ms => void (passed += ms) }
}

function run(engine: Engine, ...statements: readonly string[]): Promise<void> {
  return engine.transaction(never, async tx => {
    for (const statement of statements) await tx.execute(rawSql(statement))
  })
}

async function begin(
  engine: Engine,
  query: string,
  signal = never,
): Promise<AsyncIterator<readonly (readonly Cell[])[]>> {
  const { pages } = await engine.query(rawSql(query), signal)
  return pages[Symbol.asyncIterator]()
}

async function rest(pages: AsyncIterator<readonly (readonly Cell[])[]>): Promise<readonly (readonly Cell[])[]> {
  const rows: (readonly Cell[])[] = []
  for (let it = await pages.next(); it.done !== true; it = await pages.next()) rows.push(...it.value)
  return rows
}

/** Until no reader keeps it from the file; each call that finds it kept has the results put aside. */
async function checkpointed(engine: Engine): Promise<void> {
  while ((await engine.checkpoint()) === 'held') await new Promise(resolve => setImmediate(resolve))
}

const kinds = `i as id, 'text ' || i as s, if(i % 3 = 0, null, i * 1.5)::decimal(20, 3) as d, ['a', null, i::varchar] as l,
  {'x': i, 'it''s "y"': [i]} as st, (['it''s', 'b'][1 + i % 2])::enum('it''s', 'b') as e, map {i: 'm'} as m, i::hugeint as h,
  timestamptz '2020-01-01 00:00:00Z' + to_seconds(i) as at, date '2020-01-01' + i::integer as day, i % 2 = 0 as b, i::varchar::blob as bin,
  to_days(i::integer) as iv, uuid '00000000-0000-0000-0000-000000000001' as u, null as nothing, '{"a": 1}'::json as j, i::bit as bits, time '10:00' as t,
  [i, i + 1]::bigint[2] as arr, i::double / 3 as f, i::utinyint % 200 as tiny, union_value(num := i) as un`

const noSpace = { code: expect.stringMatching(/^(DISK_FULL|ENGINE_MEMORY)$/) }

describe('a result that is read slowly', () => {
  test('keeps no checkpoint from the file: its rows are put aside, of every type, as they were when it began', async () => {
    const { engine, pass } = await open()
    await run(
      engine,
      `create table t as select ${kinds.replace('i::utinyint', '(i % 100)::utinyint')} from range(10000) r(i)`,
    )
    const expected = await rest(await begin(engine, 'select * from t'))
    const pages = await begin(engine, 'select * from t')
    const first = await pages.next()
    await run(engine, `update t set s = 'other'`, `delete from t where id % 2 = 0`)
    pass(5_000)
    await checkpointed(engine)
    expect([...(first.value ?? []), ...(await rest(pages))]).toEqual(expected)
    await checkpointed(engine)
  })

  test('is left alone while it is young: whoever reads at full speed is not disturbed', async () => {
    const { engine, pass } = await open()
    await run(engine, 'create table t as select i from range(10000) r(i)')
    const pages = await begin(engine, 'select * from t')
    await run(engine, 'update t set i = i + 1 where i < 100')
    for (let tries = 0; tries < 3; tries += 1) expect(await engine.checkpoint()).toBe('held')
    pass(5_000)
    await checkpointed(engine)
    expect(await rest(pages)).toHaveLength(10_000)
  })

  test('ends at once, also while it is being put aside', async () => {
    const { engine, pass } = await open()
    await run(engine, 'create table t as select i, md5(i::varchar) as h from range(1000000) r(i)')
    const left = await begin(engine, 'select * from t')
    const stop = new AbortController()
    const stopped = await begin(engine, 'select * from t', stop.signal)
    await run(engine, 'update t set i = i + 1 where i < 100')
    pass(5_000)
    expect(await engine.checkpoint()).toBe('held')
    stop.abort()
    await expect(rest(stopped)).rejects.toMatchObject({ code: 'CANCELLED' })
    await left.return?.()
    expect(await engine.checkpoint()).toBe('done')
    await engine.close()
  })

  test('that finds no space for what is put aside ends with an error, and with no fewer rows', async () => {
    const small = path.join(folder, 'small')
    await mkdir(small)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', small])
    expect(mounted.status, 'only root can make a small disk').toBe(0)
    ending.push(() => void spawnSync('umount', ['-l', small]))
    // 120 MB of rows, which no memory of 60 MB and no compression brings into that.
    const { engine, pass } = await open(path.join(small, 'a.duckdb'), '60MB')
    await run(engine, 'create table t as select i from range(1000) r(i)')
    const pages = await begin(engine, 'select a.i, md5((a.i * b.i)::varchar) as h from t a, t b, range(3)')
    await pages.next()
    await run(engine, 'update t set i = i + 1 where i < 100')
    pass(5_000)
    // The checkpoint may find no space either: it says so, and here the reader is looked at.
    await checkpointed(engine).catch((error: unknown) => expect(error).toMatchObject(noSpace))
    const ended = await rest(pages).then(
      rows => rows.length,
      (error: unknown) => error,
    )
    expect(ended).toMatchObject(noSpace)
  })
})

test('no more than so many bytes are put aside at once: the rest follows in its turn, and every row is there in its order', async () => {
  const { openQuery } = await import('./aside.ts')
  const config = native.create_config()
  native.set_config(config, 'temp_directory', path.join(folder, 'temporary'))
  native.set_config(config, 'memory_limit', '40MB')
  native.set_config(config, 'threads', '1')
  const database = await native.open(':memory:', config)
  ending.push(() => native.close_sync(database))
  const connection = await native.connect(database)
  await native.query(connection, 'begin transaction read only')
  const { env } = testOpening(':memory:')
  const query = await openQuery({
    session: { connection, env, path: ':memory:' },
    connect: () => native.connect(database),
    statement: rawSql(`select i, md5(i::varchar) as h from range(1000000) r(i)`),
    signal: never,
    ended: () => {},
    bytesMax: 1_000_000,
  })
  const pages = query.result.pages[Symbol.asyncIterator]()
  let next = 0n
  let aside = 0
  for (let n = 0; ; n += 1) {
    if (n % 100 === 0) await query.putAside()
    const files = await readdir(path.join(folder, 'temporary')).catch(() => [])
    const sizes = await Promise.all(files.map(file => stat(path.join(folder, 'temporary', file)).catch(() => null)))
    aside = Math.max(
      aside,
      sizes.reduce((sum, it) => sum + (it?.size ?? 0), 0),
    )
    const { done, value } = await pages.next()
    if (done === true) break
    expect(value.every(([i]) => i === next++)).toBe(true)
  }
  expect(next).toBe(1_000_000n)
  // All of it are 60 MB.
  expect(aside).toBeGreaterThan(1_000_000)
  expect(aside).toBeLessThan(20_000_000)
})

test('a query whose rows break off says why', async () => {
  const { engine } = await open()
  await run(engine, `create table t as select if(i = 290000, 'x', i::varchar) as s from range(300000) r(i)`)
  const all = begin(engine, 'select s::integer from t').then(rest)
  await expect(all).rejects.toMatchObject({ code: 'ENGINE_SQL', message: expect.stringContaining('INT32') })
})
