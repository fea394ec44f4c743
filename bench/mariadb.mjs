// npm run bench -- mariadb [--rounds 3] [--rows 3000000] [--no-dlt] [--json]
// A table of MariaDB into a native DuckDB table: Naru's adapter and engine against the limits of the source
// (mariadb-dump --tab, which the server itself writes, and mariadb --quick --batch to nowhere) and dlt. Every way runs as a
// process of its own, in turns; dlt, which is many times slower, in the first round only.
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createJiti } from 'jiti'
import { createConnection } from 'mysql2/promise'
import { pythonWithDlt } from './extract/dlt.mjs'
import { cpuSeconds, has, measure, median, printTable } from './measure.mjs'

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '3000000' },
    dlt: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
  },
  allowNegative: true,
})
const rows = Number(given.rows)
const rounds = Number(given.rounds)
const parts = join(import.meta.dirname, 'mariadb')
const folder = mkdtempSync(join(tmpdir(), 'naru-bench-'))
const skipped = []

const { startMariaDb } = await createJiti(import.meta.url).import('../test/servers/mariadb.ts')
note('starting MariaDB')
const server = await startMariaDb({ 'innodb-buffer-pool-size': '1G', 'secure-file-priv': '' })
try {
  await fill()
  const ways = [batch(), dump(), naru(), rawSocket(), dlt()]
  await report(ways.filter(way => way !== null))
} finally {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
}

/** Flights as in the other benchmarks: three numbers, two short texts, two times. */
async function fill() {
  note(`making ${rows.toLocaleString('en')} rows`)
  const client = await createConnection(server.url())
  await client.query(`create table flight (flight_id int primary key, date datetime not null, delay int not null,
    distance int not null, origin varchar(8) not null, destination varchar(8) not null,
    updated_at timestamp(6) not null, fare decimal(10,2) not null) charset utf8mb4`)
  await client.query(`insert into flight select seq, '2001-01-01' + interval seq minute, cast(seq % 90 as signed) - 20, seq % 2500,
    elt(1 + seq % 5, 'ATL', 'ORD', 'DFW', 'LAX', 'ICN'), elt(1 + seq % 7, 'SEA', 'BOS', 'JFK', 'PUS', 'GMP', 'CJU', 'SFO'),
    '2001-01-02' + interval seq second, seq % 100000 / 100 from seq_1_to_${rows}`)
  await client.query('analyze table flight')
  await client.end()
}

function batch() {
  const args = ['--no-defaults', '-h127.0.0.1', `-P${server.port}`, '-uroot', '--quick', '--batch', 'shop']
  return {
    name: 'limit: mariadb --quick --batch',
    isLimit: true,
    commands: [['mariadb', ...args, '-e', 'select * from flight']],
  }
}

/** The server writes the file itself, into a folder of its own. */
function dump() {
  const out = join(server.folder, 'dump')
  mkdirSync(out, { recursive: true })
  chmodSync(out, 0o777)
  const args = ['--no-defaults', '-h127.0.0.1', `-P${server.port}`, '-uroot', `--tab=${out}`, 'shop', 'flight']
  return { name: 'mariadb-dump --tab', commands: [['mariadb-dump', ...args]], before: () => clean(out) }
}

function naru() {
  const command = load(server.url(), 'flight', target('naru'), String(rows))
  return { name: 'naru', commands: [command] }
}

function rawSocket() {
  return { name: 'naru, no engine', commands: [node('decode.mjs', server.url(), 'flight', String(rows))] }
}

function dlt() {
  if (!given.dlt) return null
  const python = pythonWithDlt(why => skip('dlt 1.31.0', why))
  if (python === null) return null
  if (!has(python, '-c', 'import pymysql') && !has(python, '-m', 'pip', 'install', '--quiet', 'pymysql')) {
    return skip('dlt 1.31.0', 'pymysql does not install')
  }
  const url = server.url().replace('mysql:', 'mysql+pymysql:')
  const load = join(parts, 'dlt_load.py')
  return { name: 'dlt 1.31.0', once: true, commands: [[python, load, url, 'flight', target('dlt'), String(rows)]] }
}

async function report(ways) {
  const runs = new Map(ways.map(way => [way, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const way of ways.filter(it => round === 1 || !it.once)) {
      note(`round ${round} of ${rounds}: ${way.name}`)
      for (const name of ['naru', 'dlt']) rmSync(target(name), { force: true, recursive: true })
      way.before?.()
      const serverBefore = cpuSeconds(server.pid)
      const run = await measure(way.commands)
      runs.get(way).push({ ...run, server: cpuSeconds(server.pid) - serverBefore })
    }
  }
  const results = ways.map(way => resultOf(way, runs.get(way)))
  const base = results.find(it => it.isLimit).seconds
  for (const it of results) it.ofLimit = it.seconds / base
  print(results)
  const own = results.find(it => it.name === 'naru')
  const peer = results.find(it => it.name.startsWith('dlt'))
  const goals = [
    goal('at most 2.0 times the limit', own.ofLimit, own.ofLimit <= 2),
    ...(peer ? [goal('at most a quarter of dlt', own.seconds / peer.seconds, own.seconds <= peer.seconds / 4)] : []),
    goal('peak memory under 512 MB', own.mb, own.mb < 512),
  ]
  if (given.json) console.log(JSON.stringify({ bench: 'mariadb', rows, rounds, results, goals, skipped }))
  else for (const it of goals) console.log(`${it.reached ? 'reached' : 'MISSED '}  ${it.name}: ${it.value}`)
  for (const it of skipped) note(`skipped  ${it.name}: ${it.why}`)
}

function goal(name, value, reached) {
  return { name, value: Number(value.toFixed(3)), reached }
}

function resultOf(way, all) {
  const seconds = median(all.map(run => run.seconds))
  return {
    name: way.name,
    isLimit: way.isLimit === true,
    seconds: Number(seconds.toFixed(2)),
    cpu: Number(median(all.map(run => run.cpu)).toFixed(2)),
    server: Number(median(all.map(run => run.server)).toFixed(2)),
    rowsPerSecond: Math.round(rows / seconds),
    mb: Math.max(...all.map(run => run.mb)),
  }
}

function print(results) {
  if (given.json) return
  const header = [
    `${rows.toLocaleString('en')} rows, ${rounds} rounds`,
    'seconds',
    'of limit',
    'CPU s',
    'server CPU s',
    'rows/s',
    'peak MB',
  ]
  printTable(
    header,
    results.map(it => [
      it.name,
      it.seconds.toFixed(2),
      it.ofLimit.toFixed(2),
      it.cpu.toFixed(2),
      it.server.toFixed(2),
      it.rowsPerSecond.toLocaleString('en'),
      String(it.mb),
    ]),
  )
}

function clean(out) {
  for (const name of ['flight.sql', 'flight.txt']) rmSync(join(out, name), { force: true })
}

function target(name) {
  return join(folder, `${name}.duckdb`)
}

function load(...args) {
  return [process.execPath, join(import.meta.dirname, 'load.mjs'), 'mysql', ...args]
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
