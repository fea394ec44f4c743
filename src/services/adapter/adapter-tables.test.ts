import { afterAll, beforeAll, describe, test } from 'vitest'
import { startTestDatabase, type TestDatabase } from '../../testing/postgres/database.ts'
import { postgresSystem } from '../../testing/postgres/system.ts'
import { tablesPromises, type TablesSystem } from './conformance-tables.ts'

let database: TestDatabase

/** A system, and how it is made ready and put away. */
interface Row {
  readonly kind: string
  start(): Promise<TablesSystem>
  stop(): Promise<void>
}

const systems: readonly Row[] = [
  {
    kind: 'postgres',
    start: async () => {
      database = await startTestDatabase()
      return postgresSystem(database)
    },
    stop: () => database.stop(),
  },
]

for (const { kind, start, stop } of systems) {
  describe(`tables of ${kind}`, () => {
    let system: TablesSystem
    beforeAll(async () => (system = await start()))
    afterAll(stop)

    for (const promise of tablesPromises) {
      test(promise.name, async context => {
        if (promise.when?.(system.can) === false) context.skip('the system does not claim it')
        await promise.check(system)
      })
    }
  })
}
