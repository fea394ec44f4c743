import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { crashPoints, realEnv } from '../../src/core/env.ts'
import type { Topic, TopicMessage } from '../../src/services/bus/contract.ts'
import { openBus } from '../../src/services/bus/registry.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'

const ending: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-bus-'))
  ending.push(() => rm(folder, { recursive: true, force: true }))
  return folder
}

interface Life {
  readonly killed: boolean
  /** The last id of each answered append, with its position. */
  readonly answered: readonly { readonly id: number; readonly position: string }[]
}

/** Appends in a child process, which is killed at a crash point, or after so many answers. */
function live(
  folder: string,
  at: { readonly point: string; readonly visit: number } | { readonly answers: number },
): Promise<Life> {
  const more = 'point' in at ? [at.point, String(at.visit)] : []
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'bus-child.mjs'), folder, ...more])
  let out = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
    if ('answers' in at && out.split('\n').length > at.answers) child.kill('SIGKILL')
  })
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  return new Promise((resolve, reject) => {
    child.on('close', (code, by) => {
      if (by !== 'SIGKILL' && code !== 0) return reject(new Error(errors))
      const lines = out.split('\n').filter(line => line.endsWith('}'))
      const answered = lines.map(line => JSON.parse(line) as { id: number; position: string }).slice(1)
      resolve({ killed: by === 'SIGKILL', answered })
    })
  })
}

/** The messages behind the place that the child kept, each once and in order; every answered one is there. */
async function check(folder: string, { answered }: Life): Promise<void> {
  const bus = await openBus('log', { options: {}, stateDir: folder, env: realEnv(), tell: () => {} })
  const topic = await bus.openTopic('t', { keepBytes: 1e9 })
  const all = await readAll(topic)
  const ids = all.map(it => Number(it.key))
  expect(ids).toEqual(ids.map((_, i) => (ids[0] as number) + i))
  for (const it of all) expect(Buffer.from(it.value).equals(Buffer.alloc(1_000, Number(it.key) & 255))).toBe(true)
  const byPosition = new Map(all.map(it => [it.position, Number(it.key)]))
  const last = answered.at(-1)
  if (last !== undefined) expect(ids.at(-1)).toBeGreaterThanOrEqual(last.id)
  for (const { id, position } of answered.slice(-30)) expect(byPosition.get(position)).toBe(id)
  await bus.close()
}

async function readAll(topic: Topic): Promise<readonly TopicMessage[]> {
  const newest = (await topic.last())?.position
  const stop = new AbortController()
  const all: TopicMessage[] = []
  if (newest === undefined) return all
  for await (const messages of topic.read(null, { bytes: 65_536, signal: stop.signal })) {
    all.push(...messages)
    if (all.at(-1)?.position === newest) stop.abort()
  }
  return all
}

describe('a process that is killed while it appends', () => {
  test('at many moments loses no answered message, and has each once and in order', async () => {
    const folder = await makeFolder()
    let landed = 0
    for (const answers of [2, 7, 20, 45, 90, 150, 33, 61]) {
      const life = await live(folder, { answers })
      landed += life.killed && life.answered.length > 0 ? 1 : 0
      await check(folder, life)
    }
    expect(landed).toBe(8)
  })

  const points = crashPoints.filter(point => point.startsWith('bus.'))
  const visits = (point: string): readonly number[] =>
    /append/.test(point) ? [1, 2, 100] : /topic/.test(point) ? [1] : [1, 3]

  test.each(points.flatMap(point => visits(point).map(visit => ({ point, visit }))))(
    'at $point, visit $visit, goes on from what was answered',
    async ({ point, visit }) => {
      const folder = await makeFolder()
      const life = await live(folder, { point, visit })
      expect(life.killed).toBe(true)
      if (point === 'bus.topic.remove.after') {
        const bus = await openBus('log', { options: {}, stateDir: folder, env: realEnv(), tell: () => {} })
        expect(await bus.topics()).toEqual([])
        // Whoever noted a position of the one that is gone must not take new messages for those.
        const made = await bus.openTopic('t', { keepBytes: 1e9 })
        const next = await made.append([{ key: null, value: Buffer.from('new') }])
        for (const { position } of life.answered) expect(made.compare(next, position)).toBeGreaterThan(0)
        return bus.close()
      }
      await check(folder, life)
      await check(folder, await live(folder, { answers: 10 }))
    },
  )
})

test('a topic that another process has open is refused by its holder, and free when that process is gone', async () => {
  const folder = await makeFolder()
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'bus-child.mjs'), folder])
  const closed = new Promise(resolve => child.on('close', resolve))
  await new Promise(resolve => child.stdout.once('data', resolve))
  // Alive, and not about to end.
  child.kill('SIGSTOP')
  const bus = await openBus('log', { options: {}, stateDir: folder, env: realEnv(), tell: () => {} })
  ending.push(() => bus.close())
  await rejectsWith('BUS_HELD', bus.openTopic('t', { keepBytes: 1e9 }), `process ${child.pid}`)
  await rejectsWith('BUS_HELD', bus.removeTopic('t'), 't')
  child.kill('SIGKILL')
  await closed
  await (await bus.openTopic('t', { keepBytes: 1e9 })).append([{ key: null, value: Buffer.from('x') }])
})
