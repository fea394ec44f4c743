import { createReadStream } from 'node:fs'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { Client } from 'pg'
import { fail } from '../../core/errors.ts'
import { dataFile, FLIGHTS, readStrikes, STRIKE_COLUMNS, writeOpsCsv } from './airline-data.ts'
import { copyIn } from './copy-in.ts'

export interface LoadOptions {
  /** Rows of `flight`; all 3,000,000 by default. A smaller copy is spread evenly and keeps the rows that rules must find. */
  readonly flights?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly rows: number; readonly total: number }) => void
}

export interface ChangeOptions {
  /** Flights that get another delay. */
  readonly count: number
  /** The same seed on the same rows changes the same flights in the same way. */
  readonly seed: number
  readonly inserts?: number
  readonly deletes?: number
}

/** The keys of the flights that changed, no key in two lists. */
export interface Changed {
  readonly updated: readonly number[]
  readonly inserted: readonly number[]
  readonly deleted: readonly number[]
}

const OPS_TABLES = `
  create table flight (
    flight_id integer not null,
    date timestamp not null,
    delay integer not null,
    distance integer not null,
    origin text not null,
    destination text not null,
    updated_at timestamptz not null
  );
  create table airport_code (code text primary key)`

/**
 * Makes the operations database at `url`: `flight`, numbered in the order of the file, and `airport_code`. One
 * transaction, then ANALYZE. `updated_at` is the day after the flight, so the last change lies at 2001-07-02.
 */
export async function loadOps(url: string, options: LoadOptions = {}): Promise<{ flights: number; codes: number }> {
  const total = Math.min(options.flights ?? FLIGHTS, FLIGHTS)
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'naru-airline-'))
  const client = new Client(url)
  try {
    const files = await writeOpsCsv(folder, total)
    const { size } = await fs.stat(files.flights)
    const onBytes = (bytes: number): void => options.onProgress?.({ rows: Math.round((bytes / size) * total), total })
    await client.connect()
    await client.query(`begin; ${OPS_TABLES}`)
    await copyIn(
      client,
      'copy flight from stdin (format csv, freeze)',
      readParts(files.flights, options.signal, onBytes),
    )
    await copyIn(client, 'copy airport_code from stdin (format csv)', readParts(files.codes, options.signal))
    // Indexes after the rows: building them at once is several times faster than row by row.
    await client.query('alter table flight add primary key (flight_id)')
    await client.query('create index flight_updated_at on flight (updated_at)')
    await client.query('commit')
    await client.query('analyze')
    const { rows } = await client.query<{ codes: number }>('select count(*)::int as codes from airport_code')
    return { flights: total, codes: rows[0]?.codes ?? 0 }
  } finally {
    await client.end()
    await fs.rm(folder, { recursive: true, force: true })
  }
}

/** Changes flights as the operations system would, in one transaction with `updated_at` = its time: an increment to capture. */
export async function changeFlights(url: string, options: ChangeOptions): Promise<Changed> {
  const { count, seed, inserts = 0, deletes = 0 } = options
  const hash = 'hashint8extended(flight_id, $1::bigint)'
  const client = new Client(url)
  const keys = async (text: string, ...values: readonly unknown[]): Promise<number[]> => {
    const { rows } = await client.query<{ flight_id: number }>(text, [...values])
    return rows.map(row => row.flight_id)
  }
  try {
    await client.connect()
    await client.query('begin')
    const chosen = await keys(
      `select flight_id from flight order by ${hash}, flight_id limit $2`,
      seed,
      deletes + count,
    )
    const deleted = await keys(
      'delete from flight where flight_id = any($1) returning flight_id',
      chosen.slice(0, deletes),
    )
    const updated = await keys(
      `update flight set delay = delay + 1 + abs(${hash} % 60)::int, updated_at = now()
       where flight_id = any($2) returning flight_id`,
      seed,
      chosen.slice(deletes),
    )
    const inserted = await keys(
      `insert into flight
       select (select max(flight_id) from flight) + row_number() over (order by flight_id),
         date + interval '1 day', delay, distance, origin, destination, now()
       from (select * from flight order by ${hash} desc, flight_id limit $2) as model
       returning flight_id`,
      seed,
      inserts,
    )
    await client.query('commit')
    return { updated: ascending(updated), inserted: ascending(inserted), deleted: ascending(deleted) }
  } finally {
    await client.end()
  }
}

/**
 * Fills the partner's folder: `airports.csv` with the side-car `airports.csv.md5` that says it is complete, and
 * `airports_2.csv`, cut in the middle of a row and without side-car: an upload that is still going on.
 */
export async function dropPartnerFiles(dir: string): Promise<void> {
  const bytes = await fs.readFile(dataFile('airports.csv'))
  const md5 = createHash('md5').update(bytes).digest('hex')
  await fs.mkdir(dir, { recursive: true })
  await fs.writeFile(path.join(dir, 'airports.csv'), bytes)
  await fs.writeFile(path.join(dir, 'airports.csv.md5'), `${md5}  airports.csv\n`)
  await fs.writeFile(path.join(dir, 'airports_2.csv'), bytes.subarray(0, 100_001))
}

/** Writes the legacy safety database: table `strike`, numbered in the order of the file, empty fields as NULL. */
export async function writeSafety(file: string, given: { readonly strikes?: number } = {}): Promise<void> {
  const rows = (await readStrikes()).slice(0, given.strikes)
  const names = Object.keys(STRIKE_COLUMNS)
  const columns = Object.entries(STRIKE_COLUMNS).map(([name, type]) => `${name} ${type}`)
  await fs.mkdir(path.dirname(file), { recursive: true })
  await fs.rm(file, { force: true })
  const database = new sqlite.Database(file)
  try {
    database.exec(`create table strike (strike_id integer primary key, ${columns.join(', ')}); begin`)
    const insert = database.prepare(`insert into strike values (?${', ?'.repeat(names.length)})`)
    try {
      rows.forEach((row, i) => insert.run([i + 1, ...row]))
    } finally {
      insert.finalize()
    }
    database.exec('commit')
  } finally {
    database.close()
  }
}

function ascending(keys: readonly number[]): number[] {
  return [...keys].sort((a, b) => a - b)
}

async function* readParts(
  file: string,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const part of createReadStream(file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Uint8Array>) {
    if (signal?.aborted === true) throw fail('CANCELLED', { what: 'the load of the airline' }, { cause: signal.reason })
    yield part
    bytes += part.length
    onBytes(bytes)
  }
}
