import { cp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Client } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { decodeHead } from '../../src/app/stream/message.ts'
import { realEnv } from '../../src/core/env.ts'
import { openBus } from '../../src/services/bus/registry.ts'
import { comparePositions } from '../../src/services/adapter/postgres/capture/position.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { startCutting } from '../support/cutting.ts'
import { expectRefused, jsonOf, makeProject, type TestProject } from '../support/project.ts'
import { startServer, statusOf } from '../support/server.ts'

// The named regressions of streams that need a real server and real processes. R2: ties.test.ts. R3, R18: stream-run.test.ts.
// R4 and every crash point: test/crash/stream.test.ts. R7, R17: capture/log.test.ts. R8: stream-postgres.test.ts.

vi.setConfig({ testTimeout: 240_000 })
const waits = { timeout: 120_000, interval: 100 }

let server: TestDatabase
const projects: Ledger[] = []
beforeAll(async () => {
  server = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '20', max_wal_senders: '20' })
}, 180_000)
afterEach(async () => {
  for (const { project, db } of projects.splice(0)) {
    await db.end()
    await project.remove()
  }
})
afterAll(() => server.stop())

const accounts = `account: { key: ['id'], columns: { id: t.int(), v: t.int(), note: t.text().null() } },`
const vaults = `vault: { key: ['id'], columns: { id: t.int(), v: t.int() } },`

interface Parts {
  readonly account?: string
  readonly vault?: string
  /** The vault is of a source of its own, which is polled. */
  readonly isPolled?: boolean
}

function configOf(slot: string, { account = accounts, vault = vaults, isPolled = false }: Parts = {}): string {
  const tables = [account, vault].filter(it => it !== '').map(it => /^\w+/.exec(it)?.[0] ?? '')
  const streamed = tables.filter(name => !isPolled || name !== 'vault')
  const entity = (name: string, text: string): string =>
    `const ${name} = ods.entity('${name}', { key: 'id', columns: ${/columns: (\{.*?\})/.exec(text)?.[1]} }).from(${isPolled && name === 'vault' ? 'bank' : 'shop'}.${name}, r => ({ ...r }))`
  return `import { defineConfig, duckdb, env, ods, pg, t } from 'naru'
const shop = pg('shop', {
  url: env('SHOP_URL'), slot: '${slot}', chunkRows: 40, connectTimeout: '5s',
  schema: { ${account} ${isPolled ? '' : vault} },
  changes: { ${streamed.map(name => `${name}: { technique: 'log' }`).join(', ')} },
})
${isPolled ? `const bank = pg('bank', { url: env('SHOP_URL'), every: '300ms', schema: { ${vault} } })` : ''}
${tables.map(name => entity(name, name === 'account' ? account : vault)).join('\n')}
export default defineConfig({
  name: 'ledger', engine: duckdb({ path: 'data.duckdb' }),
  models: { ${tables.map(name => `${name}: ods.export('${name}', ${name})`).join(', ')} },
})
`
}

/** Accounts and a vault with 11,000 in all, in a database of their own; a project that has read them once. */
interface Ledger {
  readonly project: TestProject
  readonly db: Client
  readonly slot: string
  url(port?: number): string
}

let made = 0
async function ledger(parts: Parts = {}): Promise<Ledger> {
  made += 1
  const slot = `ledger_${made}`
  await server.client.query(`create database ${slot}`)
  const url = (port?: number): string => server.urlWith({ database: slot, ...(port === undefined ? {} : { port }) })
  const db = await server.connect(url())
  await db.query(`
    create table account (id integer primary key, v integer not null, note text);
    create table vault (id integer primary key, v integer not null);
    insert into account select i, 100, 'n' from generate_series(0, 99) i;
    insert into vault select i, 100 from generate_series(0, 9) i`)
  const project = await makeProject({ config: configOf(slot, parts), variables: { SHOP_URL: url() } })
  const it = { project, db, slot, url }
  projects.push(it)
  await project.run()
  return it
}

/** The rows of a table there and here, as text. */
async function expectSame({ project, db }: Ledger, table = 'account', columns = 'id, v, note'): Promise<void> {
  const there = await db.query(`select ${columns} from ${table} order by id`)
  const here = await project.rows(`select ${columns} from ods.${table} order by id`)
  expect(here.map(row => Object.values(row))).toEqual(there.rows.map(row => Object.values(row as object)))
}

/** Moves amounts from accounts to the vault, rolling parts back, with one long transaction between; the sum stays. */
function transfers(db: Client, long: Client): { stop(): Promise<void> } {
  const over = { is: false }
  const going = (async () => {
    for (let n = 0; !over.is; n++) {
      if (n % 40 === 0) await long.query('begin')
      await long.query(`insert into account values (${10_000 + n}, 0, repeat('x', 3000))`)
      await db.query(`begin; update account set v = v - 3 where id = ${(n * 7) % 100};
        savepoint s; update vault set v = v + 1000; rollback to s;
        update vault set v = v + 3 where id = ${(n * 3) % 10}; commit`)
      if (n % 40 === 39) await long.query('commit')
    }
    await long.query('commit')
  })()
  return {
    stop: () => {
      over.is = true
      return going
    },
  }
}

async function confirmedOf({ db, slot }: Ledger): Promise<string> {
  const { rows } = await db.query<{ lsn: string }>(
    `select confirmed_flush_lsn as lsn from pg_replication_slots where slot_name = '${slot}'`,
  )
  return rows[0]?.lsn ?? ''
}

/** Where the newest message of the durable log says that the source is read on. */
async function keptOf({ project }: Ledger): Promise<string> {
  const stateDir = path.join(project.folder, '.naru')
  const bus = await openBus('log', { options: {}, stateDir, env: realEnv(), tell: () => {} })
  try {
    const last = await (await bus.openTopic('changes.shop', { keepBytes: 1 })).last()
    return last === null ? '' : decodeHead(last.value).goesOn
  } finally {
    await bus.close()
  }
}

/** Follows the source, kills the process when it is at work, and gives what it left. */
async function killAtWork(it: Ledger, afterMs: number): Promise<void> {
  const going = await startServer(it.project)
  const before = await confirmedOf(it)
  await expect.poll(() => confirmedOf(it), waits).not.toBe(before)
  await realEnv().clock.sleep(afterMs)
  going.child.kill('SIGKILL')
  await going.ended
}

describe('a process that is killed', () => {
  test('R1: (R7, C1) loses nothing, whenever it is killed; what the source was told to forget is on disk; the sum is right at every look', async () => {
    const it = await ledger()
    const writing = transfers(await server.connect(it.url()), await server.connect(it.url()))
    try {
      for (const afterMs of [0, 50, 300]) {
        await killAtWork(it, afterMs)
        const [confirmed, kept] = [await confirmedOf(it), await keptOf(it)]
        const parts = kept.split(':')
        const confirmedAt = [...parts.slice(0, -1), confirmed].join(':')
        expect(comparePositions(confirmedAt, kept)).toBeLessThanOrEqual(0)
        const sums = 'select (select sum(v) from ods.account) + (select sum(v) from ods.vault) as s'
        expect((await it.project.rows(sums)).map(({ s }) => String(s))).toEqual(['11000'])
      }
    } finally {
      await writing.stop()
    }
    await it.project.run()
    await expectSame(it)
    await expectSame(it, 'vault', 'id, v')
  })

  test('R14: R15: R16: behind a change of columns, a write-ahead log that is torn is read again from the durable log; a damaged one is named and kept', async () => {
    const it = await ledger()
    await it.db.query('update account set v = v + 1 where id < 50')
    const going = await startServer(it.project)
    await it.db.query(`alter table account add colour text; update account set colour = 'red', v = 7 where id = 60`)
    const query = 'select count(*) from ods.account where v in (7, 101)'
    const count = async (): Promise<unknown> => jsonOf(await it.project.naru(['sql', '--json', query]))
    await expect.poll(count, waits).toMatchObject({ rows: [['51']] })
    going.child.kill('SIGKILL')
    await going.ended
    const log = path.join(it.project.folder, 'data.duckdb.wal')
    const bytes = await readFile(log)
    const damaged = Buffer.from(bytes)
    damaged[bytes.length >> 1] = (damaged[bytes.length >> 1] ?? 0) ^ 0xff
    await writeFile(log, damaged)
    const refused = await it.project.naru(['start'])
    expectRefused(refused, { status: 1, code: 'ENGINE_DAMAGED', says: ['data.duckdb.wal', 'Delete nothing'] })
    expect(await readFile(log)).toEqual(damaged)
    await writeFile(log, bytes)
    await truncate(log, bytes.length >> 1)
    await it.project.run()
    await expectSame(it)
  })
})

describe('a connection that breaks', () => {
  test('R5: after any number of bytes: nothing comes twice, and nothing is missing', async () => {
    const it = await ledger()
    const target = Number(new URL(it.url()).port)
    for (const [i, bytes] of [2_500, 9_000, 22_000].entries()) {
      await it.db.query(`update account set v = v + ${i + 1}, note = repeat('${i}', 200) where id < 40`)
      const proxy = await startCutting(target, bytes, { once: true })
      await it.project.naru(['run'], { SHOP_URL: it.url(proxy.port) })
      await proxy.stop()
    }
    await it.project.run()
    await expectSame(it)
    const versions = await it.project.rows('select count(*) as n from staging.shop_account__past where id = 7')
    expect(versions).toEqual([{ n: 3n }])
  })
})

test('values of columns that the config does not name never reach our disk', async () => {
  const it = await ledger({ account: `account: { key: ['id'], columns: { id: t.int(), v: t.int() } },` })
  await it.db.query(`
    alter table account replica identity full;
    insert into account values (1001, 1, 'not-for-us');
    update account set note = 'not-for-us', v = v + 1 where id < 5;
    update account set id = 2000, note = 'not-for-us' where id = 6;
    delete from account where id = 1`)
  await it.project.run()
  await it.db.query(`insert into account values (1002, 1, 'not-for-us'); delete from account where id = 1001`)
  await it.project.run()
  await expectSame(it, 'account', 'id, v')
  const files = await readdir(path.join(it.project.folder), { recursive: true, withFileTypes: true })
  const held: string[] = []
  for (const file of files.filter(entry => entry.isFile() && !entry.parentPath.includes('node_modules'))) {
    const bytes = await readFile(path.join(file.parentPath, file.name))
    if (bytes.includes('not-for-us')) held.push(file.name)
  }
  expect(held).toEqual([])
  expect(files.some(entry => entry.name.endsWith('.log') && entry.parentPath.includes('bus'))).toBe(true)
})

describe('a source that no longer gives what was read', () => {
  const gone = { status: 1, code: 'POSITION_LOST' } as const

  test('R6: a slot that was dropped, or dropped and made anew: it stops, and names the gap and the next command', async () => {
    const it = await ledger()
    await it.db.query(`select pg_drop_replication_slot('${it.slot}'); update account set v = 7 where id = 1`)
    await it.db.query(`select pg_create_logical_replication_slot('${it.slot}', 'pgoutput')`)
    const says = [`the replication slot "${it.slot}" begins at`, 'may be missed', 'naru resync']
    expectRefused(await it.project.naru(['run']), { ...gone, says })
    expect(await it.project.rows('select v from ods.account where id = 1')).toEqual([{ v: 100 }])
  })

  test('a table that left the publication, or was made anew, is not put back without a word', async () => {
    const it = await ledger()
    await it.db.query(`alter publication ${it.slot} drop table account; update account set v = 7 where id = 1`)
    await it.db.query('update vault set v = 5 where id = 1')
    const expectLeft = async (): Promise<void> => {
      const run = await it.project.naru(['run'])
      expect(run.status, run.stderr).toBe(5)
      expect(run.stdout).toMatch(
        /shop\.account is not followed any more: it left the publication "\w+", or was made anew/,
      )
      expect(run.stdout).toContain('naru resync shop.account')
    }
    await expectLeft()
    await expectSame(it, 'vault', 'id, v')
    await it.db.query(`alter publication ${it.slot} add table account`)
    await it.db.query('update account set v = 8 where id = 2')
    await expectLeft()
    await it.db.query(
      'create table other (like account including all); drop table account; alter table other rename to account',
    )
    await expectLeft()
    const done = await it.project.naru(['resync', 'shop.account'])
    expect(done.status, done.stderr).toBe(0)
    await it.db.query(`insert into account values (1, 9, 'new')`)
    await it.project.run()
    await expectSame(it)
    expect(await it.project.rows('select count(*)::integer as n from ods.account')).toEqual([{ n: 1 }])
  })

  test('R19: a second reader of a slot is refused, and the first is named', async () => {
    const it = await ledger()
    await startServer(it.project)
    const second = await makeProject({ config: configOf(it.slot), variables: it.project.variables })
    try {
      const says = [
        `reads the replication slot "${it.slot}"`,
        'application "naru',
        'a name of its own: the option slot',
      ]
      expectRefused(await second.naru(['run']), { status: 1, code: 'CAPTURE_HELD', says })
    } finally {
      await second.remove()
    }
    expect((await statusOf(it.project)).server?.state).toBe('well')
  })
})

describe('several at once', () => {
  test('R19: a copy of the project folder, and an older state of all of it: who comes second is told what it misses', async () => {
    const it = await ledger()
    const copy = await makeProject({ config: configOf(it.slot), variables: it.project.variables })
    try {
      await cp(it.project.folder, copy.folder, { recursive: true })
      await it.db.query('update account set v = 7 where id = 1')
      await it.project.run()
      await expectSame(it)
      const says = [`the replication slot "${it.slot}" begins at`, 'may be missed', 'naru resync']
      expectRefused(await copy.naru(['run']), { status: 1, code: 'POSITION_LOST', says })
      await it.db.query('update account set v = 8 where id = 1')
      await it.project.run()
      await expectSame(it)
    } finally {
      await copy.remove()
    }
  })

  test('commands that read one table again, beside a server and a run, take their turns', async () => {
    const it = await ledger()
    await startServer(it.project)
    const commands = [['resync', 'shop.account'], ['resync', 'shop'], ['run'], ['resync', 'shop.account']]
    const going = commands.map(args => it.project.naru(args))
    for (let n = 0; n < 20; n++) await it.db.query(`update account set v = v + 1 where id % 20 = ${n}`)
    const ended = await Promise.all(going)
    expect(ended.map(({ status, stderr }) => [status, status === 0 ? '' : stderr])).toEqual(commands.map(() => [0, '']))
    await it.project.naru(['stop'])
    await it.project.run()
    await expectSame(it)
  })
})

describe('a durable log that is lost', () => {
  test('stops its stream alone: every command says so, and what it names mends it', async () => {
    const it = await ledger({ isPolled: true })
    const bus = path.join(it.project.folder, '.naru', 'bus')
    expect((await it.project.naru(['check'])).status).toBe(0)
    await rename(bus, `${bus}.away`)
    await it.db.query('update account set v = 7 where id = 1; update vault set v = 8 where id = 1')
    const run = await it.project.naru(['run'])
    expect(run.status, run.stderr).toBe(5)
    expect(run.stdout).toMatch(/Not read, as it was before: shop.account: .* is gone.* naru resync shop /)
    const vault = `select v from ods.vault where id = 1`
    expect(await it.project.rows(vault)).toEqual([{ v: 8 }])
    const checked = await it.project.naru(['check'])
    expect(checked).toMatchObject({ status: 1, stdout: expect.stringMatching(/naru resync shop [^]*STREAM_LOG_GONE/) })
    const server = await startServer(it.project)
    await it.db.query('update vault set v = 9 where id = 1')
    await expect
      .poll(async () => jsonOf(await it.project.naru(['sql', '--json', vault])), waits)
      .toMatchObject({
        rows: [[9]],
      })
    expect((await it.project.naru(['check'])).stdout).toMatch(/naru resync shop [^]*STREAM_LOG_GONE/)
    expect((await it.project.naru(['status'])).stdout).toMatch(/IN TROUBLE[^]*naru resync shop /)
    server.child.kill('SIGTERM')
    const { stderr } = await server.ended
    expect(stderr).toContain('it stands still until that is mended')
    expect(stderr).not.toContain('it is tried again')
    await rm(bus, { recursive: true })
    await rename(`${bus}.away`, bus)
    await it.project.run()
    await expectSame(it)
    await it.db.query('update account set v = 10 where id = 1')
    await rm(bus, { recursive: true })
    expect((await it.project.naru(['resync', 'shop'])).status).toBe(0)
    await expectSame(it)
    expect((await it.project.naru(['check'])).status).toBe(0)
  })
})

describe('a configuration that changes', () => {
  test('a table and a column that it left for a while are read again: what happened meanwhile is not missed', async () => {
    const it = await ledger()
    await it.project.configure(
      configOf(it.slot, { account: accounts.replace(', note: t.text().null()', ''), vault: '' }),
    )
    await it.db.query(
      `update account set note = 'meanwhile' where id = 1; update vault set v = 7; delete from vault where id = 2`,
    )
    expect((await it.project.run()).stderr).toContain('shop.vault is in the configuration no more')
    await it.project.configure(configOf(it.slot))
    await it.db.query('update account set v = 9 where id = 3; update vault set v = 8 where id = 3')
    await it.project.run()
    await expectSame(it)
    await expectSame(it, 'vault', 'id, v')
  })

  test('a load of a stream that was taken back is read again: the source does not tell its changes a second time', async () => {
    const it = await ledger()
    await it.db.query(
      'update account set v = 7 where id = 1; delete from account where id = 2; update account set id = 500 where id = 3',
    )
    await it.project.run()
    const [last] = await it.project.rows(`select max(load) as load from naru.load where "table" = 'account'`)
    const undone = await it.project.naru(['undo', String(last?.['load'])])
    expect(undone.status, undone.stderr).toBe(0)
    expect(await it.project.rows('select v from ods.account where id in (1, 2)')).toEqual([{ v: 100 }, { v: 100 }])
    await it.project.run()
    await expectSame(it)
  })
})
