import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { realEnv, type Env } from '../../../core/env.ts'
import type { Position, Topic } from '../contract.ts'
import { openBus } from '../registry.ts'

/** An Env that counts the bytes that are read of files that it opens. */
function countingEnv(): { readonly env: Env; read: number } {
  const real = realEnv()
  const counted = { env: real, read: 0 }
  const open: Env['files']['open'] = async (...given) => {
    const handle = await real.files.open(...given)
    return new Proxy(handle, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown => {
          if (name === 'read') counted.read += Number(args[2])
          return Reflect.apply(value, target, args)
        }
      },
    })
  }
  counted.env = { ...real, files: { ...real.files, open } }
  return counted
}

/** The next message behind a position. */
async function oneAfter(topic: Topic, after: Position): Promise<number> {
  const leaving = new AbortController()
  for await (const messages of topic.read(after, { bytes: 1, signal: leaving.signal })) {
    leaving.abort()
    return messages[0]?.value[0] ?? -1
  }
  return -1
}

test('who reads on from where somebody was does not read its file from the start', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-marks-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const counted = countingEnv()
  const bus = await openBus('log', { options: {}, stateDir: folder, env: counted.env, tell: () => {} })
  onTestFinished(() => bus.close())
  const topic = await bus.openTopic('t', { keepBytes: 1 << 30 })
  const places: Position[] = []
  for (let i = 0; i < 60; i++) {
    places.push(await topic.append([{ key: null, value: new Uint8Array(10_000).fill(i) }]))
  }
  expect(await oneAfter(topic, places[40] as Position)).toBe(41)
  const before = counted.read
  expect(await oneAfter(topic, places[41] as Position)).toBe(42)
  expect(await oneAfter(topic, places[42] as Position)).toBe(43)
  expect(counted.read - before).toBeLessThan(50_000)
  // Whoever was never near is given the same messages.
  expect(await oneAfter(topic, places[3] as Position)).toBe(4)
})
