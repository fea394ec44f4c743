// npm run bench -- ticks: how long one small change set takes through all stages, step by step, over tables of 1,000,000
// rows, beside a hand-written DELETE and INSERT into one such table in the same run (the floor).
// --project wide|airline, --rows 1000000, --keys 1,1000, --rounds 3, --engine duckdb|postgres (with WAREHOUSE_URL),
// --changes brings them as a stream does,
// --order scattered|recent, --plain (as `naru run` does it, not as the live loop), --warehouse now|later (a live publish
// may leave the warehouse to one behind it), --statements 15 lists the slowest. --updates 1000000 reports the file and the
// time of a scan before and after so many updates in change sets of the first of --keys, against the same rows in a new file.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { median, printTable } from './measure.mjs'
import { openTicks } from './ticks/open.mjs'

const { values: given } = parseArgs({
  options: {
    project: { type: 'string', default: 'wide' },
    rows: { type: 'string', default: '1000000' },
    keys: { type: 'string', default: '1,1000' },
    rounds: { type: 'string', default: '3' },
    engine: { type: 'string', default: 'duckdb' },
    order: { type: 'string', default: 'scattered' },
    changes: { type: 'boolean', default: false },
    plain: { type: 'boolean', default: false },
    warehouse: { type: 'string', default: 'now' },
    statements: { type: 'string', default: '0' },
    memory: { type: 'string', default: '2GB' },
    updates: { type: 'string', default: '0' },
    json: { type: 'boolean' },
  },
})
const rows = Number(given.rows)
const rounds = Number(given.rounds)
const folder = mkdtempSync(join(tmpdir(), 'naru-ticks-'))
try {
  await measureTicks()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function measureTicks() {
  const ticks = await openTicks({ ...given, folder, rows })
  try {
    const filled = await ticks.fill()
    console.error(`filled ${rows.toLocaleString('en')} rows through all stages in ${(filled / 1000).toFixed(1)} s`)
    if (Number(given.updates) > 0) {
      await measureGrowth(ticks, Number(given.keys.split(',')[0]))
      return
    }
    for (const keys of given.keys.split(',').map(Number)) {
      await ticks.tick(keys, 0) // the first one warms up
      const done = []
      const floors = []
      for (let round = 1; round <= rounds; round += 1) {
        floors.push(await ticks.floor(keys, round))
        done.push(await ticks.tick(keys, round))
      }
      report(keys, done, floors)
    }
  } finally {
    await ticks.close()
  }
}

/** What many updates make of the file: its size, how much of it is free, the time of scans, and the longest publish. */
async function measureGrowth(ticks, keys) {
  const rounds = Math.ceil(Number(given.updates) / keys)
  const lines = [await ticks.shape('before')]
  const times = []
  const checkpoints = []
  for (let round = 1; round <= rounds; round += 1) {
    times.push((await ticks.tick(keys, round)).ms)
    if (round % Math.ceil(rounds / 10) !== 0) continue
    const startMs = performance.now()
    await ticks.engine.checkpoint()
    checkpoints.push(performance.now() - startMs)
    lines.push(await ticks.shape(`${(round * keys).toLocaleString('en')} updates`))
  }
  const fresh = await ticks.fresh('the same rows, fresh')
  const of = (it, what) => (it[what] / fresh[what]).toFixed(2)
  printTable(
    ['', 'file MB', 'free MB', 'scan CPU ms', 'file', 'scan'],
    [...lines, fresh].map(it => [
      it.name,
      it.mb.toFixed(1),
      it.freeMb.toFixed(1),
      it.scanMs.toFixed(1),
      of(it, 'mb'),
      of(it, 'scanMs'),
    ]),
  )
  const at = (all, share) => all.toSorted((a, b) => a - b)[Math.floor(share * (all.length - 1))].toFixed(0)
  console.log(`publishes: p50 ${at(times, 0.5)} ms, p99 ${at(times, 0.99)} ms, longest ${at(times, 1)} ms`)
  console.log(`checkpoints: p50 ${at(checkpoints, 0.5)} ms, longest ${at(checkpoints, 1)} ms`)
}

function report(keys, done, floors) {
  const floor = median(floors.map(it => it.ms))
  const cpu = [median(done.map(tick => tick.cpuMs)), median(floors.map(it => it.cpuMs))]
  const total = median(done.map(tick => tick.ms))
  const steps = [...new Set(done.flatMap(tick => [...tick.steps.keys()]))]
  const lines = steps.map(step => {
    const ms = median(done.map(tick => tick.steps.get(step)?.ms ?? 0))
    const count = median(done.map(tick => tick.steps.get(step)?.statements ?? 0))
    return [step, ms.toFixed(1), `${((100 * ms) / total).toFixed(0)} %`, String(count), (ms / floor).toFixed(2)]
  })
  const all = median(done.map(tick => tick.statements.length))
  console.log(`\n${keys.toLocaleString('en')} ${given.order} keys, ${rows.toLocaleString('en')} rows, ${given.project}`)
  printTable(
    ['step', 'ms', 'share', 'statements', 'of floor'],
    [
      ...lines,
      ['all of it', total.toFixed(1), '100 %', String(all), (total / floor).toFixed(2)],
      ['floor: DELETE and INSERT', floor.toFixed(1), '', '3', '1.00'],
    ],
  )
  console.log(
    `processor: all of it ${cpu[0].toFixed(0)} ms, floor ${cpu[1].toFixed(0)} ms, ${(cpu[0] / cpu[1]).toFixed(2)} of the floor`,
  )
  const slowest = done
    .at(-1)
    .statements.toSorted((a, b) => b.ms - a.ms)
    .slice(0, Number(given.statements))
  for (const { step, ms, text } of slowest) console.log(`${ms.toFixed(1).padStart(8)}  ${step}: ${text}`)
  if (given.json) {
    const parts = Object.fromEntries(steps.map(step => [step, median(done.map(tick => tick.steps.get(step)?.ms ?? 0))]))
    console.log(JSON.stringify({ bench: 'ticks', ...given, keys, ms: total, floor, statements: all, parts }))
  }
}
