import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { inboxConfig, makeInbox, ordersCsv, type Inbox } from '../support/inbox.ts'
import { expectRefused, makeProject, type TestProject } from '../support/project.ts'

// Limits of the machine that Naru runs on: too few open files, no memory, no room. Each of the commands that move rows ends
// with a message that names the limit, or with the work done; what was there stays, and with more of it all completes.

const rows = 5_000
let mover: TestProject
beforeAll(async () => {
  mover = await makeProject({ config: inboxConfig() })
  const database = new sqlite.Database(path.join(mover.folder, 'from.db'))
  database.exec(`create table item (id integer primary key, name text, part text);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${rows})
    insert into item select i, 'name ' || i || ' ' || hex(randomblob(30)), 'p' || (i % 7) from n`)
  database.close()
})
afterAll(() => mover.remove())

const pull = ['pull', 'ops', '--from', 'sqlite', '--path', 'from.db', '--all']
const transfers = {
  'into a database': { args: ['transfer', 'from.db#item', 'to.db#item', '--create'], target: 'to.db' },
  'into a file': { args: ['transfer', 'from.db#item', 'to.parquet'], target: 'to.parquet' },
}

/** What lies beside the source: of a broken command at most its stage, which the next call goes on with. */
async function left(): Promise<readonly string[]> {
  const names = await readdir(mover.folder)
  return names.filter(name => !['.naru', 'inbox', 'naru.config.ts', 'from.db'].includes(name))
}

async function expectNoTarget(target: string): Promise<void> {
  expect((await left()).filter(name => !name.includes('.naru-'))).toEqual([])
  expect(existsSync(path.join(mover.folder, target))).toBe(false)
}

describe('too few open files', () => {
  test('at its start, a run says so and leaves what was there', async () => {
    const inbox = await makeInbox()
    await inbox.put('order1.csv', ordersCsv('1,Ann,5,', '2,Bob,6,'))
    await inbox.run()
    const before = await inbox.visible()
    await inbox.put('order2.csv', ordersCsv('3,Cid,7,'))
    // At which file a limit strikes is up to the loader of modules, which sees some of them as missing packages.
    const said: string[] = []
    for (const filesMax of [64, 56, 48]) {
      const ended = await inbox.start(['run'], { filesMax }).ended
      expect(ended.status).toBe(1)
      said.push(ended.stderr)
      expect(await inbox.visible()).toEqual(before)
    }
    expect(said.join('')).toContain('[OPEN_FILES]')
    await inbox.run()
    expect(await inbox.rows('select id from ods."order" order by id')).toEqual([1, 2, 3].map(id => ({ id })))
    await inbox.remove()
  })

  test('in the middle, a transfer says so, leaves no target, and goes on when it is called again', async context => {
    if (spawnSync('prlimit', ['--version']).status !== 0) context.skip('this machine cannot limit a process that runs')
    const { args, target } = transfers['into a file']
    const slowly = [...args, '--chunk-rows', '50']
    const going = mover.start(slowly)
    await expect.poll(() => existsSync(path.join(mover.folder, '.naru', 'transfer')), { timeout: 120_000 }).toBe(true)
    execFileSync('prlimit', ['--pid', String(going.child.pid), '--nofile=20'])
    const says = ['may not open more files', 'ulimit -n', 'next: naru transfer']
    expectRefused(await going.ended, { status: 1, code: 'OPEN_FILES', says })
    await expectNoTarget(target)
    const again = await mover.naru(slowly)
    expect(again.status, again.stderr).toBe(0)
    expect(await left()).toEqual([target])
    await rm(path.join(mover.folder, target))
  })
})

describe('no room for what is written', () => {
  test.each(Object.entries(transfers))(
    'a transfer %s says so, leaves no target, and completes with room',
    async (_, to) => {
      for (const fileKiBMax of [0, 200]) {
        const ended = await mover.start(to.args, { fileKiBMax }).ended
        expectRefused(ended, { status: 1, code: 'DISK_FULL', says: ['no space left while writing', mover.folder] })
        await expectNoTarget(to.target)
      }
      const ended = await mover.naru(to.args)
      expect(ended.status, ended.stderr).toBe(0)
      expect(await left()).toEqual([to.target])
      await rm(path.join(mover.folder, to.target))
    },
  )

  test('a pull says so, and the module that was there stays whole', async () => {
    expect((await mover.naru(pull)).status).toBe(0)
    const file = path.join(mover.folder, 'schema', 'ops.ts')
    const before = await readFile(file, 'utf8')
    const database = new sqlite.Database(path.join(mover.folder, 'from.db'))
    for (let i = 0; i < 60; i++)
      database.exec(`create table more_${i} (id integer primary key, a text, b text, c text)`)
    database.close()
    // The copy of the source is larger than the module: this much is room for the one and not for the other.
    const ended = await mover.start(pull, { fileKiBMax: 1 }).ended
    expectRefused(ended, { status: 1, code: 'DISK_FULL', says: ['no space left'] })
    expect(await readFile(file, 'utf8')).toBe(before)
    expect(await readdir(path.dirname(file))).toEqual(['ops.ts'])
    await rm(path.dirname(file), { recursive: true })
  })
})

describe('a heap that is too small', () => {
  test.each([12, 20])(
    'of %i MiB ends a run in the middle or lets it complete: never with half of it',
    async heapMiBMax => {
      const inbox = await largeInbox()
      const before = await inbox.visible()
      const ended = await inbox.start(['run'], { heapMiBMax }).ended
      if (ended.status !== 0) expect(await inbox.visible()).toEqual(before)
      await inbox.run()
      expect(await inbox.rows('select count(*) as n, count(distinct id) as d from ods."order"')).toEqual([
        { n: BigInt(rows + 2), d: BigInt(rows + 2) },
      ])
      await inbox.remove()
    },
  )
})

async function largeInbox(): Promise<Inbox> {
  const inbox = await makeInbox()
  await inbox.put('order1.csv', ordersCsv('1000001,Ann,5,', '1000002,Bob,6,'))
  await inbox.run()
  await inbox.put('order2.csv', ordersCsv(...Array.from({ length: rows }, (_, i) => `${i},Person ${i},${i % 1000},`)))
  return inbox
}
