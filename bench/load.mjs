// Loads a table with one of Naru's adapters and its engine.
// Arguments: adapter, address, relation, DuckDB file, expected rows, memory of the engine (its default when left out).
import { realEnv } from '../dist/core/env.js'
import { readOptions } from '../dist/core/implementation.js'
import { Secret } from '../dist/core/secret.js'
import { ident, joinSql, rawSql, sql } from '../dist/core/sql.js'
import { adapters } from '../dist/app/registry.js'
import { openEngine } from '../dist/services/engine/duckdb/open.js'

const [kind, url, relation, file, expected, memory] = process.argv.slice(2)
const env = realEnv()
const signal = new AbortController().signal
const given = { url: { kind: 'secret', from: 'env', name: 'URL' } }

const { openAdapter } = await adapters[kind].open()
const adapter = await openAdapter({
  source: 'ops',
  options: readOptions(adapters[kind].options, given, 'source "ops"'),
  secret: () => new Secret(url),
  configDir: import.meta.dirname,
  stateDir: import.meta.dirname,
  env,
})
const engine = await openEngine({
  options: { path: file, ...(memory && { memory }) },
  configDir: import.meta.dirname,
  access: 'write',
  env,
})
const described = await adapter.describes.describe(signal)
const { name: remote, columns, key } = described.find(table => table.name === relation)
const snapshot = await adapter.tables.openSnapshot(signal)
const table = ident('main', 'flight')
const definitions = columns.map(column => sql`${ident(column.name)} ${rawSql(engine.dialect.type(column.type))}`)
let rows = 0
await engine.transaction(signal, async tx => {
  await tx.execute(sql`create table ${table} (${joinSql(definitions)})`)
  const names = columns.map(column => column.name)
  for await (const { batch } of snapshot.read({ remote, columns, key }, names, {}, signal)) {
    await tx.append(table, columns, batch)
    rows += batch.rows
  }
})
await snapshot.close()
await adapter.close()
await engine.checkpoint()
await engine.close()
if (rows !== Number(expected)) throw new Error(`${rows} rows arrived, ${expected} were expected`)
