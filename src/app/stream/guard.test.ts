import { expect, test } from 'vitest'
import { problemOf } from './guard.ts'

const lag = (bytes: bigint | null, bytesLeft: bigint | null = null, trouble: string | null = null) => ({
  bytes,
  bytesLeft,
  trouble,
})

test.each([
  ['a source that cannot say', lag(null), null],
  ['a little', lag(10n), null],
  ['as much as the alarm', lag(1_000n), null],
  ['more than that', lag(1_001n), '1001 bytes; lagAlarmBytes is 1000'],
  ['half of what the source may keep', lag(400n, 400n), null],
  ['more than half of it', lag(401n, 400n), '401 bytes, and 400 more before it lets go of them'],
  [
    'what the source itself complains of',
    lag(1n, 400n, 'the slot is about to be lost'),
    'the slot is about to be lost',
  ],
])('%s', (_, given, problem) => {
  expect(problemOf(given, 1_000)).toBe(problem)
})
