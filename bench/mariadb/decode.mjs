// Reads a table with Naru's adapter into column batches and throws them away: what the adapter alone costs.
// Arguments: address, relation, expected rows.
import { realEnv } from '../../dist/core/env.js'
import { readOptions } from '../../dist/core/implementation.js'
import { Secret } from '../../dist/core/secret.js'
import { mysql } from '../../dist/services/adapter/mysql/index.js'

const [url, relation, expected] = process.argv.slice(2)
const signal = new AbortController().signal
const { openAdapter } = await mysql.open()
const adapter = await openAdapter({
  source: 'ops',
  options: readOptions(mysql.options, { url: { kind: 'secret', from: 'env', name: 'URL' } }, 'source "ops"'),
  secret: () => new Secret(url),
  configDir: import.meta.dirname,
  stateDir: import.meta.dirname,
  env: realEnv(),
})
const snapshot = await adapter.tables.openSnapshot(signal)
const { columns, key } = await snapshot.look(relation)
let rows = 0
const names = columns.map(column => column.name)
for await (const { batch } of snapshot.read({ remote: relation, columns, key }, names, {}, signal)) rows += batch.rows
await snapshot.close()
await adapter.close()
if (rows !== Number(expected)) throw new Error(`${rows} rows arrived, ${expected} were expected`)
