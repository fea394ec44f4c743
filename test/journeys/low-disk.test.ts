import { execFileSync } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import fsp, { rm, statfs, writeFile } from 'node:fs/promises'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { realEnv } from '../../src/core/env.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { freePort } from '../servers/server.ts'
import type { Going } from '../support/command.ts'
import { makeProject, type TestProject } from '../support/project.ts'
import { commit, follow, item, scriptedProject } from '../support/scripted.ts'

/** A disk whose free space the test says. */
function saidDisk(): { free: number; readonly files: typeof fsp } {
  const disk = {
    free: 1e12,
    files: { ...fsp, statfs: (async () => ({ bavail: disk.free, bsize: 1 })) as never },
  }
  return disk
}

const items = 'select id, label from ods.item order by id'

describe('a disk of ours that is nearly full', () => {
  test('stops reading before it is full, says so, and goes on by itself', async () => {
    const disk = saidDisk()
    const project = await scriptedProject({ env: { ...realEnv(), files: disk.files } })
    onTestFinished(() => project.remove())
    await project.happen(commit(item('insert', { id: 1, label: 'a' })))
    const live = await follow(project)
    onTestFinished(() => live.stop())
    await live.untilRows(items, [[1, 'a']])
    const shop = (): { readonly code: string } | null | undefined => live.status()?.sources[0]?.trouble
    disk.free = 100 * 1024 * 1024
    await live.until(async () => {
      await project.happen(commit(item('update', { id: 1, label: 'a' })))
      return shop()?.code === 'DISK_LOW'
    }, 'the wait for disk')
    const confirmed = (await project.confirmed()).at(-1)
    await project.happen(commit(item('insert', { id: 2, label: 'b' })))
    const looks = shop() as unknown as { readonly failures: number }
    await live.until(
      () => ((shop() as unknown as { failures: number })?.failures ?? 0) > looks.failures + 1,
      'two looks',
    )
    expect(await live.rows(items)).toEqual([{ id: 1, label: 'a' }])
    expect((await project.confirmed()).at(-1)).toBe(confirmed)
    disk.free = 1e12
    await live.untilRows(items, [
      [1, 'a'],
      [2, 'b'],
    ])
    await live.until(() => shop() === null, 'all to be well')
    const told = project.events.flatMap(it => (it.kind === 'note' && it.code === 'DISK_LOW' ? [it.text] : []))
    expect(told).toEqual([expect.stringContaining('waits for disk'), expect.stringContaining('is read again')])
  }, 60_000)

  test('ends a run before it reads, with what to do; a run with space goes on', async () => {
    const disk = saidDisk()
    const project = await scriptedProject({ env: { ...realEnv(), files: disk.files } })
    onTestFinished(() => project.remove())
    await project.run()
    await project.happen(commit(item('insert', { id: 1, label: 'a' })))
    disk.free = 1000
    await rejectsWith('DISK_LOW', project.run(), 'has 1000 bytes left, less than the 268435456')
    disk.free = 1e12
    await project.run()
    expect(await project.rows(items)).toEqual([{ id: 1, label: 'a' }])
  }, 60_000)
})

/** A real file system of its own, where this user may mount one. */
function smallDisks(): readonly string[] {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'naru-low-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', folder], { stdio: 'ignore' })
    return [folder]
  } catch {
    rmSync(folder, { recursive: true }) // only root may
    return []
  }
}

const folders = smallDisks()
let server: Going | undefined
afterEach(async () => {
  server?.child.kill('SIGKILL')
  await server?.ended
  server = undefined
})
afterAll(() => {
  for (const folder of folders) {
    execFileSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true })
  }
})

const secret = 'a-key-of-more-than-thirty-two-characters'

describe.each(folders.map(folder => ({ folder })))('the receiver of events', ({ folder }) => {
  test('answers 503 while the disk is full, counts it, and takes what is sent again once there is space', async () => {
    const port = await freePort()
    const project = await makeProject({ config: config(port), variables: { SHOP_SECRET: secret }, folder })
    server = project.start(['start', '--json'])
    await until(async () => (await statusOf(project))?.tables[0]?.state === 'live', 'the stream')
    const send = (id: number): Promise<Answer> => post(port, `k${id}`, { id })
    await until(async () => (await send(1)).status === 200, 'the first event')
    const rows = async (): Promise<string> =>
      (await project.naru(['sql', '--json', 'select id from staging.shop_order order by id'])).stdout
    await until(async () => (await rows()).includes('[["1"]]'), 'its row')
    const filler = path.join(folder, 'filler')
    // To the last byte: not even the key of an event can be kept.
    const { bavail, bsize } = await statfs(folder)
    await writeFile(filler, Buffer.alloc(bavail * bsize)).catch(() => {})
    let answer: Answer | undefined
    await until(async () => (answer = await send(2)).status === 503, 'a refusal')
    expect(answer?.retryAfter).toMatch(/^\d+$/)
    await until(async () => {
      const { status } = await send(2)
      expect(status).toBe(503)
      return (await sourceOf(project)).trouble?.code.startsWith('DISK_') === true
    }, 'the wait for disk')
    const refused = (await sourceOf(project)).refused.find(it => it.status === 503)
    expect(refused?.count).toBeGreaterThan(1)
    await rm(filler)
    await until(async () => (await send(2)).status === 200, 'the event')
    expect(await send(2)).toMatchObject({ status: 200, text: expect.stringContaining('"duplicate":true') })
    await until(async () => (await sourceOf(project)).trouble === null, 'all to be well')
    await until(async () => (await rows()).includes('[["1"],["2"]]'), 'both rows')
  }, 120_000)
})

const config = (port: number): string => `import { defineConfig, duckdb, env, events, t } from 'naru'
const shop = events('shop', {
  secret: env('SHOP_SECRET'), port: ${port},
  schema: { order: { key: ['id'], columns: { id: t.big() } } },
})
export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: [shop], keepFreeBytes: ${8 * 1024 * 1024} })
`

interface Answer {
  readonly status: number
  readonly text: string
  readonly retryAfter: string | undefined
}

/** 0 while nobody listens. */
function post(port: number, key: string, row: { readonly id: number }): Promise<Answer> {
  const text = JSON.stringify({ table: 'order', op: 'insert', key: row, row })
  const seconds = Math.floor(Date.now() / 1000)
  const hex = createHmac('sha256', secret).update(`${seconds}\n${key}\n${text}`).digest('hex')
  const headers = { 'naru-signature': `t=${seconds},v1=${hex}`, 'idempotency-key': key }
  return new Promise(resolve => {
    const request = http.request({ port, host: '127.0.0.1', path: '/events', method: 'POST', headers }, response => {
      let answer = ''
      response.setEncoding('utf8').on('data', (part: string) => (answer += part))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: answer, retryAfter: response.headers['retry-after'] }),
      )
    })
    request.on('error', () => resolve({ status: 0, text: '', retryAfter: undefined }))
    request.end(text)
  })
}

interface ToldSource {
  readonly trouble: { readonly code: string } | null
  readonly refused: readonly { readonly status: number; readonly count: number }[]
}

interface ToldStatus {
  readonly sources: readonly ToldSource[]
  readonly tables: readonly { readonly state: string }[]
}

async function statusOf(project: TestProject): Promise<ToldStatus | null> {
  const { stdout } = await project.naru(['status', '--json'])
  return (JSON.parse(stdout) as { server: { live?: ToldStatus | null } | null }).server?.live ?? null
}

async function sourceOf(project: TestProject): Promise<ToldSource> {
  return (await statusOf(project))?.sources[0] ?? { trouble: null, refused: [] }
}

async function until(check: () => Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`waited for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
