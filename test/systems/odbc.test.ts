import { afterAll, beforeAll, describe, test } from 'vitest'
import { tablesPromises } from '../../src/services/adapter/conformance-tables.ts'
import { behindMariadb, behindPostgres, behindSqlite, type Behind } from '../servers/odbc-systems.ts'
import { prepareOdbc } from '../servers/odbc.ts'

let odbc: ReturnType<typeof prepareOdbc>
beforeAll(() => {
  odbc = prepareOdbc()
})
afterAll(() => odbc.remove())

for (const [name, start] of Object.entries({
  SQLite: behindSqlite,
  PostgreSQL: behindPostgres,
  MariaDB: behindMariadb,
})) {
  describe(`tables of ${name} through ODBC`, () => {
    let behind: Behind
    beforeAll(async () => (behind = await start(odbc.folder)))
    afterAll(() => behind.stop())

    for (const promise of tablesPromises) {
      test(promise.name, async context => {
        if (promise.when?.(behind.system.can) === false) context.skip('the system does not claim it')
        await promise.check(behind.system)
      })
    }
  })
}
