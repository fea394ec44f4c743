import { expect, test } from 'vitest'
import { never } from '../../testing/engine.ts'
import { drainStream } from './backlog.ts'
import type { OpenStream } from './session.ts'

test('the end of a backlog is where the reader is once it has passed the head, not where it was when it woke', async () => {
  const status = { position: '10', bytes: 100, complete: 'b' }
  const compare = (a: string, b: string): number => Number(a) - Number(b)
  const reader = { grown: async () => 'a', status: () => status }
  const stream = { reader, captures: { compare }, topic: { compare } } as unknown as OpenStream
  const upTo = await drainStream(
    { stream, tables: [], head: '9' },
    { take: async () => {}, isAlone: true, signal: never },
  )
  expect(upTo).toBe('b')
})
