// Reads a slot with the npm package pg-logical-replication and counts its changes, each of which it makes an object.
// Arguments: folder of the package, address, slot and publication, expected changes.
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [folder, url, slot, expected] = process.argv.slice(2)
const { LogicalReplicationService, PgoutputPlugin } = createRequire(join(folder, 'package.json'))(folder)
const service = new LogicalReplicationService(
  { connectionString: url },
  { acknowledge: { auto: true, timeoutSeconds: 10 } },
)
let changes = 0
service.on('data', (_, { tag }) => {
  if (tag === 'insert' || tag === 'update' || tag === 'delete') changes += 1
  if (changes === Number(expected)) process.exit(0)
})
service.on('error', error => {
  throw error
})
await service.subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames: [slot] }), slot)
