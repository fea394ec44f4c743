// npm run bench -- extract [--rounds 3] [--flights 3000000] [--copies 1] [--lineitem 1] [--no-dlt] [--url postgres://…] [--json]
// PostgreSQL `flight` into a native DuckDB table and into a Parquet file: Naru against the limit of the source (COPY to
// nowhere), a CSV pipe into DuckDB, and dlt. Every way runs as a process of its own, in turns; dlt, which is many times
// slower, in the first round only. `--lineitem 1` reads rows of the shape of TPC-H's lineitem at that scale instead: about
// 1 GB. `--copies 10` reads every row ten times, without the pipe: `--lineitem 1 --copies 10 --rounds 1 --no-dlt` is 10 GB.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Client } from 'pg'
import { loadOps } from '../dist/testing/servers/airline.js'
import { startPostgres } from '../dist/testing/servers/embedded-postgres.js'
import { pythonWithDlt } from './extract/dlt.mjs'
import { makeLineitem } from './extract/lineitem.mjs'
import { has, measure, median, printTable } from './measure.mjs'

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    flights: { type: 'string', default: '3000000' },
    copies: { type: 'string', default: '1' },
    lineitem: { type: 'string' },
    url: { type: 'string' },
    dlt: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
  },
  allowNegative: true,
})
const copies = Number(given.copies)
let rows = Number(given.flights) * copies
/** What is read: the table, or a view that has its rows several times. */
const base = given.lineitem ? 'lineitem_like' : 'flight'
const relation = copies === 1 ? base : `${base}_copies`
const rounds = Number(given.rounds)
/** The engine keeps what it has written as a cache up to its limit, which is 2 GB by default. */
const engineMemory = '256MB'
const parts = join(import.meta.dirname, 'extract')
const folder = mkdtempSync(join(tmpdir(), 'naru-bench-'))
const skipped = []

const server = given.url === undefined ? await loadedServer() : null
const url = given.url ?? server.url
try {
  if (given.lineitem) rows = (await makeLineitem(url, Number(given.lineitem))) * copies
  await makeCopies()
  const ways = [
    limit(),
    { name: 'naru', commands: [load(url, relation, target('naru'), String(rows), engineMemory)] },
    {
      name: 'naru transfer to Parquet',
      commands: [node('parquet.mjs', url, relation, target('naru').replace(/duckdb$/, 'parquet'), String(rows))],
    },
    csvPipe(),
    dlt(),
  ]
  await report(ways.filter(way => way !== null))
} finally {
  await server?.remove()
  rmSync(folder, { recursive: true, force: true })
}

async function loadedServer() {
  note('starting PostgreSQL and loading rows')
  const started = await startPostgres({ dir: join(folder, 'server') })
  if (!given.lineitem) await loadOps(started.url, { flights: Number(given.flights) })
  return started
}

async function makeCopies() {
  if (copies === 1) return
  const client = new Client(url)
  await client.connect()
  await client.query(
    `create or replace view ${relation} as select ${base}.* from ${base}, generate_series(1, ${copies})`,
  )
  await client.end()
}

function limit() {
  if (has('psql', '--version')) {
    return {
      name: 'limit: psql COPY binary',
      commands: [['psql', url, '-qc', `copy (table ${relation}) to stdout (format binary)`]],
      isLimit: true,
    }
  }
  return { name: 'limit: socket reader', commands: [node('limit.mjs', url, relation)], isLimit: true }
}

function csvPipe() {
  if (copies > 1) return skip('psql COPY csv to DuckDB', 'every row is read several times')
  if (!has('psql', '--version')) return skip('psql COPY csv to DuckDB', 'there is no psql')
  // A named pipe: what Node puts between two children is a socket, which DuckDB cannot open.
  const pipe = join(folder, 'pipe')
  if (!has('mkfifo', pipe)) return skip('psql COPY csv to DuckDB', 'this system has no named pipes')
  const psql = ['psql', url, '-qc', `\\copy (table ${relation}) to '${pipe}' (format csv)`]
  return {
    name: 'psql COPY csv to DuckDB',
    commands: [psql, node('csv.mjs', pipe, given.lineitem ? 'lineitem' : 'flight', target('csv'), String(rows))],
  }
}

function dlt() {
  if (!given.dlt) return null
  const python = pythonWithDlt(why => skip('dlt 1.31.0', why))
  if (python === null) return null
  return {
    name: 'dlt 1.31.0',
    once: true,
    commands: [[python, join(parts, 'dlt_load.py'), url, relation, target('dlt'), String(rows)]],
  }
}

async function report(ways) {
  const runs = new Map(ways.map(way => [way, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const way of ways.filter(it => round === 1 || !it.once)) {
      note(`round ${round} of ${rounds}: ${way.name}`)
      for (const name of ['naru', 'csv', 'dlt']) rmSync(target(name), { force: true, recursive: true })
      runs.get(way).push(await measure(way.commands))
    }
  }
  const results = ways.map(way => resultOf(way, runs.get(way)))
  const base = results.find(it => it.isLimit).seconds
  const naru = results.find(it => it.name === 'naru')
  for (const it of results) it.ofLimit = it.seconds / base
  printResults(results)
  const goal = (name, value, reached) => ({ name, value: Number(value.toFixed(3)), reached })
  const parquet = results.find(it => it.name.includes('Parquet'))
  const pipe = results.find(it => it.name.includes('csv'))
  const peer = results.find(it => it.name.startsWith('dlt'))
  const goals = [
    goal('at most 2 times the limit', naru.ofLimit, naru.ofLimit <= 2),
    goal('at most 1.5 times the limit into Parquet', parquet.ofLimit, parquet.ofLimit <= 1.5),
    goal('peak memory under 512 MB into Parquet', parquet.mb, parquet.mb < 512),
    ...(pipe ? [goal('faster than the CSV pipe', naru.seconds / pipe.seconds, naru.seconds < pipe.seconds)] : []),
    ...(peer ? [goal('at most a quarter of dlt', naru.seconds / peer.seconds, naru.seconds <= peer.seconds / 4)] : []),
    goal('peak memory under 512 MB', naru.mb, naru.mb < 512),
  ]
  for (const it of goals) print(`${it.reached ? 'reached' : 'MISSED '}  ${it.name}: ${it.value}`)
  for (const it of skipped) print(`skipped  ${it.name}: ${it.why}`)
  if (given.json) console.log(JSON.stringify({ bench: 'extract', rows, rounds, results, goals, skipped }))
}

function resultOf(way, runs) {
  const seconds = median(runs.map(run => run.seconds))
  return {
    name: way.name,
    isLimit: way.isLimit === true,
    seconds: Number(seconds.toFixed(2)),
    secondsMin: Number(Math.min(...runs.map(run => run.seconds)).toFixed(2)),
    cpuPerMillion: Number((median(runs.map(run => run.cpu)) / (rows / 1e6)).toFixed(2)),
    rowsPerSecond: Math.round(rows / seconds),
    mb: Math.max(...runs.map(run => run.mb)),
  }
}

function printResults(results) {
  if (given.json) return
  const header = [
    `${rows.toLocaleString('en')} rows of ${relation}, ${rounds} rounds`,
    'seconds',
    '(best)',
    'of limit',
    'rows/s',
    'CPU s per million rows',
    'peak MB',
  ]
  const lines = results.map(it => [
    it.name,
    it.seconds.toFixed(2),
    it.secondsMin.toFixed(2),
    it.ofLimit.toFixed(2),
    it.rowsPerSecond.toLocaleString('en'),
    it.cpuPerMillion.toFixed(2),
    String(it.mb),
  ])
  printTable(header, lines)
}

function target(name) {
  return join(folder, `${name}.duckdb`)
}

function load(...args) {
  return [process.execPath, join(import.meta.dirname, 'load.mjs'), 'postgres', ...args]
}

function node(part, ...args) {
  return [process.execPath, join(parts, part), ...args]
}

function skip(name, why) {
  skipped.push({ name, why })
  return null
}

function note(text) {
  console.error(text)
}

function print(text) {
  if (!given.json) console.log(text)
}
