import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Ended, Going } from '../support/command.ts'
import { inboxConfig } from '../support/inbox.ts'
import { expectRefused, makeProject, type TestProject } from '../support/project.ts'

// An end from outside while rows move: Ctrl-C, a polite end by a supervisor, a kill. (`naru run` is ended in runs.test.ts.)

const rows = 5_000
let project: TestProject
beforeAll(async () => {
  project = await makeProject({ config: inboxConfig() })
  const database = new sqlite.Database(path.join(project.folder, 'from.db'))
  database.exec(`create table item (id integer primary key, name text);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${rows})
    insert into item select i, 'name ' || i from n`)
  database.close()
})
afterAll(() => project.remove())

const at = (name: string): string => path.join(project.folder, name)
const transfer = (to: string): readonly string[] => ['transfer', 'from.db#item', to, '--create', '--chunk-rows', '50']

/** A transfer that has staged some of its chunks and is far from its end. */
async function startMoving(to: string): Promise<Going> {
  const going = project.start(transfer(to))
  await expect.poll(unitsStaged, { timeout: 120_000, interval: 20 }).toBeGreaterThan(5)
  return going
}

/** How many units the state file of the one transfer names. */
async function unitsStaged(): Promise<number> {
  const folder = at('.naru/transfer')
  const names = existsSync(folder) ? await readdir(folder) : []
  const [file] = names.filter(name => name.endsWith('.json'))
  if (file === undefined) return 0
  return (JSON.parse(await readFile(path.join(folder, file), 'utf8')) as { units: unknown[] }).units.length
}

/** The same command goes on behind what was staged, and every row is there once. */
async function expectGoesOn(to: string): Promise<void> {
  const again = await project.naru(transfer(to))
  expect(again.status, again.stderr).toBe(0)
  expect(again.stdout).toMatch(/5,000 rows in .*, [\d,]+ of them staged before/)
  expect(again.stdout).toContain('5,000 inserted')
  expect(await readdir(at('.naru/transfer'))).toEqual([])
  await rm(at(to.replace(/#.*/, '')))
}

describe('a transfer in the middle', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s: it stops in time, frees its lease and goes on when it is called again',
    async signal => {
      const going = await startMoving('to.db#item')
      const beganMs = performance.now()
      going.child.kill(signal)
      const ended = await going.ended
      expect(performance.now() - beganMs).toBeLessThan(30_000)
      expectRefused(ended, { status: 1, code: 'CANCELLED', says: ['cancelled', 'Run it again', 'next: naru transfer'] })
      expect(existsSync(at('to.db'))).toBe(false)
      await expectGoesOn('to.db#item')
    },
  )

  test('SIGKILL: it holds nothing, and goes on when it is called again', async () => {
    const going = await startMoving('to.db#item')
    going.child.kill('SIGKILL')
    expect((await going.ended).status).toBeNull()
    expect(existsSync(at('to.db'))).toBe(false)
    await expectGoesOn('to.db#item')
  })

  test('a second one of the same command is refused with its holder, and the first ends well', async () => {
    const first = await startMoving('to.parquet')
    const refused = await project.naru(transfer('to.parquet'))
    const holder = `process ${first.child.pid}`
    expectRefused(refused, { status: 1, code: 'RUN_HELD', says: ['naru transfer', 'to.parquet', holder, 'since'] })
    expect((await first.ended).status).toBe(0)
    await rm(at('to.parquet'))
  })
})

/** A command that waits for a source that accepts and never answers. */
async function startWaiting(args: readonly string[]): Promise<Going> {
  const server = net.createServer(socket => socket.on('error', () => {}))
  const asked = new Promise<void>(resolve => server.once('connection', () => resolve()))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const going = project.start(args, { variables: { OPS_URL: `postgres://me:a-secret-word@127.0.0.1:${port}/ops` } })
  await asked
  return going
}

describe('a command that waits for a server', () => {
  const pull = ['pull', 'ops', '--from', 'postgres', '--url', 'OPS_URL']
  const copy = ['transfer', 'env:OPS_URL#item', 'copy.parquet']

  test.each([
    ['a pull', pull, 'SIGTERM'],
    ['a pull', pull, 'SIGINT'],
    ['a transfer', copy, 'SIGTERM'],
  ] as const)('%s %j ends at once at %s, says so, and leaves nothing', async (_, args, signal) => {
    const going = await startWaiting(args)
    const beganMs = performance.now()
    going.child.kill(signal)
    const ended = await going.ended
    expect(performance.now() - beganMs).toBeLessThan(30_000)
    expectRefused(ended, { status: 1, code: 'CANCELLED', says: [`naru ${args[0]}`] })
    await expectNothingLeft(ended)
  })

  test('a second Ctrl-C ends it without waiting for anything', async () => {
    const going = await startWaiting(pull)
    going.child.kill('SIGINT')
    going.child.kill('SIGINT')
    await expectNothingLeft(await going.ended)
  })

  async function expectNothingLeft(ended: Ended): Promise<void> {
    expect(ended.stderr).not.toContain('a-secret-word')
    expect(existsSync(at('schema'))).toBe(false)
    expect(existsSync(at('copy.parquet'))).toBe(false)
  }
})
