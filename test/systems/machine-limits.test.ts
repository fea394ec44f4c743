import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { startPostgresServer } from '../servers/postgres.ts'
import { makeInbox, ordersCsv, type Inbox } from '../support/inbox.ts'
import { expectRefused, makeProject } from '../support/project.ts'

// Limits that a container sets: processes and memory. They are set by control groups, of the old or the new kind.

const root = '/sys/fs/cgroup'
const made: string[] = []
afterEach(() => made.splice(0).forEach(folder => rmdirSync(folder)))

/** A group of its own with one limit; `null` where this machine has no such controller. */
function makeGroup(controller: 'pids' | 'memory', limit: number): string | null {
  const isOld = existsSync(path.join(root, controller))
  const known = path.join(root, 'cgroup.controllers')
  if (!isOld && !(existsSync(known) && readFileSync(known, 'utf8').split(/\s/).includes(controller))) return null
  const folder = path.join(root, ...(isOld ? [controller] : []), `naru-test-${process.pid}-${made.length}`)
  mkdirSync(folder)
  made.push(folder)
  const file = controller === 'pids' ? 'pids.max' : isOld ? 'memory.limit_in_bytes' : 'memory.max'
  writeFileSync(path.join(folder, file), String(limit))
  return folder
}

const rows = 200_000

/** One small order that is published, and a file of many that comes next. */
async function makeLoad(): Promise<Inbox> {
  const inbox = await makeInbox()
  await inbox.put('order1.csv', ordersCsv('1000001,Ann,5,'))
  await inbox.run()
  const noise = 'x'.repeat(200)
  const lines = Array.from({ length: rows }, (_, i) => `${i},${noise}${i},${i % 1000},`)
  await inbox.put('order2.csv', ordersCsv(lines.join('\n')))
  return inbox
}

async function expectWhole(inbox: Inbox): Promise<void> {
  await inbox.run()
  expect(await inbox.rows('select count(*) as n, count(distinct id) as d from ods."order"')).toEqual([
    { n: BigInt(rows + 1), d: BigInt(rows + 1) },
  ])
}

describe('a limit of processes and threads', () => {
  test('that the runtime and the engine need ends a run with what was there as it was', async context => {
    const inbox = await makeLoad()
    const before = await inbox.visible()
    const cgroup = makeGroup('pids', 9) ?? context.skip('this machine has no control group for processes')
    const ended = await inbox.start(['run'], { cgroup }).ended
    expect(ended.status).not.toBe(0)
    expect(await inbox.visible()).toEqual(before)
    await expectWhole(inbox)
    await inbox.remove()
  })

  test('that leaves no thread to read with is told by its name, not as a source that is down', async context => {
    const cgroup = makeGroup('pids', 12) ?? context.skip('this machine has no control group for processes')
    const server = await startPostgresServer('Debian 15')
    await server.client.query('create table sale (id int primary key); insert into sale select generate_series(1, 900)')
    const project = await makeProject({ config: manyThreads, variables: { OPS_URL: server.url } })
    const says = ['no more processes or threads', 'pids limit', 'in interface ops.sale', 'next: naru run']
    const ended = await project.start(['run'], { cgroup }).ended
    expectRefused(ended, { status: 1, code: 'PROCESSES', says })
    expect(ended.stderr).not.toContain('trying again')
    expect((await project.run()).ods).toEqual({ sale: 900 })
    await project.remove()
    await server.stop()
  })
})

const manyThreads = `import { defineConfig, duckdb, env, ods, pg, t } from 'naru'
const ops = pg('ops', {
  url: env('OPS_URL'), chunkRows: 100, connections: 6,
  schema: { sale: { key: ['id'], columns: { id: t.int() } } },
})
const sale = ods.entity('sale', { key: 'id', columns: { id: t.int() } }).from(ops.sale, r => ({ ...r }))
export default defineConfig({ name: 'shop', engine: duckdb({ path: 'data.duckdb' }), models: { sale } })
`

describe('a limit of memory', () => {
  test('that the kernel keeps by a kill leaves what was there, and the next run completes', async context => {
    const inbox = await makeLoad()
    const before = await inbox.visible()
    // Too little to read the file, and to publish its rows.
    for (const MiB of [100, 190]) {
      const cgroup =
        makeGroup('memory', MiB * 1024 * 1024) ?? context.skip('this machine has no control group for memory')
      const ended = await inbox.start(['run'], { cgroup }).ended
      if (ended.status === 0) break
      expect(await inbox.visible()).toEqual(before)
    }
    await expectWhole(inbox)
    await inbox.remove()
  })
})
