import assert from 'node:assert/strict'
import { test } from 'vitest'
import { oneAtATime } from './one-at-a-time.ts'

/** A promise, and what settles it. */
function open(): { readonly done: Promise<void>; readonly settle: () => void } {
  let settle = (): void => {}
  const done = new Promise<void>(resolve => (settle = resolve))
  return { done, settle }
}

test('tasks run in the order in which they were asked for, each behind the end of the one before', async () => {
  const line = oneAtATime()
  const gates = [open(), open(), open()]
  const seen: string[] = []
  const all = gates.map((gate, i) =>
    line.run(async () => {
      seen.push(`begin ${i}`)
      await gate.done
      seen.push(`end ${i}`)
      return i
    }),
  )
  gates[2]?.settle()
  gates[1]?.settle()
  await Promise.resolve()
  assert.deepEqual(seen, ['begin 0'])
  gates[0]?.settle()
  assert.deepEqual(await Promise.all(all), [0, 1, 2])
  assert.deepEqual(seen, ['begin 0', 'end 0', 'begin 1', 'end 1', 'begin 2', 'end 2'])
})

test('a task that fails, at once or later, tells who asked for it, and the next one runs', async () => {
  const line = oneAtATime()
  const thrown = line.run(() => {
    throw new Error('at once')
  })
  const rejected = line.run(() => Promise.reject(new Error('later')))
  const next = line.run(() => 'ran')
  await assert.rejects(thrown, /at once/)
  await assert.rejects(rejected, /later/)
  assert.equal(await next, 'ran')
})

test('a turn keeps the others out until it is left; leaving it twice lets nobody in early', async () => {
  const line = oneAtATime()
  const leave = await line.enter()
  const gate = open()
  const seen: string[] = []
  const first = line.run(async () => {
    seen.push('first')
    await gate.done
  })
  const second = line.run(() => void seen.push('second'))
  await Promise.resolve()
  assert.deepEqual(seen, [])
  leave()
  leave()
  gate.settle()
  await Promise.all([first, second])
  assert.deepEqual(seen, ['first', 'second'])
})

test('idle waits for what was asked for before it, also when that fails, and for nothing else', async () => {
  const line = oneAtATime()
  await line.idle()
  const gate = open()
  let isOver = false
  const failing = line.run(async () => {
    await gate.done
    isOver = true
    throw new Error('it broke')
  })
  const idle = line.idle()
  const never = line.enter().then(() => line.run(() => 'waits for the turn that nobody leaves'))
  void never
  gate.settle()
  await idle
  assert.equal(isOver, true)
  await assert.rejects(failing, /it broke/)
})
