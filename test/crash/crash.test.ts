import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { crashPoints as allPoints, type CrashPoint } from '../../src/core/env.ts'
import { smallAirline, type SmallAirline } from '../support/airline.ts'

/** The clock of the first run and of the one after the sources changed: fixed, so that two runs make the same times. */
const firstMicros = 1_800_000_000_000_000n
const secondMicros = firstMicros + 86_400_000_000n
const hourMicros = 3_600_000_000n

/** Streams and the durable log have tests of their own. */
const crashPoints = allPoints.filter(point => !/^(stream|bus|resync)\./.test(point))

/** Points that one of the two runs does not pass: keys are swept from the second run on, and only a broken load resumes. */
const notInFirst: readonly CrashPoint[] = ['interface.sweep.commit.before', 'interface.resume.commit.before']
const notInSecond: readonly CrashPoint[] = ['interface.resume.commit.before']

let airline: SmallAirline
let undisturbed: string
let firstPrint: Readonly<Record<string, string>>
let firstPassed: readonly CrashPoint[]
/** A project before its second run, the state that every crash of the second run starts from. */
let before: string

beforeAll(async () => {
  airline = await smallAirline()
  undisturbed = await airline.project()
  firstPassed = (await airline.run(undisturbed, firstMicros)).passed
  firstPrint = await airline.fingerprint(undisturbed)
}, 180_000)

afterAll(() => airline.stop())

/**
 * The visits of a point worth a crash: the first and the last. Of a first run, which reads everything, only the last:
 * what it leaves behind is most.
 */
function visitsOf(passed: readonly CrashPoint[], point: CrashPoint, isFirst: boolean): readonly number[] {
  const count = passed.filter(it => it === point).length
  if (count === 0) return []
  return isFirst ? [count] : [...new Set([1, count])]
}

/**
 * The clock of the run after a crash. It is an hour later, and the rows must still have the times of the run that was
 * broken off; only one that had not begun has no time to lend.
 */
function clockAfter(point: CrashPoint, micros: bigint): bigint {
  return point === 'run.begin.before' ? micros : micros + hourMicros
}

/** Kills a run of `from` at each chosen visit of a point, runs again, and compares every table. */
async function killAndRunAgain(
  given: { readonly from: string | undefined; readonly micros: bigint; readonly passed: readonly CrashPoint[] },
  point: CrashPoint,
  expected: Readonly<Record<string, string>>,
): Promise<void> {
  for (const visit of visitsOf(given.passed, point, given.from === undefined)) {
    const folder = await airline.project(given.from)
    const killed = await airline.run(folder, given.micros, { point, visit })
    expect(killed.stderr).toContain(`killed at ${point}`)
    await airline.run(folder, clockAfter(point, given.micros))
    expect(await airline.fingerprint(folder)).toEqual(expected)
    await airline.remove(folder)
  }
}

describe('a first run that is killed', () => {
  test('passes every place where state changes', () => {
    expect(crashPoints.filter(point => !firstPassed.includes(point))).toEqual(notInFirst.toSorted(inOrder))
  })

  test.concurrent.each(crashPoints)(
    'at %s and run again gives the tables of an undisturbed run',
    point => killAndRunAgain({ from: undefined, micros: firstMicros, passed: firstPassed }, point, firstPrint),
    300_000,
  )

  test('and killed again while it resumes gives the tables of an undisturbed run', async () => {
    const folder = await airline.project()
    await airline.run(folder, firstMicros, { point: 'interface.chunk.commit.after', visit: 3 })
    const again = await airline.run(folder, firstMicros, { point: 'interface.resume.commit.before', visit: 1 })
    expect(again.stderr).toContain('killed at interface.resume.commit.before')
    await airline.run(folder, firstMicros + hourMicros)
    expect(await airline.fingerprint(folder)).toEqual(firstPrint)
  }, 180_000)
})

describe('a later run that is killed', () => {
  let secondPrint: Readonly<Record<string, string>>
  let secondPassed: readonly CrashPoint[]

  beforeAll(async () => {
    before = await airline.project(undisturbed)
    await airline.changeSources()
    const reference = await airline.project(before)
    const run = await airline.run(reference, secondMicros)
    secondPassed = run.passed
    expect(run.rowsStaged).toBe(50 + 5 + 5 + 3)
    secondPrint = await airline.fingerprint(reference)
    expect(secondPrint).not.toEqual(firstPrint)
  }, 180_000)

  test('passes every place where state changes', () => {
    expect(crashPoints.filter(point => !secondPassed.includes(point))).toEqual(notInSecond)
  })

  test.concurrent.each(crashPoints)(
    'at %s and run again gives the tables of an undisturbed run',
    point => killAndRunAgain({ from: before, micros: secondMicros, passed: secondPassed }, point, secondPrint),
    300_000,
  )

  test('at random moments and run again gives the tables of an undisturbed run', async () => {
    let landed = 0
    for (const ms of [300, 500, 700, 900, 1_100]) {
      const folder = await airline.project(before)
      const { killed } = await airline.runAndKillAfter(folder, secondMicros, ms)
      if (killed) landed += 1
      await airline.run(folder, secondMicros)
      expect(await airline.fingerprint(folder)).toEqual(secondPrint)
      await airline.remove(folder)
    }
    expect(landed).toBeGreaterThan(0)
  }, 240_000)
})

function inOrder(a: CrashPoint, b: CrashPoint): number {
  return crashPoints.indexOf(a) - crashPoints.indexOf(b)
}
