// npm run bench -- trigger [--rounds 3] [--transactions 40] [--rows 500] [--json]
// What triggers cost the writers of PostgreSQL: transactions of inserts, updates and deletes, and single statements that each
// commit, with the triggers of the technique and without, in turns on one server. The answer is the ratio of the medians.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createJiti } from 'jiti'
import pg from 'pg'
import { median } from './measure.mjs'

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
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
  const works = { [`${transactions} transactions of ${rows} rows`]: inTransactions, 'single statements': oneByOne }
  const results = []
  for (const [name, work] of Object.entries(works)) {
    const times = { without: [], with: [] }
    for (let round = 0; round <= rounds; round++) {
      for (const way of round % 2 === 0 ? ['without', 'with'] : ['with', 'without']) {
        await prepare(way === 'with')
        const began = performance.now()
        await work()
        // The first round warms up.
        if (round > 0) times[way].push((performance.now() - began) / 1000)
      }
    }
    const [without, withTriggers] = [median(times.without), median(times.with)]
    results.push({ name, without, withTriggers, ratio: withTriggers / without })
  }
  if (given.json) console.log(JSON.stringify(results))
  else {
    console.log('work of the writers: seconds without triggers, with them, and the ratio')
    for (const it of results) {
      console.log(`${it.name}: ${it.without.toFixed(2)} s, ${it.withTriggers.toFixed(2)} s, ${it.ratio.toFixed(2)}x`)
    }
  }
} finally {
  await adapter.close()
  await client.end()
  await server.remove()
  rmSync(dir, { recursive: true, force: true })
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
}

async function oneByOne() {
  for (let i = 1; i <= transactions * 25; i++) {
    await client.query({ name: 'i', text: `insert into flight values ($1, now(), 1, 'ATL', 'SEA', 1.5)`, values: [i] })
    await client.query({ name: 'u', text: 'update flight set delay = delay + 1 where flight_id = $1', values: [i] })
    if (i % 4 === 0) await client.query({ name: 'd', text: 'delete from flight where flight_id = $1', values: [i] })
  }
}
