import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { realEnv, type Env } from '../../../core/env.ts'
import { forgetfulDisk, type ForgetfulDisk } from '../../../testing/forgetful-files.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import type { Bus, Subscription, Topic } from '../contract.ts'
import { openBus } from '../registry.ts'

const signal = new AbortController().signal
const segmentBytes = 4096
let processes = 0

async function open(disk: ForgetfulDisk, keepBytes: number): Promise<{ readonly bus: Bus; readonly topic: Topic }> {
  const real = realEnv()
  const pid = ++processes
  const env: Env = { ...real, files: disk.files, processes: { ...real.processes, pid, isAlive: it => it === pid } }
  const tell = ({ text }: { readonly text: string }): void => assert.fail(text)
  const bus = await openBus('log', { options: { segmentBytes }, stateDir: '/state', env, tell })
  return { bus, topic: await bus.openTopic('t', { keepBytes }) }
}

/** What a subscriber must be given next, as numbers of messages. */
interface Expected {
  acknowledged: number
  given: number
  releases: number
  highest: number
}

type Action =
  | { readonly kind: 'append'; readonly sizes: readonly number[] }
  | { readonly kind: 'next'; readonly who: string; readonly messages: number }
  | { readonly kind: 'acknowledge'; readonly who: string; readonly back: number }
  | { readonly kind: 'release' | 'reopenOne'; readonly who: string }
  | { readonly kind: 'keep'; readonly back: number }
  | { readonly kind: 'reopen' }

const who = fc.constantFrom('a', 'b', 'slow')
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      sizes: fc.array(fc.nat(3_000), { minLength: 1, maxLength: 5 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('next' as const), who, messages: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), who, back: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('release' as const, 'reopenOne' as const), who }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('keep' as const), back: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
)

describe('subscribers, a reader that keeps its place, and retention', () => {
  test('agree with a model in every order of calls', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 60 }), fc.constantFrom(0, 10_000, 1e9), runModel),
      { numRuns: 150 },
    )
  })
})

async function runModel(actions: readonly Action[], keepBytes: number): Promise<void> {
  const disk = forgetfulDisk()
  let { bus, topic } = await open(disk, keepBytes)
  const positions: string[] = []
  const expected = new Map<string, Expected>()
  let open1 = new Map<string, Subscription>()
  let kept = -1
  const subscribe = async (name: string): Promise<void> => {
    open1.set(name, await topic.subscribe(name, 'end'))
    const at = expected.get(name)?.acknowledged ?? positions.length
    expected.set(name, { acknowledged: at, given: at, releases: 0, highest: at })
  }
  const subscribeAll = async (): Promise<void> => {
    open1 = new Map()
    for (const name of ['a', 'b', 'slow']) await subscribe(name)
  }
  await subscribeAll()
  await topic.keep('reader', 'start')
  for (const it of actions) {
    if (it.kind === 'append') {
      const base = positions.length
      const last = await topic.append(it.sizes.map((size, i) => ({ key: `${base + i}`, value: Buffer.alloc(size) })))
      const first = Number(last) - it.sizes.length + 1
      positions.push(...it.sizes.map((_, i) => String(first + i).padStart(20, '0')))
    } else if (it.kind === 'reopen') {
      await bus.close()
      ;({ bus, topic } = await open(disk, keepBytes))
      await subscribeAll()
    } else if (it.kind === 'keep') {
      const at = Math.max(kept, positions.length - 1 - it.back)
      if (at < 0) continue
      await topic.keep('reader', positions[at] as string)
      kept = at
    } else {
      await act(it, open1.get(it.who) as Subscription, expected.get(it.who) as Expected, positions)
      if (it.kind === 'reopenOne') {
        await open1.get(it.who)?.close()
        await subscribe(it.who)
      }
    }
    await checkKept(topic, { positions, kept, keepBytes, needed: [...expected.values()].map(one => one.acknowledged) })
  }
  await bus.close()
}

async function act(
  it: Extract<Action, { who: string }>,
  one: Subscription,
  model: Expected,
  positions: readonly string[],
): Promise<void> {
  if (it.kind === 'next') {
    if (model.given === positions.length) return
    const { messages, attempts } = await one.next({ messages: it.messages, signal })
    const end = model.given + messages.length
    assert.deepEqual(
      messages.map(({ position }) => position),
      positions.slice(model.given, end),
    )
    assert.ok(messages.length >= 1 && messages.length <= it.messages)
    assert.equal(attempts, model.given < model.highest ? model.releases + 1 : 1)
    model.given = end
    model.highest = Math.max(model.highest, end)
  } else if (it.kind === 'acknowledge') {
    const at = model.given - 1 - it.back
    if (at < 0) return
    await one.acknowledge(positions[at] as string)
    model.acknowledged = Math.max(model.acknowledged, at + 1)
    if (model.acknowledged >= model.highest) model.releases = 0
  } else if (it.kind === 'release') {
    await one.release(0)
    model.given = model.acknowledged
    model.releases += 1
  }
}

/** Nothing that somebody needs was removed, and what nobody needs was, down to the limit. */
async function checkKept(
  topic: Topic,
  {
    positions,
    kept,
    keepBytes,
    needed,
  }: {
    readonly positions: readonly string[]
    readonly kept: number
    readonly keepBytes: number
    readonly needed: readonly number[]
  },
): Promise<void> {
  const { bytes, messages } = await topic.size()
  const removed = positions.length - messages
  const first = Math.min(kept + 1, ...needed)
  assert.ok(removed <= first, `${removed} messages are removed, ${first} is needed`)
  // One write may make a segment larger: 5 messages of 3,000 bytes.
  const most = keepBytes + segmentBytes + 16_000 + (positions.length - first) * 3_100 + 16_000
  if (keepBytes < 1e9) assert.ok(bytes <= most, `${bytes} bytes are kept, of at most ${most}`)
}

test('a reader that keeps no place is told when what it wanted was removed', async () => {
  const { topic } = await open(forgetfulDisk(), 0)
  const first = await topic.append([{ key: null, value: Buffer.alloc(3_000) }])
  for (let i = 0; i < 5; i++) await topic.append([{ key: null, value: Buffer.alloc(3_000) }])
  const reading = topic.read(first, { bytes: 1_000, signal })[Symbol.asyncIterator]()
  await rejectsWith('BUS_GAP', reading.next(), `lacks up to 4 messages behind ${first}`)
  // The newest stays: a writer goes on from it.
  expect((await topic.size()).messages).toBe(1)
})

test('a reader that goes back is kept from there, and one that lets go keeps nothing', async () => {
  const disk = forgetfulDisk()
  const { bus, topic } = await open(disk, 0)
  const positions: string[] = []
  await topic.keep('r', 'start')
  for (let i = 0; i < 4; i++) positions.push(await topic.append([{ key: null, value: Buffer.alloc(3_000) }]))
  await topic.keep('r', positions[1] as string)
  expect((await topic.size()).messages).toBe(2)
  await bus.close()
  const again = await open(disk, 0)
  for (let i = 0; i < 4; i++) await again.topic.append([{ key: null, value: Buffer.alloc(3_000) }])
  expect((await again.topic.size()).messages).toBe(6)
  await again.topic.keep('r', null)
  expect((await again.topic.size()).messages).toBe(1)
})
