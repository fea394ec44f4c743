import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { realEnv, type Env } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { localCoordinator } from './open.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'naru-lease-'))
  folders.push(folder)
  return folder
}

/** Leaves the lease of a process that is gone. */
async function leaveDead(folder: string, number: number): Promise<void> {
  const dead = { holder: 'a dead one', pid: 2 ** 30, started: null, sinceMicros: '0', released: false }
  await writeFile(path.join(folder, `job.lease.${number}`), JSON.stringify(dead))
}

test('of several that begin at once one holds the lease, and the others are refused by its name', async () => {
  for (let round = 0; round < 20; round++) {
    const folder = await makeFolder()
    if (round % 2 === 1) await leaveDead(folder, round)
    const all = [1, 2, 3, 4].map(i => localCoordinator(realEnv(), folder).acquire('job', `taker ${i}`))
    const ended = await Promise.allSettled(all)
    const held = ended.filter(it => it.status === 'fulfilled')
    expect(held).toHaveLength(1)
    for (const it of ended) {
      if (it.status === 'rejected') expect(isNaruError(it.reason, 'RUN_HELD'), String(it.reason)).toBe(true)
    }
    await held[0]?.value.release()
  }
})

test('one that counted before others came and went is no second holder', async () => {
  const folder = await makeFolder()
  await leaveDead(folder, 1)
  let goOn = (): void => {}
  const gate = new Promise<void>(resolve => (goOn = resolve))
  let counted = (): void => {}
  const hasCounted = new Promise<void>(resolve => (counted = resolve))
  let calls = 0
  const env: Env = {
    ...realEnv(),
    files: {
      ...realEnv().files,
      readdir: (async (place: string) => {
        const names = await readdir(place)
        if (calls++ > 0) return names
        counted()
        await gate
        return names
      }) as unknown as Env['files']['readdir'],
    },
  }
  const late = localCoordinator(env, folder).acquire('job', 'the late one')
  late.catch(() => {})
  await hasCounted
  const first = await localCoordinator(realEnv(), folder).acquire('job', 'the first')
  // As a transfer does in the end: nothing stays of it.
  await rm(path.join(folder, `job.lease.${first.token}`))
  const holder = await localCoordinator(realEnv(), folder).acquire('job', 'the holder')
  goOn()
  await rejectsWith('RUN_HELD', late, 'the holder')
  await holder.release()
  const next = await localCoordinator(realEnv(), folder).acquire('job', 'the next')
  expect(next.token > holder.token).toBe(true)
})

test('a lease that is given back, or whose process is gone, is free, and its number is not used again', async () => {
  const folder = await makeFolder()
  await leaveDead(folder, 7)
  const first = await localCoordinator(realEnv(), folder).acquire('job', 'first')
  expect(first.token).toBe(8n)
  await first.release()
  const second = await localCoordinator(realEnv(), folder).acquire('job', 'second')
  expect(second.token).toBe(9n)
  expect(await readdir(folder)).toEqual(['job.lease.9'])
})
