// Reads the changes of a slot with Naru's adapter and counts them: no log, no engine.
// Arguments: address, position to begin behind, position to end at, folder to spill to, expected changes.
import { adapters } from '../../dist/app/registry.js'
import { realEnv } from '../../dist/core/env.js'
import { readOptions } from '../../dist/core/implementation.js'
import { Secret } from '../../dist/core/secret.js'
import { columns } from './source.mjs'

const [url, from, to, spillDir, expected] = process.argv.slice(2)
const { openAdapter } = await adapters.postgres.open()
const given = { url: { kind: 'secret', from: 'env', name: 'URL' } }
const adapter = await openAdapter({
  source: 'ops',
  options: readOptions(adapters.postgres.options, given, 'source "ops"'),
  secret: () => new Secret(url),
  configDir: import.meta.dirname,
  stateDir: spillDir,
  env: realEnv(),
})
const { log } = adapter.captures
const table = { name: 'flight', remote: 'flight', key: ['flight_id'], columns }
const stream = await log.open({ tables: [table], from, spillDir }, new AbortController().signal)
let changes = 0
for (;;) {
  const slice = await stream.next()
  for (const { ops } of slice.tables) changes += ops.length
  if (slice.position !== null && log.compare(slice.position, to) >= 0) break
}
await stream.close()
await adapter.close()
if (changes !== Number(expected)) throw new Error(`${changes} changes arrived, ${expected} were expected`)
