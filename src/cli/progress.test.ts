import { expect, test } from 'vitest'
import { realEnv, type Clock } from '../core/env.ts'
import type { Output } from './command.ts'
import { progress } from './progress.ts'

interface Screen {
  readonly redrawn: string[]
  readonly notes: string[]
}

function screen(more: Partial<Output>): Screen & { readonly output: Output } {
  const [redrawn, notes]: [string[], string[]] = [[], []]
  const output = {
    live: true,
    quiet: false,
    redraw: (line: string) => void redrawn.push(line),
    note: (line: string) => void notes.push(line),
    ...more,
  } as Output
  return { output, redrawn, notes }
}

/** A clock that goes on by so many milliseconds each time it is asked. */
function ticking(ms: number): Clock {
  let now = 0
  return { ...realEnv().clock, monotonicMs: () => (now += ms) }
}

const rows = (done: number) => ({ kind: 'rows', step: 'a → b', done, total: 1000, bytes: 0 }) as const

test('on a terminal a bar shows the share, the rows, their speed and the time left', () => {
  const { output, redrawn } = screen({})
  const emit = progress(output, ticking(1_000))
  emit({ kind: 'step', step: 'a → b', state: 'begin' })
  emit(rows(250))
  emit(rows(500))
  expect(redrawn.at(-1)).toMatch(/a → b {2}█{5}░{5} {2}50 % {2}500 rows {2}\d+ rows\/s {2}\S+ s left/)
})

test('elsewhere a line comes every five seconds, and with --quiet none', () => {
  const plain = screen({ live: false })
  const emit = progress(plain.output, ticking(1_000))
  emit({ kind: 'step', step: 'a → b', state: 'begin' })
  for (let done = 0; done < 1000; done += 50) emit(rows(done))
  expect(plain.redrawn).toEqual([])
  expect(plain.notes.length).toBeGreaterThan(1)
  expect(plain.notes.length).toBeLessThan(6)
  const quiet = screen({ quiet: true })
  const silent = progress(quiet.output, ticking(1_000))
  for (let done = 0; done < 1000; done += 50) silent(rows(done))
  expect([...quiet.redrawn, ...quiet.notes]).toEqual([])
})
