// Loads CSV from a named pipe into a native DuckDB table. Arguments: pipe, what is read, DuckDB file, expected rows.
import { DuckDBInstance } from '@duckdb/node-api'

const columns = {
  flight: `flight_id integer, date timestamp, delay integer, distance integer, origin varchar, destination varchar,
    updated_at timestamptz`,
  lineitem: `l_orderkey bigint, l_partkey integer, l_suppkey integer, l_linenumber integer, l_quantity decimal(15,2),
    l_extendedprice decimal(15,2), l_discount decimal(15,2), l_tax decimal(15,2), l_returnflag varchar,
    l_linestatus varchar, l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct varchar,
    l_shipmode varchar, l_comment varchar`,
}

const [pipe, table, file, expected] = process.argv.slice(2)
const instance = await DuckDBInstance.create(file)
const connection = await instance.connect()
await connection.run(`create table ${table} (${columns[table]})`)
await connection.run(`copy ${table} from '${pipe}' (format csv, header false)`)
const { value } = await connection
  .runAndReadAll('select count(*)::integer as value from ' + table)
  .then(it => it.getRowObjects()[0])
await connection.run('checkpoint')
connection.closeSync()
instance.closeSync()
if (value !== Number(expected)) throw new Error(`${value} rows arrived, ${expected} were expected`)
