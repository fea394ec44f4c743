import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { makeInbox, ordersCsv, type Inbox } from '../support/inbox.ts'

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

const rows = 300_000

/** One small order that is published, and a file of many that comes next. */
async function makeLoad(): Promise<Inbox> {
  const inbox = await makeInbox()
  await inbox.put('order1.csv', ordersCsv('1000001,Ann,5,'))
  await inbox.run()
  const noise = 'x'.repeat(200)
  await inbox.put('order2.csv', ordersCsv(...Array.from({ length: rows }, (_, i) => `${i},${noise}${i},${i % 1000},`)))
  return inbox
}

async function expectWhole(inbox: Inbox): Promise<void> {
  await inbox.run()
  expect(await inbox.rows('select count(*) as n, count(distinct id) as d from ods."order"')).toEqual([
    { n: BigInt(rows + 1), d: BigInt(rows + 1) },
  ])
}

describe('a limit of processes and threads', () => {
  test('ends a run or lets it complete, never with half of it; with more it completes', async context => {
    const inbox = await makeLoad()
    const before = await inbox.visible()
    let refused = 0
    for (const limit of [8, 11, 12, 13, 14, 16, 40]) {
      const cgroup = makeGroup('pids', limit)
      if (cgroup === null) context.skip('this machine has no control group for processes')
      const ended = await inbox.start(['run'], { cgroup: cgroup as string }).ended
      console.log(limit, ended.status, ended.stderr.slice(0, 600))
      if (ended.status === 0) break
      refused++
      expect(await inbox.visible()).toEqual(before)
    }
    expect(refused).toBeGreaterThan(0)
    await expectWhole(inbox)
    await inbox.remove()
  })
})

describe('a limit of memory', () => {
  test('that the kernel keeps by a kill leaves what was there, and the next run completes', async context => {
    const inbox = await makeLoad()
    const before = await inbox.visible()
    let killed = 0
    for (const MiB of [70, 110, 150, 200]) {
      const cgroup = makeGroup('memory', MiB * 1024 * 1024)
      if (cgroup === null) context.skip('this machine has no control group for memory')
      const ended = await inbox.start(['run'], { cgroup: cgroup as string }).ended
      console.log(MiB, ended.status, ended.stderr.slice(0, 600))
      if (ended.status === 0) break
      killed++
      expect(await inbox.visible()).toEqual(before)
    }
    expect(killed).toBeGreaterThan(0)
    await expectWhole(inbox)
    await inbox.remove()
  })
})
