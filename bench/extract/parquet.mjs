// One `naru transfer` of a PostgreSQL table into a Parquet file: parquet.mjs <url> <relation> <file> <rows>
import { dirname, join } from 'node:path'
import { transfer } from '../../dist/app/transfer/transfer.js'
import { realEnv } from '../../dist/core/env.js'

const [url, relation, file, rows] = process.argv.slice(2)
const env = { ...realEnv(), variables: { ...process.env, BENCH_URL: url } }
const request = {
  from: `env:BENCH_URL#${relation}`,
  to: file,
  query: null,
  where: null,
  columns: [],
  mode: 'replace',
  incremental: null,
  lastValue: null,
  file: {},
  key: [],
  splitBy: [],
  parallel: 1,
  chunkRows: 250_000,
  validate: 'count',
  missed: 'refuse',
  create: false,
  configFile: join(dirname(file), 'naru.config.ts'),
}
const done = await transfer({ env, emit: () => {}, signal: new AbortController().signal }, request)
if (String(done.rows) !== rows) throw new Error(`${done.rows} rows of ${rows}`)
