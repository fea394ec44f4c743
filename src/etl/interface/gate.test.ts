import { describe, expect, test } from 'vitest'
import { realEnv, type Clock } from '../../core/env.ts'
import { gateOf } from './gate.ts'

/** A clock that stands still unless somebody sleeps. */
function standingClock(at = '2026-01-01T00:00:00Z'): Clock {
  let ms = 0
  const startMicros = BigInt(Date.parse(at)) * 1000n
  return {
    ...realEnv().clock,
    nowMicros: () => startMicros + BigInt(Math.round(ms * 1000)),
    monotonicMs: () => ms,
    sleep: async more => void (ms += more),
  }
}

const { signal } = new AbortController()

describe('rows in a second', () => {
  test.each([1, 7, 100, 1_000, 5_000])(
    'in batches of %i, the source is never read faster, after the first second',
    async size => {
      const clock = standingClock()
      const gate = gateOf(clock, { rowsPerSecond: 1000, hours: null })
      for (let rows = 0; rows < 20_000; rows += size) await gate.pay(size, signal)
      const seconds = clock.monotonicMs() / 1000
      expect(20_000 / (seconds + 1)).toBeLessThanOrEqual(1000)
      expect(20_000 / seconds).toBeGreaterThan(750)
    },
  )

  test('a long pause saves up one second, not a flood', async () => {
    const clock = standingClock()
    const gate = gateOf(clock, { rowsPerSecond: 10, hours: null })
    await gate.pay(1, signal)
    await clock.sleep(3_600_000)
    const before = clock.monotonicMs()
    for (let i = 0; i < 110; i++) await gate.pay(1, signal)
    expect(clock.monotonicMs() - before).toBeCloseTo(10_000)
  })

  test('without a limit nothing waits', async () => {
    const clock = standingClock()
    await gateOf(clock, { rowsPerSecond: null, hours: null }).pay(1e9, signal)
    expect(clock.monotonicMs()).toBe(0)
  })
})

describe('hours of the day', () => {
  const night = { fromMinute: 22 * 60, toMinute: 6 * 60 }
  const noon = { fromMinute: 11 * 60 + 30, toMinute: 13 * 60 }
  test.each([
    [night, '21:59', false],
    [night, '22:00', true],
    [night, '23:59', true],
    [night, '00:00', true],
    [night, '05:59', true],
    [night, '06:00', false],
    [noon, '11:29', false],
    [noon, '11:30', true],
    [noon, '12:59', true],
    [noon, '13:00', false],
  ])('%o at %s', (hours, time, open) => {
    const gate = gateOf(standingClock(`2026-03-05T${time}:00Z`), { rowsPerSecond: null, hours })
    expect(gate.isOpen()).toBe(open)
  })

  test('says when it opens', () => {
    expect(gateOf(standingClock(), { rowsPerSecond: null, hours: night }).opens).toBe('22:00 UTC')
  })
})
