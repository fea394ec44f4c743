import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ident, rawSql, sql } from '../../../core/sql.ts'
import type { Engine, EngineOpening, Row } from '../contract.ts'
import { testOpening } from '../../../testing/engine.ts'
import { openEngine } from './open.ts'

const never = new AbortController().signal
const ending: (() => Promise<unknown> | void)[] = []
let folder = ''
let file = ''

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-duckdb-'))
  file = path.join(folder, 'a.duckdb')
  ending.push(() => rm(folder, { recursive: true }))
})

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

async function open(
  asked: { readonly path?: string; readonly access?: 'read'; readonly options?: EngineOpening['options'] } = {},
): Promise<Engine> {
  const { path: place = file, options, ...more } = asked
  const engine = await openEngine({ ...testOpening(place), ...more, options: { path: place, ...options } })
  ending.push(() => engine.close())
  return engine
}

function run(engine: Engine, ...statements: readonly string[]): Promise<void> {
  return engine.transaction(never, async tx => {
    for (const statement of statements) await tx.execute(rawSql(statement))
  })
}

function rows(engine: Engine, statement: string): Promise<readonly Row[]> {
  return engine.transaction(never, tx => tx.rows(rawSql(statement)))
}

/** A child process that opens the file with the built engine, runs `body`, and says `ready`. */
function child(body: string): ChildProcess {
  const built = new URL('../../../../dist/', import.meta.url)
  const script = `
    const { realEnv } = await import('${new URL('core/env.js', built).href}')
    const { rawSql } = await import('${new URL('core/sql.js', built).href}')
    const { openEngine } = await import('${new URL('services/engine/duckdb/open.js', built).href}')
    const engine = await openEngine({ options: { path: ${JSON.stringify(file)} }, configDir: '.', access: 'write', env: realEnv() })
    const run = (...statements) => engine.transaction(new AbortController().signal, async tx => {
      for (const statement of statements) await tx.execute(rawSql(statement))
    })
    ${body}
    console.log('ready')
    setInterval(() => {}, 1000)`
  const process = spawn('node', ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  ending.push(() => void process.kill('SIGKILL'))
  return process
}

async function ready(process: ChildProcess): Promise<void> {
  let text = ''
  for await (const chunk of process.stdout as AsyncIterable<Buffer>) {
    text += String(chunk)
    if (text.includes('ready')) return
  }
  throw new Error(`the child process ended before it was ready: ${text}`)
}

async function kill(process: ChildProcess): Promise<void> {
  const exit = once(process, 'exit')
  process.kill('SIGKILL')
  await exit
}

describe('one owner', () => {
  test('a file that another process has open names that process', async () => {
    const holder = child('')
    await ready(holder)
    const held = { code: 'ENGINE_HELD', retry: 'later', message: expect.stringContaining(`PID ${holder.pid}`) }
    await expect(open()).rejects.toMatchObject(held)
    await expect(open({ access: 'read' })).rejects.toMatchObject(held)
    await kill(holder)
    await open()
  })

  test('a file that this process has open is not opened twice', async () => {
    const first = await open()
    await expect(open()).rejects.toMatchObject({ code: 'ENGINE_HELD' })
    await first.close()
    await open()
  })

  test('close gives the file back, also when results were left in the middle', async () => {
    const engine = await open()
    await run(engine, 'create table big as select range a from range(500000)')
    const left = await engine.query(sql`select a from big`, never)
    for await (const page of left.pages) if (page.length > 0) break
    await engine.query(sql`select a from big`, never)
    const half = await engine.query(sql`select a from big`, never)
    await half.pages[Symbol.asyncIterator]().next()
    await engine.close()
    const other = child('')
    await ready(other)
  })
})

describe('a damaged file', () => {
  test('that is no database is refused, and left as it is', async () => {
    await writeFile(file, 'no database'.repeat(1000))
    await expect(open()).rejects.toMatchObject({ code: 'ENGINE_DAMAGED', message: expect.stringContaining(file) })
    expect(String(await readFile(file))).toMatch(/^no database/)
  })

  test('whose log has a flipped byte is refused with a way that loses nothing', async () => {
    const writer = child(
      `await run('create table t as select range a from range(1000)'); await run('insert into t values (-1)')`,
    )
    await ready(writer)
    await kill(writer)
    const log = await readFile(`${file}.wal`)
    const middle = log.length >> 1
    log[middle] = (log[middle] as number) ^ 0xff
    await writeFile(`${file}.wal`, log)
    await copyFile(`${file}.wal`, `${file}.before`)
    await expect(open()).rejects.toMatchObject({
      code: 'ENGINE_DAMAGED',
      fix: expect.stringContaining('Delete nothing'),
    })
    expect(await readFile(`${file}.wal`)).toEqual(await readFile(`${file}.before`))
  })
})

describe('a kill right after the commit', () => {
  const big = `select range::integer a, 'v' || range b from range(200000)`
  const scenarios: Readonly<Record<string, readonly (readonly string[])[]>> = {
    'publishing a landing that was filled by earlier transactions': [
      ['create schema staging', 'create table staging.x__landing (a integer, b varchar)'],
      [`insert into staging.x__landing ${big}`],
      [`insert into staging.x__landing values (-1, 'second chunk')`],
      ['drop table if exists staging.x', 'alter table staging.x__landing rename to x'],
    ],
    'publishing over a table that has rows and a view': [
      [
        'create schema staging',
        'create table staging.x (a integer, b varchar)',
        `insert into staging.x values (0, 'old')`,
      ],
      ['create view staging.v as select * from staging.x'],
      ['create table staging.x__landing (a integer, b varchar)', `insert into staging.x__landing ${big}`],
      [
        'drop table staging.x',
        'alter table staging.x__landing rename to x',
        `insert into staging.x values (-1, 'after')`,
      ],
    ],
    'making, filling and renaming in one transaction, then changing rows': [
      [
        'create schema staging',
        'create table staging.l (a integer, b varchar)',
        `insert into staging.l ${big}`,
        'alter table staging.l rename to x',
      ],
      ['delete from staging.x where a < 10', `update staging.x set b = 'u' where a < 20`],
    ],
    'replacing a table twice under one name': [
      ['create schema staging', `create table staging.x as ${big}`],
      ['drop table staging.x', `create table staging.x as ${big}`],
      [`create or replace table staging.x as select 1 as a, 'z' as b`],
    ],
    'changing the columns of a table with rows': [
      ['create schema staging', `create table staging.x as ${big}`],
      ['alter table staging.x add column c integer default 5', `insert into staging.x values (-1, 'n', 6)`],
      ['alter table staging.x rename column b to bb', `update staging.x set bb = 'k' where a = 1`],
      ['alter table staging.x drop column c'],
    ],
  }

  test.each(Object.entries(scenarios))('%s: the file opens with all of it', async (_, transactions) => {
    const contents = `select count(*) n, sum(hash(x))::varchar h from staging.x x`
    const process = child(transactions.map(it => `await run(...${JSON.stringify(it)})`).join('\n'))
    await ready(process)
    await kill(process)
    expect((await readdir(folder)).includes('a.duckdb.wal')).toBe(true)
    const undisturbed = await open({ path: path.join(folder, 'b.duckdb') })
    for (const statements of transactions) await run(undisturbed, ...statements)

    for (const opening of ['the log is replayed', 'the checkpoint is read']) {
      const engine = await open()
      expect(await rows(engine, contents), opening).toEqual(await rows(undisturbed, contents))
      expect(await rows(engine, `select table_name from duckdb_tables() order by all`)).toEqual([{ table_name: 'x' }])
      await engine.close()
    }
  })

  test('a kill at any moment leaves a published table whole', async () => {
    const loop = `
      await run('create schema staging', 'create table staging.x as select 0 as load, range a from range(50000)')
      console.log('ready')
      for (let load = 1; ; load++) {
        await run('create table staging.l as select ' + load + ' as load, range a from range(50000)')
        await run('drop table staging.x', 'alter table staging.l rename to x')
        if (load % 3 === 0) await engine.checkpoint()
        console.log('published ' + load)
      }`
    for (let round = 1; round <= 3; round++) {
      file = path.join(folder, `${round}.duckdb`)
      const process = child(loop)
      const published = await lastLine(process, round * 4)
      const engine = await open()
      const [found] = await rows(engine, 'select count(*) n, min(load) low, max(load) high from staging.x')
      expect(found).toMatchObject({ n: 50_000n, low: found?.['high'] })
      expect(Number(found?.['high'])).toBeGreaterThanOrEqual(published)
      await engine.close()
    }
  })

  /** Kills the process once it has published `count` loads; gives the last that it told of. */
  async function lastLine(process: ChildProcess, count: number): Promise<number> {
    let text = ''
    for await (const chunk of process.stdout as AsyncIterable<Buffer>) {
      text += String(chunk)
      if (text.includes(`published ${count}\n`)) process.kill('SIGKILL')
    }
    return Math.max(...[...text.matchAll(/published (\d+)\n/g)].map(it => Number(it[1])))
  }
})

describe('what SQL can reach', () => {
  const dangerous = [
    `select * from read_csv('/etc/passwd')`,
    `select * from read_text('/etc/passwd')`,
    `copy t to '/tmp/naru-leak.csv'`,
    `attach '/tmp/naru-leak.duckdb' as leak`,
    `install httpfs`,
    `load httpfs`,
    `set enable_external_access = true`,
    `pragma memory_limit = '64GB'`,
    `export database '/tmp/naru-leak'`,
  ]

  test.each(['write', 'read'] as const)('files and settings are out of reach (access: %s)', async access => {
    const writer = await open()
    await run(writer, 'create table t (a integer)')
    await writer.close()
    const engine = await open(access === 'read' ? { access } : {})
    for (const statement of dangerous) {
      await expect(engine.query(rawSql(statement), never), statement).rejects.toMatchObject({ code: 'ENGINE_SQL' })
      await expect(run(engine, statement), statement).rejects.toMatchObject({ code: 'ENGINE_SQL' })
    }
    await expect(engine.query(sql`select 1; select 2`, never)).rejects.toMatchObject({ code: 'ENGINE_SQL' })
  })

  test('a read-only engine reads what a killed run left in the log, and writes nothing', async () => {
    const writer = child(`await run('create table t as select range a from range(100)')`)
    await ready(writer)
    await kill(writer)
    const before = await readFile(`${file}.wal`)
    const engine = await open({ access: 'read' })
    expect(await rows(engine, 'select count(*) n from t')).toEqual([{ n: 100n }])
    await expect(run(engine, 'insert into t values (1)')).rejects.toMatchObject({ code: 'ENGINE_SQL' })
    await engine.close()
    expect(await readFile(`${file}.wal`)).toEqual(before)
  })
})

describe('limits', () => {
  test('work that does not fit into memory goes to disk beside the file, and is cleared away', async () => {
    const engine = await open({ options: { memory: '60MB', threads: 1 } })
    await run(engine, `create table a as select range id, md5(range::varchar) h from range(600000)`)
    await run(engine, `create table b as select *, row_number() over (order by h) rn from a`)
    expect(await rows(engine, 'select count(*) n from b')).toEqual([{ n: 600_000n }])
    await engine.close()
    expect(await readdir(folder)).toEqual(['a.duckdb'])
  })

  test('work that fits nowhere ends with its own error', async () => {
    const engine = await open({ path: ':memory:', options: { memory: '20MB' } })
    const large = run(engine, `create table a as select range id, md5(range::varchar) h from range(3000000)`)
    await expect(large).rejects.toMatchObject({ code: 'ENGINE_MEMORY' })
    expect(await rows(engine, 'select 1 as a')).toEqual([{ a: 1 }])
  })

  test.each(['much', '2 apples', "1GB'; select 1"])('memory of %s is refused before anything opens', async memory => {
    await expect(open({ options: { memory } })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })

  test('a full disk says so, and what was committed is there afterwards', async context => {
    const small = path.join(folder, 'small')
    spawnSync('mkdir', [small])
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', small])
    if (mounted.status !== 0) return context.skip('only root can make a small disk')
    ending.push(() => void spawnSync('umount', ['-l', small]))
    file = path.join(small, 'a.duckdb')
    const engine = await open()
    await run(engine, 'create table t as select 1 as a')
    const large = run(engine, `create table b as select md5(range::varchar) h from range(2000000)`)
    await expect(large).rejects.toMatchObject({ code: 'DISK_FULL', retry: 'later' })
    await engine.close()
    const again = await open()
    expect(await rows(again, 'select a from t')).toEqual([{ a: 1 }])
    expect(await again.transaction(never, tx => tx.exists(ident('b')))).toBe(false)
  })
})
