import { afterAll, beforeAll, describe, test } from 'vitest'
import { tablesPromisesFor, type TablesSystem } from '../../src/services/adapter/conformance-tables.ts'
import { writesPromises } from '../../src/services/adapter/conformance-writes.ts'
import { openPostgres } from '../../src/testing/postgres/database.ts'
import { goodsProcedures } from '../../src/testing/postgres/procedures.ts'
import { postgresCan, postgresSystem } from '../../src/testing/postgres/system.ts'
import { startPostgresServer, type PostgresServer, type postgresVersions } from './postgres.ts'

/** The value by value promises open a connection and a thread for each value. */
const testMsMax = 300_000

/** Checks everything that the adapter promises against one version of the server. */
export function checkPostgres(version: keyof typeof postgresVersions): void {
  describe(`PostgreSQL from ${version}`, () => {
    let server: PostgresServer
    let system: TablesSystem
    beforeAll(async () => {
      server = await startPostgresServer(version)
      system = postgresSystem(server)
    })
    afterAll(() => server.stop())

    for (const promise of tablesPromisesFor(postgresCan)) {
      test(promise.name, () => promise.check(system), testMsMax)
    }
    for (const promise of writesPromises) {
      const check = (): Promise<void> =>
        promise.check({
          open: () => openPostgres(server.url),
          execute: async statement => {
            await server.client.query(statement)
          },
          procedures: goodsProcedures,
        })
      test(promise.name, check, testMsMax)
    }
  })
}
