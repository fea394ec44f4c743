// Loads a table into Parquet files with Naru's adapter and engine: rows gather in a table of the engine, which writes a
// file of them whenever there are enough, so that neither memory nor the database file grows with the table.
// Arguments: address, relation, folder, expected rows.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { realEnv } from '../../dist/core/env.js'
import { readOptions } from '../../dist/core/implementation.js'
import { Secret } from '../../dist/core/secret.js'
import { ident, joinSql, rawSql, sql } from '../../dist/core/sql.js'
import { postgres } from '../../dist/services/adapter/postgres/index.js'
import { openEngine } from '../../dist/services/engine/duckdb/open.js'

/** Rows of one file: about eight row groups of the engine. */
const FILE_ROWS = 1_000_000

const [url, relation, folder, expected] = process.argv.slice(2)
const env = realEnv()
const signal = new AbortController().signal
mkdirSync(folder, { recursive: true })

const { openAdapter } = await postgres.open()
const adapter = await openAdapter({
  source: 'ops',
  options: readOptions(postgres.options, { url: { kind: 'secret', from: 'env', name: 'URL' } }, 'source "ops"'),
  secret: () => new Secret(url),
  configDir: import.meta.dirname,
  stateDir: import.meta.dirname,
  env,
})
const engine = await openEngine({
  options: { path: join(folder, 'staging.duckdb') },
  configDir: import.meta.dirname,
  access: 'write',
  env,
})
const described = await adapter.describes.describe(signal)
const { name: remote, columns, key } = described.find(table => table.name === relation)
const snapshot = await adapter.tables.openSnapshot(signal)
const table = ident('main', 'gathered')
const list = joinSql(columns.map(column => sql`${ident(column.name)} ${rawSql(engine.dialect.type(column.type))}`))

const batches = snapshot.read(
  { remote, columns, key },
  columns.map(column => column.name),
  {},
  signal,
)
/** Gathers rows and writes them as one file; gives how many there were. */
async function writeFile(file) {
  return engine.transaction(signal, async tx => {
    await tx.execute(sql`create or replace table ${table} (${list})`)
    let gathered = 0
    while (gathered < FILE_ROWS) {
      const { value, done } = await batches.next()
      if (done) break
      await tx.append(table, columns, value.batch)
      gathered += value.batch.rows
    }
    const target = join(folder, `part-${file}.parquet`)
    if (gathered > 0) await tx.execute(sql`copy ${table} to ${target} (format parquet)`)
    await tx.execute(sql`drop table ${table}`)
    return gathered
  })
}

let rows = 0
for (let file = 0; ; file++) {
  const gathered = await writeFile(file)
  rows += gathered
  if (gathered < FILE_ROWS) break
}
await snapshot.close()
await adapter.close()
await engine.close()
if (rows !== Number(expected)) throw new Error(`${rows} rows arrived, ${expected} were expected`)
