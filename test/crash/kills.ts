// npm run kills -- [--count 200] [--seed 1]: kills later runs at random moments, runs again, compares every table.
// Counts a kill only when it landed between the begin of the run and its end; the seed makes the moments repeatable.
import { parseArgs } from 'node:util'
import { smallAirline } from '../support/airline.ts'

const { values } = parseArgs({
  options: { count: { type: 'string', default: '200' }, seed: { type: 'string', default: '1' } },
})
const wanted = Number(values.count)
const firstMicros = 1_800_000_000_000_000n
const secondMicros = firstMicros + 86_400_000_000n
/** Start of the process, before the run begins: a kill there proves nothing. */
const startMs = 250

const airline = await smallAirline()
let landed = 0
let wrong = 0
try {
  const before = await airline.project()
  await airline.run(before, firstMicros)
  const start = await airline.project(before)
  await airline.changeSources()
  const began = performance.now()
  const reference = await airline.project(start)
  await airline.run(reference, secondMicros)
  const runMs = performance.now() - began
  const expected = JSON.stringify(await airline.fingerprint(reference))
  const next = random(Number(values.seed))
  for (let tried = 0; landed < wanted && tried < wanted * 3; tried += 1) {
    const folder = await airline.project(start)
    const ms = startMs + next() * (runMs - startMs)
    const { killed } = await airline.runAndKillAfter(folder, secondMicros, ms)
    if (killed) landed += 1
    await airline.run(folder, secondMicros)
    const same = JSON.stringify(await airline.fingerprint(folder)) === expected
    if (!same) {
      wrong += 1
      console.log(`killed after ${ms.toFixed(0)} ms: the tables differ`)
    }
    await airline.remove(folder)
    if (landed % 20 === 0 && killed) console.log(`${landed} kills in the middle of a run, ${wrong} with other tables`)
  }
} finally {
  await airline.stop()
}
console.log(`${landed - wrong} passed, ${wrong} failed`)
process.exitCode = wrong === 0 ? 0 : 1

/** A small seeded generator (mulberry32): numbers from 0 to 1. */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
