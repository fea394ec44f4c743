// npm run bench -- trigger [--rounds 9] [--transactions 40] [--rows 500] [--json]
// What triggers cost the writers of PostgreSQL: statements of many rows, single rows that each commit, and single rows in one
// transaction within the server, with the triggers of the technique and without, in turns on one server. The answer is the
// ratio of the shortest times, for whatever else the machine does only adds: as an application has it, with every commit on
// disk, and without that, where nothing else hides it. On Linux also that of the processor time of the server's process.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createJiti } from 'jiti'
import pg from 'pg'

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    transactions: { type: 'string', default: '40' },
    rows: { type: 'string', default: '500' },
    json: { type: 'boolean', default: false },
  },
})
const [rounds, transactions, rows] = [given.rounds, given.transactions, given.rows].map(Number)
const load = createJiti(import.meta.url)
const { startPostgres } = await load.import('../src/testing/servers/embedded-postgres.ts')
const { openPostgres } = await load.import('../src/testing/postgres/database.ts')

const dir = mkdtempSync(join(tmpdir(), 'naru-bench-'))
const server = await startPostgres({ dir, settings: { fsync: 'off', max_wal_size: '4GB' } })
const client = new pg.Client(server.url)
const adapter = await openPostgres(server.url)
const never = new AbortController().signal
let backend
const table = {
  name: 'flight',
  remote: 'flight',
  key: ['flight_id'],
  columns: [
    ['flight_id', { kind: 'int', bits: 32 }],
    ['date', { kind: 'timestamp', zoned: false }],
    ['delay', { kind: 'int', bits: 32 }],
    ['origin', { kind: 'text' }],
    ['destination', { kind: 'text' }],
    ['fare', { kind: 'decimal', precision: 10, scale: 2 }],
  ].map(([name, type]) => ({ name, type, nullable: true, personal: false })),
}

try {
  await client.connect()
  backend = (await client.query('select pg_backend_pid() as pid')).rows[0].pid
  const works = {
    [`${transactions} transactions of ${rows} rows a statement`]: inTransactions,
    'single rows, each committed': oneByOne,
    'single rows in one transaction, no client': withoutClient,
  }
  const results = []
  const asked = ['on', 'off'].flatMap(flush => Object.entries(works).map(([name, work]) => ({ flush, name, work })))
  for (const { flush, name: what, work } of asked) {
    const name = `${what}, ${flush === 'on' ? 'flushed to disk' : 'never flushed'}`
    await client.query(`alter system set fsync = ${flush}`)
    await client.query('select pg_reload_conf()')
    const shortest = { without: { s: Infinity, cpu: Infinity }, with: { s: Infinity, cpu: Infinity } }
    for (let round = 0; round <= rounds; round++) {
      for (const way of round % 2 === 0 ? ['without', 'with'] : ['with', 'without']) {
        await prepare(way === 'with')
        const [began, cpu] = [performance.now(), processor()]
        const statements = await work()
        // The first round warms up.
        if (round === 0) continue
        const took = { s: (performance.now() - began) / 1000, cpu: (processor() - cpu) / statements }
        for (const key of ['s', 'cpu']) shortest[way][key] = Math.min(shortest[way][key], took[key])
      }
    }
    const ratio = { s: shortest.with.s / shortest.without.s, cpu: shortest.with.cpu / shortest.without.cpu }
    results.push({ name, ...shortest, ratio })
  }
  if (given.json) console.log(JSON.stringify(results))
  else {
    console.log('without triggers, with them, the ratio; processor time of the server for each changed row, the same')
    for (const it of results) {
      const us = ({ cpu }) => `${cpu.toFixed(1)} us`
      const wall = `${it.without.s.toFixed(2)} s, ${it.with.s.toFixed(2)} s, ${it.ratio.s.toFixed(2)}x`
      console.log(`${it.name}: ${wall}; ${us(it.without)}, ${us(it.with)}, ${it.ratio.cpu.toFixed(2)}x`)
    }
  }
} finally {
  await adapter.close()
  await client.end()
  await server.remove()
  rmSync(dir, { recursive: true, force: true })
}

async function withoutClient() {
  await client.query(`do $$ begin
    for i in 1..${transactions * 100} loop
      insert into flight values (i, now(), 1, 'ATL', 'SEA', 1.5);
      update flight set delay = delay + 1 where flight_id = i;
      if i % 4 = 0 then delete from flight where flight_id = i; end if;
    end loop; end $$`)
  return transactions * 100 * 2.25
}

/** Microseconds that the process of our connection has had a processor. */
function processor() {
  const file = `/proc/${backend}/schedstat`
  return existsSync(file) ? Number(readFileSync(file, 'utf8').split(' ')[0]) / 1000 : NaN
}

async function prepare(hasTriggers) {
  await adapter.captures.trigger.remove(never)
  await client.query(`drop table if exists flight cascade;
    create table flight (flight_id integer primary key, date timestamp, delay integer, origin text, destination text, fare numeric(10,2))`)
  if (hasTriggers) await adapter.captures.trigger.install([table], never)
  await client.query('checkpoint')
}

async function inTransactions() {
  for (let i = 0; i < transactions; i++) {
    const first = i * rows
    await client.query('begin')
    await client.query(`insert into flight select i, timestamp '2001-01-01' + i * interval '1 minute', i % 90, 'ATL', 'SEA', i % 1000 / 10.0
      from generate_series(${first + 1}, ${first + rows}) i`)
    await client.query(
      `update flight set delay = delay + 1, fare = fare * 1.1 where flight_id > ${first} and flight_id <= ${first + rows}`,
    )
    await client.query(
      `delete from flight where flight_id > ${first} and flight_id <= ${first + rows} and flight_id % 4 = 0`,
    )
    await client.query('commit')
  }
  return transactions * rows * 2.25
}

async function oneByOne() {
  for (let i = 1; i <= transactions * 25; i++) {
    await client.query({ name: 'i', text: `insert into flight values ($1, now(), 1, 'ATL', 'SEA', 1.5)`, values: [i] })
    await client.query({ name: 'u', text: 'update flight set delay = delay + 1 where flight_id = $1', values: [i] })
    if (i % 4 === 0) await client.query({ name: 'd', text: 'delete from flight where flight_id = $1', values: [i] })
  }
  return transactions * 25 * 2.25
}
