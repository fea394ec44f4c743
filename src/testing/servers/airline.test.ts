import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { Client, type QueryResultRow } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { changeFlights, dropPartnerFiles, loadOps, writeSafety } from './airline.ts'
import { startPostgres, type PostgresServer } from './embedded-postgres.ts'

const FLIGHTS = 20_000
let dir: string
let server: PostgresServer
let client: Client
const progress: number[] = []

beforeAll(async () => {
  dir = await fs.mkdtemp(path.join(os.tmpdir(), 'naru-airline-test-'))
  server = await startPostgres({ dir, settings: { fsync: 'off' } })
  await loadOps(server.url, { flights: FLIGHTS, onProgress: ({ rows }) => progress.push(rows) })
  client = new Client(server.url)
  await client.connect()
})

afterAll(async () => {
  await client.end()
  await server.remove()
  await fs.rm(dir, { recursive: true, force: true })
})

async function one(sql: string): Promise<QueryResultRow> {
  const { rows } = await client.query<QueryResultRow>(sql)
  return rows[0] ?? {}
}

test('a small copy keeps the facts of the large one', async () => {
  expect(
    await one(`select count(*)::int as flights, min(flight_id) as first, max(flight_id) as last, min(delay) as delay,
      count(distinct date_trunc('month', date) )::int as months, max(updated_at) < '2001-07-03' as past from flight`),
  ).toEqual({ flights: FLIGHTS, first: 1, last: FLIGHTS, delay: -1116, months: 6, past: true })
  const copies = 'select count(*) - 1 as n from flight group by date, origin, destination, delay, distance'
  expect(await one(`select sum(n)::int as copies from (${copies}) as groups`)).toEqual({ copies: 191 })
  expect(await one('select count(*)::int as codes from airport_code')).toEqual({ codes: 229 })
  expect(progress.at(-1)).toBe(FLIGHTS)
})

test('flights are numbered in the order of the file, which is the order of time', async () => {
  const earlier = 'select date < lag(date) over (order by flight_id) as is_earlier from flight'
  expect(await one(`select count(*)::int as n from (${earlier}) as steps where is_earlier`)).toEqual({ n: 0 })
})

test('every code in use stands in the file of the partner, and the half file does not look complete', async () => {
  const folder = path.join(dir, 'partner')
  await dropPartnerFiles(folder)
  const lines = (await fs.readFile(path.join(folder, 'airports.csv'), 'utf8')).trimEnd().split('\n')
  expect(lines).toHaveLength(3376 + 1)
  const known = new Set(lines.map(line => line.split(',')[0]))
  const { rows } = await client.query<{ code: string }>(
    'select code from airport_code union select origin from flight union select destination from flight',
  )
  expect(rows.map(row => row.code).filter(code => !known.has(code))).toEqual([])

  const md5 = createHash('md5')
    .update(await fs.readFile(path.join(folder, 'airports.csv')))
    .digest('hex')
  expect(await fs.readFile(path.join(folder, 'airports.csv.md5'), 'utf8')).toBe(`${md5}  airports.csv\n`)
  expect((await fs.readdir(folder)).sort()).toEqual(['airports.csv', 'airports.csv.md5', 'airports_2.csv'])
  expect((await fs.readFile(path.join(folder, 'airports_2.csv'), 'utf8')).split('\n').at(-1)).not.toBe('')
})

test('the safety file holds 10,000 strikes at 50 airports, with the speed missing in 28 %', async () => {
  const file = path.join(dir, 'safety.sqlite')
  await writeSafety(file)
  const database = new sqlite.Database(file, { readOnly: true })
  try {
    expect(
      database.get(`select count(*) as strikes, min(strike_id) as first, max(strike_id) as last,
        count(distinct airport_name) as airports, round(avg(speed_knots is null), 2) as unknown,
        sum(cost_total is null) as free, min(flight_date) as earliest from strike`),
    ).toEqual({ strikes: 10_000, first: 1, last: 10_000, airports: 50, unknown: 0.28, free: 0, earliest: '1990-01-08' })
    expect(database.get('select airport_name, speed_knots from strike where strike_id = 1')).toEqual({
      airport_name: 'BARKSDALE AIR FORCE BASE ARPT',
      speed_knots: 300,
    })
  } finally {
    database.close()
  }
})

test('a change touches as many flights as asked, the same ones for the same seed', async () => {
  const before = await client.query<{ flight_id: number; delay: number }>('select flight_id, delay from flight')
  const delays = new Map(before.rows.map(row => [row.flight_id, row.delay]))
  const changed = await changeFlights(server.url, { count: 100, seed: 7, inserts: 3, deletes: 2 })
  expect(changed).toMatchObject({
    inserted: [20_001, 20_002, 20_003],
    deleted: { length: 2 },
    updated: { length: 100 },
  })

  const recent = "from flight where updated_at > now() - interval '1 hour'"
  const after = await client.query<{ flight_id: number; delay: number }>(`select flight_id, delay ${recent} order by 1`)
  expect(after.rows.map(row => row.flight_id)).toEqual([...changed.updated, ...changed.inserted])
  for (const row of after.rows) expect(delays.get(row.flight_id)).not.toBe(row.delay)
  expect(await one('select count(*)::int as n from flight')).toEqual({ n: FLIGHTS + 1 })

  const again = await changeFlights(server.url, { count: 100, seed: 7 })
  expect(again.updated.filter(key => changed.updated.includes(key)).length).toBeGreaterThan(90)
})

test('a cancelled or refused load leaves no table', async () => {
  await client.query('create database other')
  const url = server.url.replace(/postgres$/, 'other')
  const controller = new AbortController()
  const load = loadOps(url, { flights: 1000, signal: controller.signal, onProgress: () => controller.abort() })
  await expect(load).rejects.toMatchObject({ code: 'CANCELLED' })
  const other = new Client(url)
  await other.connect()
  const { rows } = await other.query("select to_regclass('flight') as flight")
  expect(rows).toEqual([{ flight: null }])
  await other.end()
  await expect(loadOps(server.url, { flights: 1000 })).rejects.toThrow(/already exists/)
})
