import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import sqlite from 'node-sqlite3-wasm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../config/load.ts'
import { realEnv, type Env } from '../core/env.ts'
import { isNaruError } from '../core/errors.ts'
import { never } from '../testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../testing/postgres/database.ts'
import { pull, type Pulled, type PullRequest } from './pull.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const fromOps: PullRequest['from'] = {
  adapter: 'postgres',
  options: { url: { kind: 'secret', from: 'env', name: 'OPS_URL' } },
}
const config = `
import { defineConfig, duckdb, env, files, ods, pg, t } from 'naru'
import { opsSchema } from './schema/ops.ts'
const ops = pg('ops', { url: env('OPS_URL'), schema: opsSchema })
const drop = files('drop', {
  folder: 'drop',
  tables: { note: { glob: '*.csv', key: 'id', scope: 'full', columns: { id: t.text() } } },
})
const person = ods
  .entity('person', { key: 'person_id', columns: { person_id: t.big(), born: t.date().null() } })
  .from(ops.person, r => ({ person_id: r.person_id, born: r.born }))
export default defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [person, drop] })
`

let database: TestDatabase
let folder: string
let env: Env

beforeAll(async () => {
  database = await startTestDatabase()
  env = { ...realEnv(), variables: { OPS_URL: database.url } }
})
afterAll(() => database?.stop())

beforeEach(async () => {
  // Inside the package: only there does a compiler find `naru` without an installation.
  await mkdir(path.join(root, '.naru'), { recursive: true })
  folder = await mkdtemp(path.join(root, '.naru/pull-'))
  await database.client.query(`
    drop schema public cascade; create schema public;
    create type mood as enum ('sad', 'it''s ok');
    create table person (person_id bigint primary key, name text not null, born date, mood mood, tags text[]);
    create table visit (person_id bigint, at timestamptz(3), cost numeric(9, 2), primary key (at, person_id));
    create view grown_up as select name from person`)
})
afterEach(() => rm(folder, { recursive: true }))

async function pullOps(more: Partial<PullRequest> = {}): Promise<Pulled> {
  const [pulled] = await pull(env, request(more), never)
  if (pulled === undefined) throw new Error('nothing was pulled')
  return pulled
}

function request(more: Partial<PullRequest>): PullRequest {
  const configFile = path.join(folder, 'naru.config.ts')
  return { configFile, names: ['ops'], out: 'schema', all: false, from: fromOps, ...more }
}

const readModule = (): Promise<string> => readFile(path.join(folder, 'schema/ops.ts'), 'utf8')

async function codeOf(task: Promise<unknown>): Promise<string> {
  const error = await task.catch((thrown: unknown) => thrown)
  if (!isNaruError(error)) throw new Error('expected an error of the table', { cause: error })
  expect(error.message).not.toContain('postgres://')
  return error.code
}

describe('pull from PostgreSQL', () => {
  it('the first one needs no configuration and takes every table', async () => {
    const pulled = await pullOps()
    expect(pulled).toMatchObject({ source: 'ops', tables: ['grown_up', 'person', 'visit'], left: [], gone: [] })
    expect(pulled.changed).toBe(true)
    expect(await readModule()).toContain('person_id: t.big(), // bigint')
  })

  it('what it wrote type-checks, evaluates, and fits the configuration that imports it', async () => {
    await pullOps()
    await writeFile(path.join(folder, 'naru.config.ts'), config)
    await writeFile(
      path.join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../examples/airline/tsconfig.json', files: ['naru.config.ts'] }),
    )
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
    const done = spawnSync(process.execPath, [tsc, '--pretty', 'false', '-p', folder], { encoding: 'utf8' })
    expect(done.stdout).toBe('')
    const project = await loadConfig(env, path.join(folder, 'naru.config.ts'))
    expect(project.sources.map(source => source.name)).toEqual(['ops', 'drop'])
  })

  it('with a configuration it renews every database source and passes over the files', async () => {
    await pullOps()
    await writeFile(path.join(folder, 'naru.config.ts'), config)
    await database.client.query('alter table person add column phone text')
    const pulled = await pull(env, request({ names: [], from: null }), never)
    expect(pulled.map(({ source, changed }) => [source, changed])).toEqual([['ops', true]])
    expect(await readModule()).toContain('phone: t.text().null(), // text')
  })

  it('a second one with nothing new leaves the file as it is', async () => {
    const { file } = await pullOps()
    const [text, before] = [await readModule(), await stat(file)]
    expect((await pullOps()).changed).toBe(false)
    expect(await readModule()).toBe(text)
    expect((await stat(file)).ino).toBe(before.ino)
  })

  it('personal data and a key written by hand stay', async () => {
    const { file } = await pullOps()
    const text = (await readModule())
      .replace('    name: t.text(),', '    name: t.text().pii(),')
      .replace('key: []', "key: ['name']")
    expect(text).toContain('.pii()')
    await writeFile(file, text)
    expect((await pullOps()).changed).toBe(false)
    await database.client.query('alter table visit add column place text')
    expect((await pullOps()).changed).toBe(true)
    const renewed = await readModule()
    expect(renewed).toContain('name: t.text().pii(), // text')
    expect(renewed).toContain("key: ['name']")
  })

  it('keeps the tables that a module has; a new one is told, and taken by its name', async () => {
    await pullOps({ names: ['ops.person'] })
    await database.client.query('create table invoice (id int primary key)')
    const again = await pullOps()
    expect(again).toMatchObject({ tables: ['person'], left: ['grown_up', 'invoice', 'visit'], changed: false })
    expect(await pullOps({ names: ['ops.invoice'] })).toMatchObject({ tables: ['invoice', 'person'] })
    expect((await pullOps({ all: true })).tables).toEqual(['grown_up', 'invoice', 'person', 'visit'])
  })

  it('a table that is gone leaves the module and is told', async () => {
    await pullOps()
    await database.client.query('drop table visit')
    expect(await pullOps()).toMatchObject({ tables: ['grown_up', 'person'], gone: ['visit'], changed: true })
    expect(await readModule()).not.toContain('visit')
  })
})

describe('a configuration that names what its module no longer has', () => {
  const changes = config.replace(
    'schema: opsSchema }',
    "schema: opsSchema, changes: { visit: { technique: 'timestamp', column: 'at', deletes: 'keep' } } }",
  )

  it.each([
    ['a key column', config, 'alter table person drop column person_id', /naru\.config\.ts:11: .*"person_id"/],
    ['another column', config, 'alter table person drop column born', /naru\.config\.ts:11: .*"born"/],
    ['a table', config, 'drop table person cascade', /naru\.config\.ts:1[01]: /],
    ['the column of a technique', changes, 'alter table visit drop column at', /naru\.config\.ts:4: .*"at" is none/],
  ])('is read all the same, and the line to correct is told: %s', async (_, text, statement, broken) => {
    await pullOps()
    await writeFile(path.join(folder, 'naru.config.ts'), text)
    await database.client.query(statement)
    const first = await pullOps({ from: null })
    expect(first).toMatchObject({ changed: true, notes: [] })
    await database.client.query('alter table visit add column place text')
    const second = await pullOps({ from: null })
    expect(second.changed).toBe(true)
    expect(await readModule()).toContain('place: t.text().null()')
    expect(second.notes).toEqual([expect.stringMatching(broken)])
    const [all] = await pull(env, request({ names: [], from: null }), never)
    expect(all).toMatchObject({ source: 'ops', changed: false })
  })

  it('but not a source that it makes behind that place', async () => {
    await pullOps()
    await writeFile(path.join(folder, 'naru.config.ts'), config)
    await database.client.query('alter table person drop column born')
    await pullOps({ from: null })
    expect(await codeOf(pullOps({ names: ['late'], from: null }))).toBe('PULL_CONFIG')
  })
})

describe('pull from SQLite', () => {
  it('reads a file that no configuration names', async () => {
    const file = new sqlite.Database(path.join(folder, 'old.sqlite'))
    file.exec('create table strike (strike_id integer primary key, speed integer, note text not null)')
    file.close()
    const from = { adapter: 'sqlite', options: { path: 'old.sqlite' } }
    const [pulled] = await pull(env, request({ names: ['safety'], from }), never)
    expect(pulled?.tables).toEqual(['strike'])
    const text = await readFile(path.join(folder, 'schema/safety.ts'), 'utf8')
    expect(text).toContain('export const safetySchema')
    expect(text).toContain('strike_id: t.big(), // INTEGER')
  })
})

describe('what cannot be pulled', () => {
  it('no configuration: it says how to name the system', async () => {
    expect(await codeOf(pullOps({ from: null }))).toBe('PULL_CONFIG')
  })

  it('a configuration whose module is missing: the same', async () => {
    await writeFile(path.join(folder, 'naru.config.ts'), config)
    expect(await codeOf(pullOps({ from: null }))).toBe('PULL_CONFIG')
  })

  it.each([
    ['a source that the configuration does not use', { names: ['opps'], from: null }, 'SOURCE_UNKNOWN'],
    ['a table that the source does not have', { names: ['ops.persons'] }, 'SOURCE_TABLE_UNKNOWN'],
    ['an address that is not set', { from: { ...fromOps, options: { url: other('GONE_URL') } } }, 'ENV_MISSING'],
  ])('%s', async (_, more, code) => {
    await pullOps()
    await writeFile(path.join(folder, 'naru.config.ts'), config)
    const before = await readModule()
    expect(await codeOf(pullOps(more))).toBe(code)
    expect(await readModule()).toBe(before)
  })

  it('a source without a readable table', async () => {
    await database.client.query('drop table person cascade; drop table visit')
    expect(await codeOf(pullOps())).toBe('SOURCE_CATALOG_EMPTY')
  })

  it('an old module that is broken stays, so that nothing written into it is lost', async () => {
    const { file } = await pullOps()
    await writeFile(file, 'export const opsSchema = {')
    expect(await codeOf(pullOps())).toBe('CONFIG_INVALID')
    expect(await readModule()).toBe('export const opsSchema = {')
  })
})

function other(name: string): object {
  return { kind: 'secret', from: 'env', name }
}
