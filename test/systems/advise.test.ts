import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adviseSource, type AdvicePlace, type TableAdvice } from '../../src/app/advise/advise.ts'
import type { TechniqueAdvice } from '../../src/app/advise/techniques.ts'
import { tryTechniques } from '../../src/app/advise/trial.ts'
import type { SourceDef } from '../../src/config/model.ts'
import { realEnv } from '../../src/core/env.ts'
import { Secret } from '../../src/core/secret.ts'
import { connectMysql } from '../../src/testing/mysql/database.ts'
import { never } from '../../src/testing/engine.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'

let server: MariaDb
let client: Connection
let folder: string

beforeAll(async () => {
  server = await startMariaDb({ 'log-bin': 'on', 'binlog-format': 'ROW', 'performance-schema': 'on', 'server-id': '7' })
  client = await connectMysql(server.url())
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-advise-'))
  for (const statement of [
    `create user reader identified by 'reader'`,
    `create user copier identified by 'copier'`,
    `create table ghost (id integer primary key auto_increment, name varchar(20), updated_at timestamp(6) default now(6) on update now(6), index (updated_at))`,
    `create table locked (id integer primary key, version integer, changed timestamp null, state enum('new', 'done'))`,
    `create table keyless (a integer)`,
    `create table child (id integer primary key, ghost integer, foreign key (ghost) references ghost (id) on delete cascade)`,
    `grant select on shop.* to reader, copier`,
    `grant select on performance_schema.* to reader`,
    `grant process, replication slave, binlog monitor on *.* to copier`,
    `insert into ghost (name) select 'x' from seq_1_to_500`,
    `delete from ghost where id <= 9`,
    `insert into locked select seq, 1, null, if(seq < 9, 'new', 'done') from seq_1_to_100`,
  ])
    await client.query(statement)
}, 300_000)
afterAll(async () => {
  await client?.end()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

const source: SourceDef = {
  name: 'shop',
  adapter: 'mysql',
  options: { url: { kind: 'secret', from: 'env', name: 'SHOP_URL' } },
  tables: [],
}

function place(user: string): AdvicePlace {
  const secret = (): Secret => new Secret(server.url(user, user))
  return { env: realEnv(), configDir: folder, stateDir: path.join(folder, '.naru'), secret }
}

async function adviceOn(table: string, user = 'reader'): Promise<TableAdvice> {
  const { tables } = await adviseSource(place(user), source, { name: `shop.${table}` }, never)
  return tables[0] as TableAdvice
}

function of(advice: TableAdvice, technique: string): TechniqueAdvice & { readonly line: string | null } {
  return advice.techniques.find(it => it.technique === technique) as never
}

test('counters, the clause that moves a time, and grants that are missing are told', async () => {
  const advice = await adviceOn('ghost')
  expect(Number(advice.evidence?.counters?.deletes)).toBeGreaterThan(0)
  expect(advice.candidates[0]).toMatchObject({ column: 'updated_at', makeIndex: null })
  expect(advice.candidates[0]?.reasons.join()).toMatch(
    /the source sets it with every update \(on update current_timestamp/,
  )
  expect(of(advice, 'timestamp').misses.find(it => it.kind === 'late')?.text).toContain('counted')
  expect(
    of(advice, 'timestamp')
      .hints.map(it => it.fix)
      .join(),
  ).toContain('grant process on *.* to')
  expect(of(advice, 'log').possible).toBe('after setup')
  expect(
    of(advice, 'log')
      .needs.map(it => it.fix)
      .join(),
  ).toContain('grant replication slave on *.* to')
})

test('the log is the first choice of an account that may read it', async () => {
  const advice = await adviceOn('ghost', 'copier')
  expect(advice.evidence?.uncounted).toContain('grant select on performance_schema')
  expect(advice.techniques[0]).toMatchObject({
    technique: 'log',
    possible: 'ready',
    line: `ghost: { technique: 'log' },`,
  })
})

test('a counter of each row is no version, a flag is found, and a table without a key says so', async () => {
  const advice = await adviceOn('locked')
  expect(of(advice, 'version').change).toBeNull()
  expect(of(advice, 'status').change).toMatchObject({ flag: { column: 'state', pending: 'new', done: 'done' } })
  const keyless = await adviceOn('keyless')
  expect(of(keyless, 'full')).toMatchObject({ possible: 'after setup' })
  expect(of(keyless, 'full').needs[0]?.fix).toContain('add primary key')
  expect(of(keyless, 'log').hints.map(it => it.fix)).toContain("Write key: 'append' into its schema module.")
})

test('what the log of MariaDB will not have is told', async () => {
  const notes = (await adviceOn('child')).evidence?.notes.join()
  expect(notes).toMatch(/neither its log nor triggers tell what its foreign keys delete or change/)
  expect(notes).toMatch(/crash of its machine.*sync_binlog/)
})

test('a trial under a writer shows ghosts for time and none for the log, which makes nothing at the source', async () => {
  const over = { is: false }
  const session = await connectMysql(server.url())
  const writing = (async () => {
    for (let id = 10; !over.is; id++) {
      await session.query('insert into ghost (name) values (?)', [`row ${id}`])
      if (id < 480) await session.query('delete from ghost where id = ?', [id])
      await session.query('update ghost set name = ? where id = 490', [`name ${id}`])
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  })()
  try {
    const advice = await adviceOn('ghost', 'copier')
    const { results } = await tryTechniques(place('copier'), source, { advice, seconds: 3, install: false }, never)
    expect(results.find(it => it.technique === 'log')).toMatchObject({ lost: 0, stale: 0, ghost: 0, problem: null })
    const timestamp = results.find(it => it.technique === 'timestamp')
    expect(timestamp).toMatchObject({ lost: 0, stale: 0, problem: null })
    expect(timestamp?.ghost).toBeGreaterThan(0)
  } finally {
    over.is = true
    await writing
    await session.end()
  }
}, 180_000)
