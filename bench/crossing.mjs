// npm run bench -- crossing: the whole airline run over 3,000,000 flights, split by part, and the increment after 1,000
// changed flights, against dlt's extract and load alone (one table, no stage after it). --json prints one JSON line.
// --engine postgres puts the warehouse into a database of the source's server instead of DuckDB.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Client } from 'pg'
import { realEnv } from '../dist/core/env.js'
import { startDemoSources } from '../dist/app/demo/sources.js'
import { changeFlights } from '../dist/testing/servers/airline.js'
import { pythonWithDlt } from './extract/dlt.mjs'
import { measure, median, printTable } from './measure.mjs'

const { values: given } = parseArgs({
  options: {
    flights: { type: 'string', default: '3000000' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean' },
    engine: { type: 'string', default: 'duckdb' },
    dlt: { type: 'boolean', default: true },
  },
  allowNegative: true,
})
const flights = Number(given.flights)
const rounds = Number(given.rounds)
const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'naru-crossing-'))
const signal = new AbortController().signal
const sources = await startDemoSources(realEnv(), folder, { flights, keep: false, emit: () => {}, signal })
try {
  await compare()
} finally {
  await sources.stop()
  rmSync(folder, { recursive: true, force: true })
}

async function compare() {
  const warehouse = new URL(sources.variables.OPS_URL)
  warehouse.pathname = '/warehouse'
  const env = { ...process.env, ...sources.variables, WAREHOUSE_URL: warehouse.href }
  cpSync(join(root, 'examples', 'airline'), folder, { recursive: true })
  if (given.engine === 'postgres') useDatabase()
  const python = given.dlt ? pythonWithDlt(text => console.error(text)) : null
  const first = []
  const later = []
  const peer = []
  for (let round = 1; round <= rounds; round += 1) {
    console.error(`round ${round} of ${rounds}`)
    for (const name of ['airline.duckdb', 'airline.duckdb.wal', '.naru'])
      rmSync(join(folder, name), { recursive: true, force: true })
    if (given.engine === 'postgres') await makeDatabase()
    first.push(await naru(env))
    await changeFlights(sources.variables.OPS_URL, { count: 1000, seed: round })
    later.push(await naru(env))
    if (python === null) continue
    const file = join(folder, 'dlt.duckdb')
    rmSync(file, { force: true })
    const script = join(import.meta.dirname, 'extract', 'dlt_load.py')
    peer.push(await measure([[python, script, sources.variables.OPS_URL, 'flight', file, String(flights)]], { env }))
  }
  report({ first, later, peer })
}

/** Changes the one line of the config that names the engine. */
function useDatabase() {
  const file = join(folder, 'naru.config.ts')
  const text = readFileSync(file, 'utf8').replace(/duckdb\(.*\)/, `postgres({ url: env('WAREHOUSE_URL') })`)
  writeFileSync(file, text.replace(/\bduckdb\b/, 'postgres'))
}

async function makeDatabase() {
  const client = new Client(sources.variables.OPS_URL)
  await client.connect()
  await client.query('drop database if exists warehouse with (force)')
  const fits = `encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8'`
  await client.query(`create database warehouse template template0 ${fits}`)
  await client.end()
}

/** One `naru run` as a whole process, with the seconds it reports of its parts. */
async function naru(env) {
  const out = join(folder, 'result.json')
  const main = join(root, 'dist', 'cli', 'main.js')
  const config = join(folder, 'naru.config.ts')
  writeFileSync(out, '')
  const run = await measure(
    [['sh', '-c', `exec "$0" "$1" run --json --quiet --config "$2" > "$3"`, process.execPath, main, config, out]],
    { env },
  )
  const { stdout } = spawnSync('tail', ['-n', '1', out], { encoding: 'utf8' })
  const result = JSON.parse(stdout)
  return { ...run, parts: result.seconds, rowsStaged: result.rowsStaged }
}

function report({ first, later, peer }) {
  const seconds = runs => median(runs.map(run => run.seconds))
  const part = (runs, name) => median(runs.map(run => run.parts[name]))
  const peak = runs => Math.max(...runs.map(run => run.mb))
  const base = peer.length === 0 ? null : seconds(peer)
  const row = (name, runs, names) => [
    name,
    seconds(runs).toFixed(2),
    ...['extract', 'etl', 'warehouse'].map(it => (names ? part(runs, it).toFixed(2) : '')),
    String(peak(runs)),
    base === null ? '-' : (seconds(runs) / base).toFixed(2),
  ]
  const rows = [
    row(`naru, everything, ${flights.toLocaleString('en')} flights`, first, true),
    row('naru, after 1,000 changed flights', later, true),
    ...(peer.length === 0 ? [] : [row('dlt 1.31.0, load of flight alone', peer, false)]),
  ]
  printTable(['whole process', 'seconds', 'extract', 'stages', 'warehouse', 'peak MB', 'of dlt'], rows)
  if (base === null) console.log('dlt was skipped: there is no python3, or it could not be installed')
  else
    console.log(
      `${seconds(first) < base ? 'reached' : 'MISSED '}  everything in less time than dlt needs to load: ${(seconds(first) / base).toFixed(2)}`,
    )
  if (given.json) console.log(JSON.stringify({ bench: 'crossing', flights, rounds, first, later, peer }))
}
