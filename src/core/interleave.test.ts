import { describe, expect, test } from 'vitest'
import { interleave } from './interleave.ts'

async function* counting(name: string, count: number, closed: string[] = []): AsyncGenerator<string, void> {
  try {
    for (let i = 0; i < count; i++) {
      await Promise.resolve()
      yield `${name}${i}`
    }
  } finally {
    closed.push(name)
  }
}

async function* failing(): AsyncGenerator<string, void> {
  yield 'x'
  throw new Error('broken on purpose')
}

async function all<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

describe('interleave', () => {
  test('gives every item of each, each in its own order', async () => {
    const found = await all(interleave([counting('a', 5), counting('b', 2), counting('c', 0)]))
    expect(found.filter(it => it.startsWith('a'))).toEqual(['a0', 'a1', 'a2', 'a3', 'a4'])
    expect(found.filter(it => it.startsWith('b'))).toEqual(['b0', 'b1'])
    expect(found).toHaveLength(7)
  })

  test('a failure of one is thrown, and the others are closed', async () => {
    const closed: string[] = []
    await expect(all(interleave([counting('a', 1000, closed), failing()]))).rejects.toThrow('broken on purpose')
    expect(closed).toEqual(['a'])
  })

  test('a reader that leaves early closes all', async () => {
    const closed: string[] = []
    for await (const item of interleave([counting('a', 10, closed), counting('b', 10, closed)])) {
      expect(item).toBeDefined()
      break
    }
    expect(closed.sort()).toEqual(['a', 'b'])
  })
})
