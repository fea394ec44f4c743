import { afterAll, beforeAll, describe, test } from 'vitest'
import { tablesPromisesFor } from '../../src/services/adapter/conformance-tables.ts'
import { behindMariadb, behindPostgres, behindSqlite, odbcCan, type Behind } from '../servers/odbc-systems.ts'
import { prepareOdbc } from '../servers/odbc.ts'

let odbc: ReturnType<typeof prepareOdbc>
beforeAll(() => {
  odbc = prepareOdbc()
})
afterAll(() => odbc.remove())

const systems = [
  ['SQLite', behindSqlite],
  ['PostgreSQL', behindPostgres],
  ['MariaDB', behindMariadb],
] as const

for (const [name, start] of systems) {
  describe(`tables of ${name} through ODBC`, () => {
    let behind: Behind
    beforeAll(async () => (behind = await start(odbc.folder)))
    afterAll(() => behind.stop())

    for (const promise of tablesPromisesFor(odbcCan[name])) {
      test(promise.name, () => promise.check(behind.system))
    }
  })
}
