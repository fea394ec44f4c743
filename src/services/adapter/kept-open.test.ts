import { expect, test } from 'vitest'
import { keptOpen, type Closing } from './kept-open.ts'

class View implements Closing {
  closed = 0
  readonly fails: boolean

  constructor(fails: boolean) {
    this.fails = fails
  }

  async close(): Promise<void> {
    this.closed += 1
    if (this.fails) throw new Error('it does not end')
  }
}

test('what was closed is kept no more, also when closing fails; what is still open is', async () => {
  const open = new Set<Closing>()
  const [done, failed, going] = [false, true, false].map(fails => keptOpen(open, new View(fails))) as [View, View, View]
  await done.close()
  await expect(failed.close()).rejects.toThrow('it does not end')
  expect([...open]).toEqual([going])
  await Promise.all([...open].map(it => it.close()))
  expect(open.size).toBe(0)
  expect([done, failed, going].map(it => it.closed)).toEqual([1, 1, 1])
})
