import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { versionsAfter, versionsOf, versionsText, type VersionPlan, type VersionPosition } from './versions.ts'

function after(
  before: VersionPosition | null,
  at: Partial<VersionPlan> & { takenAtMicros: bigint },
  highest: bigint | null,
): VersionPosition {
  return versionsAfter({ column: 'rev', overlap: null, horizonMicros: at.takenAtMicros, before, ...at }, highest)
}

describe('the bound of a version', () => {
  it('is not known before a view was taken that is older than every open transaction', () => {
    const first = after(null, { takenAtMicros: 100n, horizonMicros: 95n }, 7n)
    expect(first.bound).toBeNull()
    const held = after(first, { takenAtMicros: 200n, horizonMicros: 95n }, 9n)
    expect(held.bound).toBeNull()
    expect(after(held, { takenAtMicros: 300n, horizonMicros: 150n }, 12n).bound).toBe(7n)
  })

  it('is the highest of the newest view before the horizon, and stays while a transaction is open', () => {
    let position = after(null, { takenAtMicros: 100n }, 7n)
    position = after(position, { takenAtMicros: 200n, horizonMicros: 199n }, 9n)
    expect(position.bound).toBe(7n)
    position = after(position, { takenAtMicros: 300n, horizonMicros: 200n }, 12n)
    expect(position.bound).toBe(9n)
    position = after(position, { takenAtMicros: 400n, horizonMicros: 200n }, 15n)
    expect(position.bound).toBe(9n)
  })

  it('is what the config states where the source tells nothing, and never over it where it does', () => {
    const stated = after(null, { takenAtMicros: 100n, horizonMicros: null, overlap: 10n }, 50n)
    expect(stated).toEqual({ bound: 40n, seen: [{ takenMicros: 100n, highest: 50n }] })
    expect(after(null, { takenAtMicros: 100n, overlap: 0n }, 50n).bound).toBe(50n)
    const both = after(stated, { takenAtMicros: 200n, overlap: 10n }, 70n)
    expect(both.bound).toBe(60n)
  })

  it('an empty table has none, and rows that went leave the one that was known', () => {
    expect(after(null, { takenAtMicros: 100n }, null)).toEqual({ bound: null, seen: [] })
    const known = after(null, { takenAtMicros: 100n }, 7n)
    expect(after(known, { takenAtMicros: 200n }, null).seen.at(-1)).toEqual({ takenMicros: 200n, highest: 7n })
  })

  it('few views are kept, however long a transaction is open, and the bound is never too high for it', () => {
    let position = after(null, { takenAtMicros: 1n }, 1n)
    for (let at = 2n; at < 3_000n; at += 1n) {
      position = after(position, { takenAtMicros: at, horizonMicros: 1n }, at + 1n)
      expect(position.bound).toBe(1n)
    }
    expect(position.seen.length).toBeLessThanOrEqual(1_000)
    const { bound } = after(position, { takenAtMicros: 3_000n, horizonMicros: 2_500n }, 3_001n)
    expect(bound).toBeGreaterThan(1_000n)
    expect(bound).toBeLessThanOrEqual(2_501n)
  })

  it('reads back as it was kept', () => {
    const position = { bound: null, seen: [{ takenMicros: 1n, highest: -(2n ** 63n) }] }
    expect(versionsOf(versionsText(position))).toEqual(position)
    expect(versionsOf(null)).toBeNull()
  })
})

// The law: a source gives numbers in the order of time, transactions commit in any order and as late as they like. Whatever
// a view does not show has a number that is not below the bound after it.
describe('the law of the bound', () => {
  const acts = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ act: fc.constant('begin' as const) }) },
      { weight: 5, arbitrary: fc.record({ act: fc.constant('number' as const), of: fc.nat(9) }) },
      { weight: 4, arbitrary: fc.record({ act: fc.constant('commit' as const), of: fc.nat(9) }) },
      { weight: 3, arbitrary: fc.record({ act: fc.constant('read' as const) }) },
    ),
    { maxLength: 80 },
  )

  it.each([1n, 0n])('no number that may still come is below it (step of the counter: %d)', step => {
    fc.assert(
      fc.property(acts, given => {
        let [clock, counter] = [1n, 0n]
        let position: VersionPosition | null = null
        const open: { began: bigint; numbers: bigint[] }[] = []
        const visible: bigint[] = []
        const takenOf = (n: number): (typeof open)[number] | undefined => open[n % Math.max(1, open.length)]
        for (const it of given) {
          clock += 1n
          if (it.act === 'begin') open.push({ began: clock, numbers: [] })
          if (it.act === 'number') {
            // Equal numbers are allowed where the step is nothing: only every second number is a new one.
            counter += step === 0n ? clock % 2n : step
            takenOf(it.of)?.numbers.push(counter)
          }
          if (it.act === 'commit') {
            const done = takenOf(it.of)
            if (done === undefined) continue
            visible.push(...done.numbers)
            open.splice(open.indexOf(done), 1)
          }
          if (it.act !== 'read') continue
          const horizonMicros = open.reduce((oldest, { began }) => (began < oldest ? began : oldest), clock)
          const highest = visible.reduce<bigint | null>((a, b) => (a === null || b > a ? b : a), null)
          position = versionsAfter(
            { column: 'rev', overlap: null, takenAtMicros: clock, horizonMicros, before: position },
            highest,
          )
          const { bound } = position
          if (bound === null) continue
          // What is open has its numbers, and gets others that are no lower than the counter.
          for (const number of open.flatMap(transaction => transaction.numbers)) expect(number >= bound).toBe(true)
          expect(counter >= bound).toBe(true)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
