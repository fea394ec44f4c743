// npm run bench -- live [--rate 1000] [--seconds 30] [--size 10] [--rows 100000] [--find] [--no-reader] [--json]
// How far behind the commit in PostgreSQL its log is visible here, at a steady rate of changes: a writer in a process of its
// own, `runLive` in another, both tables asked every 20 ms for the newest transaction that they show; a reader of the engine
// stays open. `--rate 1000,2000` measures one after the other; `--find` raises the rate by a quarter until it does not hold.
// `--statements 20` lists those that took longest, `--json` gives all figures.
// `--windows 60` tells how it went in each stretch of so many seconds: what grows with time shows there.
// `--backlog 1000000` has so many changes waiting when the session begins, and tells how they were taken.
import { fork } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createJiti } from 'jiti'
import pg from 'pg'
import { config, tables } from './live/project.mjs'
import { cpuSeconds, printTable } from './measure.mjs'

const { values: given } = parseArgs({
  options: {
    rate: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '30' },
    size: { type: 'string', default: '10' },
    rows: { type: 'string', default: '100000' },
    windows: { type: 'string', default: '0' },
    backlog: { type: 'string', default: '0' },
    statements: { type: 'string', default: '0' },
    find: { type: 'boolean', default: false },
    'no-reader': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const [seconds, size, rows] = [given.seconds, given.size, given.rows].map(Number)
const customers = Math.max(10, Math.floor(rows / 50))
const here = import.meta.dirname
const { startPostgres } = await createJiti(import.meta.url).import('../src/testing/servers/embedded-postgres.ts')
const folder = mkdtempSync(join(tmpdir(), 'naru-live-'))
const server = await startPostgres({ dir: join(folder, 'postgres'), settings: { synchronous_commit: 'on' } })
const client = new pg.Client(server.url)
const place = { seq: 0, id: rows + 1_000_000 }
const told = { seen: { ods: [], dw: [] }, ticks: [], memory: [], behind: [] }
let follower
let windowEnds = Infinity
let windowFrom = 0

try {
  await client.connect()
  for (const text of tables(rows, customers)) await client.query(text)
  writeFileSync(join(folder, 'naru.config.ts'), config)
  await startFollower()
  await until(() => told.behind.length > 0 && told.behind.every(it => it[1] === 'live'), 'the tables to be live')
  if (Number(given.backlog) > 0) await drain(Number(given.backlog))
  else {
    if (!given['no-reader']) {
      follower.send('read')
      await until(() => told.isReading, 'the reader')
    }
    await steady(1000, Math.min(5, seconds)) // warms up
    if (given.find) await find()
    else for (const rate of given.rate.split(',').map(Number)) report(await steady(rate, seconds))
  }
} finally {
  await stopFollower()
  await client.end()
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
}

async function startFollower() {
  const env = { ...process.env, SHOP_URL: server.url, ...(Number(given.statements) > 0 ? { STATEMENTS: '1' } : {}) }
  follower = fork(join(here, 'live/follower.mjs'), { cwd: folder, env })
  follower.on('message', it => {
    if (it.reading) return void (told.isReading = true)
    told.seen.ods.push(...it.seen.ods)
    told.seen.dw.push(...it.seen.dw)
    told.ticks.push(it.ticks)
    told.memory.push([performance.now(), it.rss, it.heap, it.held])
    window()
    told.behind = it.behind
    told.wake?.()
  })
  follower.on('exit', () => {
    follower = null
    told.wake?.()
  })
}

/** How the stretch that ends now went. */
function window() {
  const now = performance.now()
  if (now < windowEnds) return
  windowEnds = now + 1000 * Number(given.windows)
  const { count, tick, steps, checkpoints, held } = ticksOf(told.ticks.slice(windowFrom))
  windowFrom = told.ticks.length
  const [, rss, heap, inEngine] = told.memory.at(-1)
  const parts = Object.entries(inEngine).map(([tag, bytes]) => `${tag} ${(bytes / 1e6).toFixed(0)}`)
  const per = Object.entries(steps).map(([name, it]) => `${name} ${(it.ms / Math.max(1, count)).toFixed(0)}`)
  const file = ['', '.wal'].map(end =>
    existsSync(join(folder, `live.duckdb${end}`)) ? statSync(join(folder, `live.duckdb${end}`)).size / 1e6 : 0,
  )
  console.log(
    `${count} ticks, p50 ${tick.p50.toFixed(0)}, p99 ${tick.p99.toFixed(0)} ms; ${(rss / 1e6).toFixed(0)} MB (${(heap / 1e6).toFixed(0)} of JavaScript; engine: ${parts.join(', ')}); file ${file[0].toFixed(0)}, log ${file[1].toFixed(0)} MB; ${checkpoints.length} checkpoints, ${held.length} held; ${per.join(', ')}`,
  )
}
async function stopFollower() {
  const ending = follower
  if (!ending) return
  const ended = new Promise(resolve => ending.once('exit', resolve))
  ending.send('stop')
  const timer = setTimeout(() => ending.kill('SIGKILL'), 30_000)
  await ended
  clearTimeout(timer)
}

async function until(check, what) {
  while (!check()) {
    if (!follower) throw new Error(`the session ended before ${what}`)
    await new Promise(resolve => (told.wake = resolve))
  }
}

/** One stretch at a steady rate: until everything of it is visible in both tables, or as long again has passed. */
async function steady(rate, time) {
  for (const all of [told.seen.ods, told.seen.dw, told.ticks, told.memory]) all.splice(0)
  windowFrom = 0
  windowEnds = Number(given.windows) > 0 ? performance.now() + 1000 * Number(given.windows) : Infinity
  const cpu = cpuSeconds(follower.pid)
  const began = performance.now()
  const wrote = await write({ rate, seconds: time })
  const took = (performance.now() - began) / 1000
  const used = cpuSeconds(follower.pid) - cpu
  const limit = performance.now() + Math.max(10, time) * 1000
  const isThere = all => (all.at(-1)?.[1] ?? 0) >= place.seq
  await until(
    () => (isThere(told.seen.ods) && isThere(told.seen.dw)) || performance.now() > limit,
    'the last change to be visible',
  )
  return {
    rate,
    wrote: wrote.changes / wrote.seconds,
    synchronousCommit: wrote.synchronousCommit,
    ods: ages(wrote.commits, told.seen.ods),
    dw: ages(wrote.commits, told.seen.dw),
    behind: told.behind.find(([table]) => table === 'shop.orders')?.[2],
    ...ticksOf(told.ticks),
    cpu: used / took,
    memory: slope(told.memory),
    load: loadavg()[0],
  }
}

function write(asked) {
  const writer = fork(join(here, 'live/writer.mjs'))
  return new Promise((resolve, reject) => {
    writer.once('exit', code => reject(new Error(`the writer ended with ${code}`)))
    writer.once('message', wrote => {
      Object.assign(place, { seq: wrote.seq, id: wrote.id })
      resolve(wrote)
    })
    writer.send({ url: server.url, size, rows, customers, ...place, ...asked })
  })
}

/** Milliseconds from each commit to the first look that saw it: late by up to the time between two looks. */
function ages(commits, seen) {
  const found = []
  let at = 0
  for (const [seq, micros] of commits) {
    while (at < seen.length && seen[at][1] < seq) at += 1
    found.push(at < seen.length ? (seen[at][0] - micros) / 1000 : Infinity)
  }
  return percentiles(found)
}

function percentiles(figures) {
  const sorted = figures.toSorted((a, b) => a - b)
  const of = share => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  return { p50: of(0.5), p99: of(0.99), max: of(1) }
}

function ticksOf(all) {
  const steps = {}
  for (const { steps: one } of all) {
    for (const [name, it] of Object.entries(one)) {
      const sum = (steps[name] ??= { ms: 0, statements: 0 })
      sum.ms += it.ms
      sum.statements += it.statements
    }
  }
  const count = all.reduce((sum, it) => sum + it.count, 0)
  const [checkpoints, held] = ['checkpoint', 'held'].map(name => all.flatMap(it => it.slow[name] ?? []))
  const texts = {}
  for (const [text, it] of all.flatMap(one => Object.entries(one.texts))) {
    const sum = (texts[text] ??= { ms: 0, count: 0 })
    sum.ms += it.ms
    sum.count += it.count
  }
  return { count, texts, tick: percentiles(all.flatMap(it => it.ms)), steps, checkpoints, held }
}

/** Megabytes at the end, and those that a minute adds: the least squares of the second half. */
function slope(samples) {
  const half = samples.slice(Math.floor(samples.length / 2)).map(([ms, rss]) => [ms / 60_000, rss / 1e6])
  const mean = i => half.reduce((sum, it) => sum + it[i], 0) / half.length
  const [x, y] = [mean(0), mean(1)]
  const spread = half.reduce((sum, it) => sum + (it[0] - x) ** 2, 0)
  const perMinute = spread === 0 ? 0 : half.reduce((sum, it) => sum + (it[0] - x) * (it[1] - y), 0) / spread
  return { mb: half.at(-1)?.[1] ?? 0, perMinute, peak: Math.max(...samples.map(it => it[1] / 1e6)) }
}

function report(it) {
  const ms = figure => (Number.isFinite(figure) ? figure.toFixed(0) : 'never')
  const line = (name, of) => [name, ms(of.p50), ms(of.p99), ms(of.max)]
  console.log(
    `\n${it.rate} changes/s asked, ${it.wrote.toFixed(0)} written in transactions of ${size}; ${rows} rows; synchronous_commit ${it.synchronousCommit}; load ${it.load.toFixed(1)} on ${availableParallelism()} cores`,
  )
  printTable(
    ['ms', 'p50', 'p99', 'max'],
    [line('into the ODS', it.ods), line('into the mart', it.dw), line('a tick', it.tick)],
  )
  const own = it.behind ? `p50 ${it.behind.p50.toFixed(0)} ms, p99 ${it.behind.p99.toFixed(0)} ms` : 'nothing'
  console.log(`the session's own status says of the ODS: ${own}`)
  const { mb, perMinute, peak } = it.memory
  const per = sum => (sum / Math.max(1, it.count)).toFixed(1)
  const statements = Object.values(it.steps).reduce((sum, step) => sum + step.statements, 0)
  console.log(
    `${it.count} ticks of ${per(statements)} statements; ${it.cpu.toFixed(2)} processors; ${mb.toFixed(0)} MB (peak ${peak.toFixed(0)}), ${perMinute >= 0 ? '+' : ''}${perMinute.toFixed(1)} MB a minute; ${it.checkpoints.length} checkpoints (${it.held.length} held by readers), longest ${ms(Math.max(0, ...it.checkpoints))} ms`,
  )
  printTable(
    ['step, a tick', 'ms', 'statements'],
    Object.entries(it.steps).map(([name, step]) => [name, per(step.ms), per(step.statements)]),
  )
  const slowest = Object.entries(it.texts).sort(([, a], [, b]) => b.ms - a.ms)
  for (const [text, { ms: sum, count }] of slowest.slice(0, Number(given.statements))) {
    console.log(`${per(sum).padStart(7)} ms, ${per(count).padStart(4)} times: ${text}`)
  }
  if (given.json) console.log(JSON.stringify({ bench: 'live', ...it }))
}

function holds({ rate, wrote, ods, dw }) {
  return wrote > rate * 0.97 && ods.p99 < 1000 && dw.p99 < 3000
}

async function find() {
  let best = null
  for (let rate = Number(given.rate.split(',')[0]); ; rate = Math.round(rate * 1.25)) {
    const it = await steady(rate, seconds)
    console.error(
      `${rate}/s: wrote ${it.wrote.toFixed(0)}, ODS p99 ${it.ods.p99.toFixed(0)} ms, mart p99 ${it.dw.p99.toFixed(0)} ms`,
    )
    if (!holds(it)) break
    best = it
  }
  if (best === null) return console.log('the first rate does not hold')
  console.log(`the highest rate that holds: ${best.rate} changes/s`)
  report(best)
}

/** Changes that wait while nobody reads them: written in transactions of 1,000, then taken by a session that begins. */
async function drain(changes) {
  await stopFollower()
  for (let done = 0; done < changes; done += 1_000) {
    place.seq += 1
    await client.query(
      `update orders set seq = $1, amount = ((id * 17 + $1) % 100000)::numeric / 100 where id in (select 1 + (($1 * 1000 + g) * 15485863) % $2 from generate_series(1, 1000) g)`,
      [place.seq, rows],
    )
  }
  Object.assign(told, { seen: { ods: [], dw: [] }, ticks: [], memory: [], behind: [] })
  const began = performance.now()
  await startFollower()
  await until(() => (told.seen.ods.at(-1)?.[1] ?? 0) >= place.seq, 'the backlog to be visible')
  const took = (performance.now() - began) / 1000
  const { count, tick } = ticksOf(told.ticks)
  const { mb, peak } = slope(told.memory)
  const wal = statSync(join(folder, 'live.duckdb')).size / 1e6
  console.log(
    `${changes} changes in ${took.toFixed(1)} s (${(changes / took).toFixed(0)}/s), ${count} ticks, p50 ${tick.p50.toFixed(0)} ms, longest ${tick.max.toFixed(0)} ms`,
  )
  console.log(
    `${mb.toFixed(0)} MB at the end, peak ${peak.toFixed(0)}; the engine's file ${wal.toFixed(0)} MB; load ${loadavg()[0].toFixed(1)}`,
  )
}
