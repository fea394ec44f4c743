import { createRequire } from 'node:module'
import path from 'node:path'
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'

/** Rows in `flights-3m.parquet`. */
export const FLIGHTS = 3_000_000

/** Columns of `strike` in the order of `birdstrikes.csv`, with their SQLite types. */
export const STRIKE_COLUMNS = {
  airport_name: 'text',
  aircraft_model: 'text',
  damage: 'text',
  flight_date: 'text',
  operator: 'text',
  origin_state: 'text',
  phase_of_flight: 'text',
  wildlife_size: 'text',
  wildlife_species: 'text',
  time_of_day: 'text',
  cost_other: 'integer',
  cost_repair: 'integer',
  cost_total: 'integer',
  speed_knots: 'integer',
} as const

/** The rows of `birdstrikes.csv` in file order, empty fields as null. */
export async function readStrikes(): Promise<(string | number | null)[][]> {
  const types = Object.values(STRIKE_COLUMNS).map(
    (type, i) => `'column${i}': '${type === 'text' ? 'varchar' : 'integer'}'`,
  )
  return withDuckDB(async connection => {
    const source = `read_csv(${quoted(dataFile('birdstrikes.csv'))}, header = true, columns = {${types.join(', ')}})`
    const reader = await connection.runAndReadAll(`select * from ${source}`)
    return reader.getRows() as (string | number | null)[][]
  })
}

/** Lets DuckDB turn the Parquet file into CSV that COPY takes as it is: no row passes through JavaScript. */
export async function writeOpsCsv(folder: string, total: number): Promise<{ flights: string; codes: string }> {
  const files = { flights: path.join(folder, 'flight.csv'), codes: path.join(folder, 'airport_code.csv') }
  const source = `read_parquet(${quoted(dataFile('flights-3m.parquet'))}, file_row_number = true)`
  await withDuckDB(async connection => {
    await connection.run(`create view source as select * from ${source}`)
    const rows = total === FLIGHTS ? 'select *, file_row_number + 1 as flight_id from source' : sampleOf(total)
    await connection.run(`copy (
      select flight_id, date, delay, distance, origin, destination, (date + interval 1 day)::varchar || '+00'
      from (${rows})) to ${quoted(files.flights)} (format csv, header false)`)
    await connection.run(`copy (select origin from source union select destination from source order by 1)
      to ${quoted(files.codes)} (format csv, header false)`)
  })
  return files
}

/** All duplicates and the smallest delay first, then rows spread evenly over the file; numbered in its order. */
function sampleOf(total: number): string {
  const isCopy = 'count(*) over (partition by date, delay, distance, origin, destination) > 1'
  return `
    select *, row_number() over (order by file_row_number) as flight_id from (
      select * from (select *, ${isCopy} as is_copy, min(delay) over () as delay_min from source)
      order by is_copy desc, delay = delay_min desc, hash(file_row_number), file_row_number limit ${total})
    order by file_row_number`
}

async function withDuckDB<T>(task: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const instance = await DuckDBInstance.create(':memory:')
  try {
    const connection = await instance.connect()
    try {
      return await task(connection)
    } finally {
      connection.closeSync()
    }
  } finally {
    instance.closeSync()
  }
}

/** A file of the npm package `vega-datasets`, which exports no path of its own. */
export function dataFile(name: string): string {
  const build = path.dirname(createRequire(import.meta.url).resolve('vega-datasets'))
  return path.join(path.dirname(build), 'data', name)
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
