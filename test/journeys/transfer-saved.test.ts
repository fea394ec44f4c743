import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startNaru, type Ended } from '../support/command.ts'

const root = path.resolve(import.meta.dirname, '../..')
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'naru-saved-'))
  await symlink(root, path.join(folder, 'naru'))
  const database = new sqlite.Database(path.join(folder, 'shop.db'))
  database.exec(`
    create table item (id integer primary key, name text not null);
    insert into item values (1, 'tea'), (2, 'cup'), (3, 'pot')`)
  database.close()
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function configWith(transfers: string): Promise<void> {
  await writeFile(
    path.join(folder, 'naru.config.ts'),
    `import { defineConfig, duckdb } from './naru/dist/index.js'
export default defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [], transfers: { ${transfers} } })`,
  )
}

async function naru(...args: readonly string[]): Promise<Ended> {
  return startNaru(folder, args).ended
}

function rows(file: string): unknown {
  const database = new sqlite.Database(path.join(folder, file))
  try {
    return database.all('select name from item order by id').map(row => row['name'])
  } finally {
    database.close()
  }
}

describe('a transfer with a name', () => {
  beforeAll(() => configWith(`nightly: { from: 'shop.db#item', to: 'copy.db', where: 'id < 3', create: true }`))

  test('is run by it, as the configuration says', async () => {
    expect((await naru('transfer', 'nightly')).status).toBe(0)
    expect(rows('copy.db')).toEqual(['tea', 'cup'])
  })

  test('what the command line says holds over the configuration', async () => {
    expect((await naru('transfer', 'nightly', '--where', 'id = 3', '--mode', 'insert')).status).toBe(0)
    expect(rows('copy.db')).toEqual(['tea', 'cup', 'pot'])
  })

  test('all are listed, also for programs', async () => {
    expect((await naru('transfer')).stdout).toMatch(/nightly +shop\.db#item +copy\.db +replace/)
    const last = (await naru('transfer', '--json')).stdout.trim().split('\n').at(-1) as string
    expect(JSON.parse(last)).toMatchObject({ transfers: [{ name: 'nightly', where: 'id < 3' }] })
  })

  test('a name that is not there ends with those that are', async () => {
    const { status, stderr } = await naru('transfer', 'weekly')
    expect([status, stderr]).toEqual([2, expect.stringContaining('nightly')])
  })
})

test('an address with a password never gets into the configuration, nor into the message', async () => {
  await configWith(`nightly: { from: 'postgres://me:secret@host/db', to: 'copy.db' }`)
  const { stderr } = await naru('transfer', 'nightly')
  expect(stderr).toContain('env:VARIABLE')
  expect(stderr).not.toContain('secret')
})

describe('every table of a system', () => {
  test('is moved into one of the same name, but for those that are named', async () => {
    const database = new sqlite.Database(path.join(folder, 'shop.db'))
    database.exec(
      `create table if not exists line (no integer primary key); create table if not exists scrap (a integer)`,
    )
    database.close()
    const { status, stdout } = await naru('transfer', 'shop.db', 'all.db', '--all', '--except', 'scrap', '--create')
    expect([status, stdout]).toEqual([0, expect.stringContaining('2 tables moved')])
    expect(rows('all.db')).toEqual(['tea', 'cup', 'pot'])
    expect((await naru('sql', '--from', 'all.db', 'select * from scrap')).stderr).toContain('SOURCE_QUERY')
  })

  test.each([
    [['--except', 'nope'], 'nope'],
    [['--where', 'id = 1'], '--where'],
  ])('%j beside --all is refused', async (flags, said) => {
    const { status, stderr } = await naru('transfer', 'shop.db', 'all.db', '--all', ...flags)
    expect([status, stderr]).toEqual([2, expect.stringContaining(said)])
  })
})
