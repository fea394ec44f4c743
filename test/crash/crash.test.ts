import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { crashPoints, type CrashPoint } from '../../src/core/env.ts'
import { smallAirline, type SmallAirline } from '../support/airline.ts'

/** The clock of the first run and of the one after the sources changed: fixed, so that disturbed and undisturbed agree. */
const firstMicros = 1_800_000_000_000_000n
const secondMicros = firstMicros + 86_400_000_000n

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

/** The visits of a point worth a crash: the first and the last. */
function visitsOf(passed: readonly CrashPoint[], point: CrashPoint): readonly number[] {
  const count = passed.filter(it => it === point).length
  return count === 0 ? [] : [...new Set([1, count])]
}

describe('a first run that is killed', () => {
  test('every place where state changes is passed by a run', () => {
    expect(crashPoints.filter(point => !firstPassed.includes(point))).toEqual([])
  })

  // Table tests are made before the sources run, so the visits are chosen inside.
  test.concurrent.each(crashPoints)(
    'at %s and run again gives the tables of an undisturbed run',
    async point => {
      for (const visit of visitsOf(firstPassed, point)) {
        const folder = await airline.project()
        const killed = await airline.run(folder, firstMicros, { point, visit })
        expect(killed.stderr).toContain(`killed at ${point}`)
        await airline.run(folder, firstMicros)
        expect(await airline.fingerprint(folder)).toEqual(firstPrint)
      }
    },
    120_000,
  )
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
  }, 60_000)

  test.concurrent.each(crashPoints)(
    'at %s and run again gives the tables of an undisturbed run',
    async point => {
      for (const visit of visitsOf(secondPassed, point)) {
        const folder = await airline.project(before)
        const killed = await airline.run(folder, secondMicros, { point, visit })
        expect(killed.stderr).toContain(`killed at ${point}`)
        await airline.run(folder, secondMicros)
        expect(await airline.fingerprint(folder)).toEqual(secondPrint)
      }
    },
    120_000,
  )

  test('at a random moment and run again gives the tables of an undisturbed run', async () => {
    const moments = [150, 400, 700, 1_000, 1_300]
    for (const ms of moments) {
      const folder = await airline.project(before)
      await airline.runAndKillAfter(folder, secondMicros, ms)
      await airline.run(folder, secondMicros)
      expect(await airline.fingerprint(folder)).toEqual(secondPrint)
    }
  }, 120_000)
})
