import { expect, test } from 'vitest'
import type { LiveSource, LiveStatus } from '../live/status-types.ts'
import { makeWatchdog, type SourceHead } from './watchdog.ts'

const stream: LiveSource = {
  source: 'ops',
  technique: 'log',
  position: '10',
  everyMs: null,
  readMicros: null,
  logged: null,
  lag: null,
  behindBytes: null,
  isPaused: false,
  refused: [],
  trouble: null,
}
const statusAt = (position: string | null): LiveStatus => ({ sources: [{ ...stream, position }], tables: [] })
const headAt = (head: string): readonly SourceHead[] => [
  { source: 'ops', technique: 'log', head, compare: (a, b) => Number(a) - Number(b) },
]

test('a durable log that goes on while nothing of it is published is an alarm, also when the source does not answer', () => {
  const dog = makeWatchdog(10_000)
  const behind: LiveStatus = { sources: [{ ...stream, logged: '20' }], tables: [] }
  const level: LiveStatus = { sources: [{ ...stream, position: '20', logged: '20' }], tables: [] }
  const told = [0, 11_000].map(ms => dog.look(ms, behind, []).map(it => it.error.message))
  expect(told).toEqual([[], [expect.stringContaining('moved on to 20 of the durable log')]])
  expect(dog.look(30_000, level, [])).toEqual([])
})

/** Looks at a list of moments: the second, our position, the source's. */
function look(
  stallMs: number,
  moments: readonly (readonly [second: number, ours: string | null, theirs: string | null])[],
) {
  const dog = makeWatchdog(stallMs)
  return moments.map(([second, ours, theirs]) =>
    dog.look(second * 1000, statusAt(ours), theirs === null ? [] : headAt(theirs)).map(it => it.error.message),
  )
}

test('R17: a source that moves on while nothing of it comes is an alarm after the time, and not before', () => {
  const [, , before, at] = look(60_000, [
    [0, '10', '10'],
    [1, '10', '11'],
    [60, '10', '40'],
    [61, '10', '50'],
  ])
  expect(before).toEqual([])
  expect(at).toEqual([
    expect.stringContaining('source "ops" moved on to 50, and nothing of it came for 60 s: we stand at 10'),
  ])
})

test('a busy source that is always a little ahead is none, for we move as well', () => {
  const moments = Array.from({ length: 200 }, (_, i) => [i, String(i), String(i + 5)] as const)
  expect(look(10_000, moments).flat()).toEqual([])
})

test('a source at rest is none, and neither is one that does not say where it is', () => {
  expect(
    look(
      10_000,
      [0, 100, 200].map(second => [second, '10', '10'] as const),
    ).flat(),
  ).toEqual([])
  expect(
    look(
      10_000,
      [0, 100, 200].map(second => [second, '10', null] as const),
    ).flat(),
  ).toEqual([])
})

test('a stream that never came to a first position stands still as well', () => {
  const [, late] = look(10_000, [
    [0, null, '5'],
    [11, null, '5'],
  ])
  expect(late).toEqual([expect.stringContaining('we stand at the beginning')])
})

test('the alarm ends when something comes', () => {
  const [, alarm, moved, level] = look(10_000, [
    [0, '10', '20'],
    [10, '10', '20'],
    [12, '15', '20'],
    [14, '20', '20'],
  ])
  expect([alarm?.length, moved, level]).toEqual([1, [], []])
})
