import { afterAll, beforeAll, describe, test } from 'vitest'
import { startTestDatabase, type TestDatabase } from '../../testing/postgres/database.ts'
import { postgresCan, postgresSystem } from '../../testing/postgres/system.ts'
import { tablesPromisesFor, type TablesSystem } from './conformance-tables.ts'

let database: TestDatabase

/** A system, and how it is made ready and put away. */
interface Row {
  readonly kind: string
  readonly can: TablesSystem['can']
  start(): Promise<TablesSystem>
  stop(): Promise<void>
}

const systems: readonly Row[] = [
  {
    kind: 'postgres',
    can: postgresCan,
    start: async () => {
      database = await startTestDatabase()
      return postgresSystem(database)
    },
    stop: () => database.stop(),
  },
]

for (const { kind, can, start, stop } of systems) {
  describe(`tables of ${kind}`, () => {
    let system: TablesSystem
    beforeAll(async () => (system = await start()))
    afterAll(stop)

    for (const promise of tablesPromisesFor(can)) {
      test(promise.name, async () => {
        await promise.check(system)
      })
    }
  })
}
