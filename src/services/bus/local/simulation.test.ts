import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { realEnv, type Env } from '../../../core/env.ts'
import { forgetfulDisk, type ForgetfulDisk } from '../../../testing/forgetful-files.ts'
import type { Bus, Topic, TopicMessage } from '../contract.ts'
import { openBus } from '../registry.ts'

let processes = 0

/** A process of its own on that disk: what another held is free. */
function bootOn(disk: ForgetfulDisk): Env {
  const real = realEnv()
  const pid = ++processes
  return { ...real, files: disk.files, processes: { ...real.processes, pid, isAlive: it => it === pid } }
}

interface World {
  readonly disk: ForgetfulDisk
  readonly bus: Bus
  readonly topic: Topic
  readonly notes: readonly string[]
}

async function open(disk: ForgetfulDisk, keepBytes = 1e9): Promise<World> {
  const notes: string[] = []
  const bus = await openBus('log', {
    options: { segmentBytes: 8192 },
    stateDir: '/state',
    env: bootOn(disk),
    tell: note => notes.push(note.code),
  })
  return { disk, bus, topic: await bus.openTopic('t', { keepBytes }), notes }
}

/** A message whose bytes follow from its number. */
function value(id: number, bytes: number): Buffer {
  const made = Buffer.alloc(8 + bytes, id & 255)
  made.writeDoubleLE(id, 0)
  return made
}

function idOf({ value: bytes }: { readonly value: Uint8Array }): number {
  const copy = Buffer.from(bytes)
  const id = copy.readDoubleLE(0)
  assert.ok(copy.subarray(8).every(it => it === (id & 255)))
  return id
}

async function readAll(topic: Topic): Promise<readonly TopicMessage[]> {
  const newest = (await topic.last())?.position
  if (newest === undefined) return []
  const stop = new AbortController()
  const all: TopicMessage[] = []
  for await (const messages of topic.read(null, { bytes: 5_000, signal: stop.signal })) {
    all.push(...messages)
    if (all.at(-1)?.position === newest) stop.abort()
  }
  return all
}

function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

describe('power cuts at any moment', () => {
  test('lose no answered append, give nothing half-written, and no position ever means another message', async () => {
    let cutsInWork = 0
    await fc.assert(
      fc.asyncProperty(fc.integer(), async seed => {
        const random = randomOf(seed)
        const meanings = new Map<string, number>()
        let disk = forgetfulDisk()
        let answered: readonly number[] = []
        let nextId = 0
        for (let life = 0; life < 4; life++) {
          const { bus, topic } = await open(disk)
          const found = await readAll(topic)
          // In the order of the appends; what was not answered may be there too, behind the rest.
          const ids = found.map(idOf)
          assert.deepEqual(ids.slice(0, answered.length), answered)
          assert.deepEqual(
            ids,
            ids.toSorted((a, b) => a - b),
          )
          for (const it of found) {
            assert.equal(meanings.get(it.position) ?? idOf(it), idOf(it))
            meanings.set(it.position, idOf(it))
          }
          const known = [...ids]
          let changes = 0
          const cutAt = Math.floor(random() * 25)
          let after: { readonly disk: ForgetfulDisk; readonly answered: readonly number[] } | null = null
          disk.onChange = () => {
            if (changes++ === cutAt) after = { disk: disk.cut(random), answered: [...known] }
          }
          for (let round = 0; round < 3; round++) {
            const appends = Array.from({ length: 1 + Math.floor(random() * 4) }, async () => {
              const own = Array.from({ length: 1 + Math.floor(random() * 3) }, () => nextId++)
              const last = await topic.append(
                own.map(id => ({ key: id % 2 === 0 ? null : `${id}`, value: value(id, Math.floor(random() * 3_000)) })),
              )
              known.push(...own)
              if (after === null) meanings.set(last, own.at(-1) as number)
            })
            await Promise.all(appends)
          }
          await bus.close()
          cutsInWork += after === null ? 0 : 1
          const cut = after as { disk: ForgetfulDisk; answered: readonly number[] } | null
          disk = cut?.disk ?? disk.cut(random)
          answered = cut?.answered ?? known
        }
      }),
      { numRuns: 150 },
    )
    expect(cutsInWork).toBeGreaterThan(100)
  })

  test('lose no answered acknowledgement', async () => {
    const signal = new AbortController().signal
    await fc.assert(
      fc.asyncProperty(fc.integer(), async seed => {
        const random = randomOf(seed)
        let disk = forgetfulDisk()
        // Messages that are done for good, and those whose acknowledgement was begun at least.
        let [done, begun] = [0, 0]
        for (let life = 0; life < 4; life++) {
          const { bus, topic } = await open(disk, 20_000)
          const one = await topic.subscribe('s', 'start')
          await topic.append(Array.from({ length: 8 }, (_, i) => ({ key: null, value: value(life * 8 + i, 2_000) })))
          let after: { readonly disk: ForgetfulDisk; readonly done: number; readonly begun: number } | null = null
          let [changes, cutAt] = [0, Math.floor(random() * 16)]
          disk.onChange = () => {
            if (changes++ === cutAt) after = { disk: disk.cut(random), done, begun }
          }
          for (let round = 0; round < 2; round++) {
            const { messages } = await one.next({ messages: 1 + Math.floor(random() * 3), signal })
            const first = idOf(messages[0] as TopicMessage)
            assert.ok(first >= done && first <= begun, `${first} is not from ${done} to ${begun}`)
            begun = idOf(messages.at(-1) as TopicMessage) + 1
            await one.acknowledge(messages.at(-1)?.position as string)
            done = begun
          }
          const cut = (after ?? { disk: disk.cut(random), done, begun }) as {
            disk: ForgetfulDisk
            done: number
            begun: number
          }
          ;({ disk, done, begun } = cut)
          await bus.close()
        }
      }),
      { numRuns: 100 },
    )
  })
})
