import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wentBackMicros } from './clocks.ts'
import { SimulatedReader, SimulatedSource, simulated } from './source.test.support.ts'
import { sweepIsDue } from './sweep.ts'

const names = Object.keys(simulated) as (keyof typeof simulated)[]

type Step =
  | { readonly kind: 'write'; readonly writer: number; readonly by: 'start' | 'clock' }
  | { readonly kind: 'commit'; readonly writer: number }
  | { readonly kind: 'pass'; readonly seconds: number }
  | { readonly kind: 'jump'; readonly seconds: number }
  | { readonly kind: 'read' }

const writer = fc.integer({ min: 0, max: 3 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('write' as const), writer, by: fc.constantFrom('start', 'clock') }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('commit' as const), writer }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), seconds: fc.constantFrom(0, 1, 7, 30, 600, 3_700) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('jump' as const),
      seconds: fc.constantFrom(-3_600, -60, -12, -1, 1, 60, 3_600),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('read' as const) }) },
)

/** Follows a history to its end; every writer writes rows of its own. */
function follow(
  steps: readonly Step[],
  { name, whose }: { name: keyof typeof simulated; whose: 'theirs' | 'ours' },
): void {
  const source = new SimulatedSource()
  const reader = new SimulatedReader(simulated[name](false))
  let n = 0
  for (const it of steps) {
    if (it.kind === 'write') source.write(it.writer, it.writer * 100 + (n++ % 5), it.by)
    else if (it.kind === 'commit') source.commit(it.writer)
    else if (it.kind === 'pass') source.pass(it.seconds)
    else if (it.kind === 'jump') source.jump(whose, it.seconds)
    else reader.read(source)
  }
  for (let open = 0; open <= 3; open++) source.commit(open)
  reader.read(source)
  expect(reader.copy).toEqual(source.rows)
}

describe('clocks that jump by seconds and by hours, in the midst of transactions that are open', () => {
  test.each(names)('%s: the clock of the source: nothing is lost', name => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => follow(steps, { name, whose: 'theirs' })),
      { numRuns: 3_000 },
    )
  })

  test.each(names)('%s: our clock: nothing is lost', name => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => follow(steps, { name, whose: 'ours' })),
      { numRuns: 1_000 },
    )
  })

  test('a clock that was put back between two reads, and passed the first of them again before the second, is told', () => {
    const source = new SimulatedSource()
    const reader = new SimulatedReader(simulated.timestamp(false))
    reader.read(source)
    source.pass(60)
    source.jump('theirs', -3_600)
    source.write(1, 1, 'clock')
    source.commit(1)
    source.pass(3_700)
    reader.read(source)
    expect(reader.copy.size).toBe(1)
    expect(reader.notes).toEqual([expect.stringContaining('the clock of the source went back by 3600 s')])
  })

  test('a number that was taken before the clock was put back, and committed long after, is not lost', () => {
    const source = new SimulatedSource()
    const reader = new SimulatedReader(simulated.version(false))
    source.write(1, 1, 'start')
    source.write(2, 2, 'start')
    source.commit(2)
    source.jump('theirs', -12)
    reader.read(source)
    source.pass(30)
    reader.read(source)
    source.commit(1)
    reader.read(source)
    expect([...reader.copy.keys()].toSorted()).toEqual([1, 2])
  })

  test('a stream that is read by its own ids is not read further back for a clock', () => {
    const position = {
      horizonMicros: 9_000_000n,
      sweptMicros: null,
      versions: null,
      clocks: { theirsMicros: 5_000_000n, oursMicros: 5_000_000n },
    }
    const view = { takenAtMicros: 6_000_000n, horizonMicros: null, oursMicros: 8_000_000n }
    expect(wentBackMicros(view, position)).toBe(2_000_000n)
    expect(wentBackMicros({ ...view, newestMicros: 9_500_000n }, position)).toBe(0n)
  })

  test('a sweep is not put off by a clock that was put back', () => {
    const position = { horizonMicros: null, sweptMicros: 7_200_000_000n, versions: null }
    const view = (seconds: number): Parameters<typeof sweepIsDue>[1] => ({
      takenAtMicros: BigInt(seconds) * 1_000_000n,
      horizonMicros: null,
    })
    const daily = { kind: 'sweep', everyMs: 86_400_000 } as const
    expect([7_199, 7_200, 90_000, 93_600].map(at => sweepIsDue(daily, view(at), position))).toEqual([
      true,
      false,
      false,
      true,
    ])
  })
})
