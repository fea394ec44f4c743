import assert from 'node:assert/strict'
import { test } from 'vitest'
import { realEnv } from '../../core/env.ts'
import { never } from '../../testing/engine.ts'
import { PolledStream, type ChangeFeed } from './polled-stream.ts'

test('a stream whose source failed stays failed: what it had on the way is not passed over', async () => {
  let polls = 0
  const feed: ChangeFeed = {
    poll: async () => {
      polls += 1
      throw new Error(`poll ${polls} broke off`)
    },
    confirm: async () => {},
    lag: async () => ({ bytes: 7n, bytesLeft: null, trouble: null }),
    close: async () => {},
  }
  const stream = new PolledStream(feed, { clock: realEnv().clock, pollMs: 1, signal: never })
  await assert.rejects(stream.next(), /poll 1 broke off/)
  await assert.rejects(stream.next(), /poll 1 broke off/)
  assert.equal(polls, 1)
  assert.equal((await stream.lag(never)).bytes, 7n)
  await stream.close()
})
