import { expect, test } from 'vitest'
import { livePace } from './pace.ts'

let nowMs = 0
const clock = { monotonicMs: () => nowMs }

function publish(pace: ReturnType<typeof livePace>, tookMs: number): string {
  const { controls, warehouse } = pace.next()
  nowMs += tookMs
  pace.done()
  return `${controls} ${warehouse}`
}

test('the first publish takes stock; then the ODS goes ahead, and the warehouse follows within two seconds', () => {
  const pace = livePace(clock)
  expect(publish(pace, 300)).toBe('whole now')
  expect([publish(pace, 100), publish(pace, 100)]).toEqual(['changes later', 'changes later'])
  expect(pace.warehouseInMs()).toBe(400)
  nowMs += 400
  expect(publish(pace, 5_000)).toBe('changes now')
  expect(publish(pace, 1_999)).toBe('changes later')
  nowMs += 1
  expect(publish(pace, 10)).toBe('changes now')
})

test('ten minutes after it took stock a project takes stock again', () => {
  const pace = livePace(clock)
  publish(pace, 100)
  nowMs += 599_899
  expect(publish(pace, 1)).toBe('changes now')
  expect(publish(pace, 1)).toBe('whole now')
})

test('after a failure everything is looked at again', () => {
  const pace = livePace(clock)
  publish(pace, 100)
  const { checked } = pace.next()
  checked?.add('something')
  pace.failed()
  expect(pace.next()).toEqual({ checked: new Set(), controls: 'whole', warehouse: 'now' })
})
