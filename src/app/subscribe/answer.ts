import { fail } from '../../core/errors.ts'
import type { Channel, Message } from '../server/wire.ts'
import type { Feeds } from './feeds.ts'

/** A subscriber that asks for nothing for so long is let go; what it was given is given again. */
const quietMsMax = 24 * 3_600_000
/** Longest pause before what was given is given again. */
const pauseMsMax = 24 * 3_600_000
/** Longest wait for changes of one question. */
const waitMsMax = 60_000

/** Answers an application that takes changes, until it ends: each line is a question, and gets one line. */
export async function answerFeed(feeds: Feeds, channel: Channel, request: Message, signal: AbortSignal): Promise<void> {
  const feed = await feeds.feed(textIn(request, 'name'), request['from'] === 'start' ? 'start' : 'end')
  try {
    await channel.send({ ready: true })
    for (;;) {
      const call = await channel.receive(quietMsMax, signal)
      if (call === null) return
      if ('next' in call) await channel.send({ set: await feed.next(waitOf(call['next']), signal) })
      else if ('page' in call) await channel.send({ page: await feed.page() })
      else if ('acknowledge' in call) {
        await feed.acknowledge(textIn(call, 'acknowledge'))
        await channel.send({ ok: true })
      } else if ('release' in call) {
        await feed.release(pauseOf(call['release']))
        await channel.send({ ok: true })
      } else throw fail('SERVER_REQUEST', { problem: 'it is no call of a subscriber' })
    }
  } finally {
    await feed.close()
  }
}

/** Answers what is asked about subscribers in one question. */
export async function answerSubscribers(feeds: Feeds, channel: Channel, request: Message): Promise<void> {
  const { what } = request
  if (what === 'list') return channel.send({ done: true, result: await feeds.list() })
  const name = textIn(request, 'name')
  if (what === 'remove') return channel.send({ done: true, result: await feeds.remove(name) })
  if (what === 'acknowledge') await feeds.acknowledge(name, textIn(request, 'position'))
  else if (what === 'release') await feeds.release(name, pauseOf(request['afterMs']))
  else throw fail('SERVER_REQUEST', { problem: 'it asks nothing of subscribers that is known' })
  await channel.send({ done: true, result: true })
}

function waitOf(value: unknown): number {
  return Math.min(waitMsMax, pauseOf(value))
}

function pauseOf(value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value <= pauseMsMax) return value
  throw fail('SERVER_REQUEST', { problem: 'a pause is a number of milliseconds up to a day' })
}

function textIn(message: Message, name: string): string {
  const value = message[name]
  if (typeof value !== 'string') throw fail('SERVER_REQUEST', { problem: `"${name}" is no text` })
  return value
}
