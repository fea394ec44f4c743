import assert from 'node:assert/strict'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import type { Bus, Message, Topic, TopicMessage } from './contract.ts'

/** A bus for the suite. */
export interface BusSystem {
  readonly bus: Bus
  /** Closes the bus and opens it again, as another process would. */
  reopen(): Promise<Bus>
  /** Another bus over the same topics, as another process has it; the caller of the suite closes it. */
  beside(): Promise<Bus>
}

/** One promise of the contract, checked against a bus of its own without topics. */
export interface BusPromise {
  readonly name: string
  readonly check: (system: BusSystem) => Promise<void>
}

const settings = { keepBytes: 64 * 1024 * 1024 }
const signal = AbortSignal.timeout(24 * 3_600_000)

/** What every bus must keep. The test runner of the caller names and runs each. */
export const busPromises: readonly BusPromise[] = [
  {
    name: 'messages are read as they were appended, in order, with key, value and time',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      const given: Message[] = [
        { key: 'a', value: Buffer.from('one') },
        { key: null, value: new Uint8Array(0) },
        { key: '', value: Buffer.from('한국어') },
        { key: 'a', value: new Uint8Array(3_000_000).fill(7) },
      ]
      const position = await topic.append(given)
      const read = await readAll(topic)
      assert.deepEqual(read.map(plain), given.map(plain))
      assert.equal(read.at(-1)?.position, position)
      for (const it of read) assert.ok(it.appendedMicros > 1_600_000_000_000_000n)
      for (const it of read) assert.equal(it.value.byteOffset % 8, 0)
    },
  },
  {
    name: 'a key that is no text is refused, and nothing of its append is there',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      await rejectsWith('BUS_KEY', topic.append([text('one'), { key: 'half \ud83d', value: new Uint8Array(1) }]))
      assert.equal(await topic.last(), null)
    },
  },
  {
    name: 'the newest message is there after the bus was opened again, and null when there never was one',
    check: async ({ bus, reopen }) => {
      const topic = await bus.openTopic('t', settings)
      assert.equal(await topic.last(), null)
      const position = await topic.append([text('one'), text('two')])
      assert.deepEqual([(await topic.last())?.position, plain(await topic.last())], [position, plain(text('two'))])
      const again = await (await reopen()).openTopic('t', settings)
      assert.equal((await again.last())?.position, position)
      assert.equal(again.compare(position, await again.append([text('three')])) < 0, true)
      assert.deepEqual(await texts(again), ['one', 'two', 'three'])
    },
  },
  {
    name: 'who looks into a topic beside its writer sees what was answered, reads to its end, and disturbs nobody',
    check: async ({ bus, beside }) => {
      const topic = await bus.openTopic('t', settings)
      const first = await topic.append([text('one')])
      await (await topic.subscribe('slow', 'start')).acknowledge(first)
      await topic.append([text('two'), text('three')])
      const other = await beside()
      const look = await other.lookAt('t')
      assert.ok(look !== null)
      const newest = await topic.append([text('four')])
      assert.deepEqual(plain(await look.last()), plain(text('three')))
      const read: (readonly TopicMessage[])[] = []
      for await (const messages of look.read(first, { bytes: 1, signal })) read.push(messages)
      assert.deepEqual(read.flat().map(plain), [text('two'), text('three')].map(plain))
      assert.equal(look.behind(first).messages, 2)
      assert.deepEqual(
        (await look.subscribers()).map(it => [it.name, it.position, it.messages]),
        [['slow', first, 2]],
      )
      assert.equal((await (await other.lookAt('t'))?.last())?.position, newest)
      await rejectsWith('BUS_HELD', other.openTopic('t', settings))
    },
  },
  {
    name: 'a look makes no topic, keeps none from being opened, and of one that is open here it is that one',
    check: async ({ bus, beside }) => {
      const other = await beside()
      assert.equal(await other.lookAt('t'), null)
      assert.deepEqual(await other.topics(), [])
      const topic = await bus.openTopic('t', settings)
      assert.equal(await (await other.lookAt('t'))?.last(), null)
      await topic.append([text('one')])
      assert.deepEqual(plain((await (await bus.lookAt('t'))?.last()) ?? null), plain(text('one')))
      await bus.close()
      assert.deepEqual(plain((await (await other.lookAt('t'))?.last()) ?? null), plain(text('one')))
      await (await other.openTopic('t', settings)).append([text('two')])
    },
  },
  {
    name: 'appends at once are each answered with a position of their own, in the order of the calls',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      const positions = await Promise.all(Array.from({ length: 200 }, (_, i) => topic.append([text(`${i}`)])))
      assert.deepEqual(
        positions.toSorted((a, b) => topic.compare(a, b)),
        positions,
      )
      assert.equal(new Set(positions).size, 200)
      assert.deepEqual(
        await texts(topic),
        positions.map((_, i) => `${i}`),
      )
    },
  },
  {
    name: 'a read begins behind the position that it is given',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      const second = await topic.append([text('one'), text('two')])
      const last = await topic.append([text('three')])
      assert.deepEqual(await texts(topic, second), ['three'])
      const stop = new AbortController()
      const reading = topic.read(last, { bytes: 1000, signal: stop.signal })[Symbol.asyncIterator]()
      const next = reading.next()
      await topic.append([text('four')])
      assert.deepEqual((await next).value?.map(textOf), ['four'])
      stop.abort()
      assert.equal((await reading.next()).done, true)
    },
  },
  {
    name: 'a waiting read ends when its signal aborts',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      const stop = new AbortController()
      const next = topic.read(null, { bytes: 1000, signal: stop.signal })[Symbol.asyncIterator]().next()
      stop.abort()
      assert.equal((await next).done, true)
    },
  },
  {
    name: 'a read gives no more bytes at once than it is asked for, unless one message is larger',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      const sizes = [100, 50_000, 100, 100, 9_000, 2_000_000, 5]
      await topic.append(sizes.map(size => ({ key: null, value: new Uint8Array(size) })))
      const stop = new AbortController()
      const seen: number[] = []
      for await (const messages of topic.read(null, { bytes: 10_000, signal: stop.signal })) {
        const bytes = messages.reduce((sum, it) => sum + it.value.length, 0)
        assert.ok(messages.length === 1 || bytes <= 10_000, `${bytes} bytes at once`)
        seen.push(...messages.map(it => it.value.length))
        if (seen.length === sizes.length) stop.abort()
      }
      assert.deepEqual(seen, sizes)
    },
  },
  {
    name: 'a position that the topic never gave is refused',
    check: async ({ bus }) => {
      const other = await bus.openTopic('other', settings)
      const ahead = await other.append([text('one'), text('two')])
      const topic = await bus.openTopic('t', settings)
      await topic.append([text('one')])
      await rejectsWith('BUS_POSITION', texts(topic, ahead), '"t"')
      await rejectsWith('BUS_POSITION', texts(topic, 'elsewhere'), 'elsewhere')
      await rejectsWith('BUS_POSITION', topic.keep('r', ahead))
    },
  },
  {
    name: 'a subscriber gets each message until it acknowledges it, also after the bus was opened again',
    check: async ({ bus, reopen }) => {
      const topic = await bus.openTopic('t', settings)
      await topic.append(['a', 'b', 'c', 'd', 'e'].map(text))
      const one = await topic.subscribe('s', 'start')
      const first = await one.next({ messages: 2, signal })
      assert.deepEqual([first.messages.map(textOf), first.attempts], [['a', 'b'], 1])
      await one.acknowledge(first.messages[0]?.position as string)
      assert.deepEqual((await one.next({ messages: 1, signal })).messages.map(textOf), ['c'])
      const again = await (await reopen()).openTopic('t', settings)
      const two = await again.subscribe('s', 'end')
      const rest = await two.next({ messages: 100, signal })
      assert.deepEqual(rest.messages.map(textOf), ['b', 'c', 'd', 'e'])
      await two.acknowledge(rest.messages.at(-1)?.position as string)
      await two.close()
      const three = await again.subscribe('s', 'start')
      await again.append([text('f')])
      assert.deepEqual((await three.next({ messages: 100, signal })).messages.map(textOf), ['f'])
    },
  },
  {
    name: 'what a subscriber releases is given again, and counted',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      await topic.append(['a', 'b', 'c'].map(text))
      const one = await topic.subscribe('s', 'start')
      for (const attempts of [1, 2, 3]) {
        const { messages, attempts: counted } = await one.next({ messages: 2, signal })
        assert.deepEqual([messages.map(textOf), counted], [['a', 'b'], attempts])
        if (attempts < 3) await one.release(1)
        else await one.acknowledge(messages[1]?.position as string)
      }
      const { messages, attempts } = await one.next({ messages: 2, signal })
      assert.deepEqual([messages.map(textOf), attempts], [['c'], 1])
    },
  },
  {
    name: 'a waiting subscriber gets what is appended, and ends when its signal aborts',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      await topic.append([text('before')])
      const one = await topic.subscribe('s', 'end')
      const next = one.next({ messages: 10, signal })
      await topic.append([text('after')])
      assert.deepEqual((await next).messages.map(textOf), ['after'])
      const stop = new AbortController()
      const waiting = one.next({ messages: 10, signal: stop.signal })
      stop.abort(new Error('stop now'))
      await assert.rejects(waiting, /stop now/)
      // The wait is over, and what is there is given all the same.
      await topic.append([text('there')])
      assert.deepEqual((await one.next({ messages: 10, signal: stop.signal })).messages.map(textOf), ['there'])
    },
  },
  {
    name: 'a subscription has one holder, and another is refused by its name',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      const [one, two] = await Promise.allSettled([topic.subscribe('s', 'end'), topic.subscribe('s', 'end')])
      assert.deepEqual([one.status, two.status], ['fulfilled', 'rejected'])
      await rejectsWith('BUS_HELD', topic.subscribe('s', 'end'), '"s"')
      await rejectsWith('BUS_HELD', topic.unsubscribe('s'), '"s"')
      if (one.status === 'fulfilled') await one.value.close()
      await topic.unsubscribe('s')
      await topic.unsubscribe('s')
      await topic.append([text('a')])
      const again = await topic.subscribe('s', 'start')
      assert.deepEqual((await again.next({ messages: 1, signal })).messages.map(textOf), ['a'])
      await topic.subscribe('other', 'end')
    },
  },
  {
    name: 'topics are named and removed, and one that is made again is empty',
    check: async ({ bus, reopen }) => {
      const topic = await bus.openTopic('changes.shop', settings)
      await topic.append([text('a')])
      await (await topic.subscribe('s', 'start')).close()
      await bus.openTopic('b', settings)
      assert.deepEqual(await bus.topics(), ['b', 'changes.shop'])
      await bus.removeTopic('changes.shop')
      await bus.removeTopic('changes.shop')
      await rejectsWith('BUS_CLOSED', topic.append([text('b')]))
      const again = await reopen()
      assert.deepEqual(await again.topics(), ['b'])
      assert.equal(await (await again.openTopic('changes.shop', settings)).last(), null)
    },
  },
  {
    name: 'a topic that is made behind positions of an earlier one gives none of them again, and takes them for done',
    check: async ({ bus, reopen }) => {
      const first = await bus.openTopic('t', settings)
      const old = [await first.append([text('a')]), await first.append([text('b'), text('c')])]
      await bus.removeTopic('t')
      const made = await bus.openTopic('t', { ...settings, behind: old })
      assert.equal(await made.last(), null)
      await (await made.subscribe('s', 'start')).close()
      const again = await (await reopen()).openTopic('t', settings)
      assert.equal(await again.last(), null)
      const next = await again.append([text('d')])
      for (const position of old) assert.ok(again.compare(next, position) > 0)
      const subscription = await again.subscribe('s', 'start')
      await subscription.acknowledge(old[1] as string)
      const { messages } = await subscription.next({ messages: 1, signal: new AbortController().signal })
      assert.deepEqual(
        messages.map(it => it.position),
        [next],
      )
      await subscription.close()
    },
  },
  {
    name: 'after close every call says so, and what waits ends',
    check: async ({ bus }) => {
      const topic = await bus.openTopic('t', settings)
      const one = await topic.subscribe('s', 'start')
      const waiting = [one.next({ messages: 1, signal }), texts(topic)].map(it => rejectsWith('BUS_CLOSED', it))
      await bus.close()
      await Promise.all(waiting)
      await rejectsWith('BUS_CLOSED', topic.append([text('a')]))
      await rejectsWith('BUS_CLOSED', topic.last())
      await rejectsWith('BUS_CLOSED', one.next({ messages: 1, signal }))
      await rejectsWith('BUS_CLOSED', bus.openTopic('t', settings))
      await rejectsWith('BUS_CLOSED', bus.topics())
    },
  },
]

function text(value: string): Message {
  return { key: null, value: Buffer.from(value) }
}

function textOf({ value }: Message): string {
  return Buffer.from(value).toString()
}

/** What was given and what came, in one form. */
function plain(message: Message | null): unknown {
  return message === null ? null : { key: message.key, value: Buffer.from(message.value).toString('hex') }
}

/** Every message behind `after` that is there; waits for one when there is none. */
async function readAll(topic: Topic, after: string | null = null): Promise<readonly TopicMessage[]> {
  const newest = (await topic.last())?.position
  const stop = new AbortController()
  const all: TopicMessage[] = []
  for await (const messages of topic.read(after, { bytes: 65_536, signal: stop.signal })) {
    all.push(...messages)
    if (newest === undefined || topic.compare(all.at(-1)?.position as string, newest) >= 0) stop.abort()
  }
  return all
}

async function texts(topic: Topic, after: string | null = null): Promise<readonly string[]> {
  return (await readAll(topic, after)).map(textOf)
}
