// Loads CSV from a named pipe into a native DuckDB table. Arguments: pipe, DuckDB file, expected rows.
import { DuckDBInstance } from '@duckdb/node-api'

const [pipe, file, expected] = process.argv.slice(2)
const instance = await DuckDBInstance.create(file)
const connection = await instance.connect()
await connection.run(`create table flight (flight_id integer, date timestamp, delay integer, distance integer,
  origin varchar, destination varchar, updated_at timestamptz)`)
await connection.run(`copy flight from '${pipe}' (format csv, header false)`)
const { value } = await connection
  .runAndReadAll('select count(*)::integer as value from flight')
  .then(it => it.getRowObjects()[0])
await connection.run('checkpoint')
connection.closeSync()
instance.closeSync()
if (value !== Number(expected)) throw new Error(`${value} rows arrived, ${expected} were expected`)
