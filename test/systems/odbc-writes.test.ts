import { afterAll, beforeAll, describe, test } from 'vitest'
import { writesPromises } from '../../src/services/adapter/conformance-writes.ts'
import { behindMariadb, behindPostgres, behindSqlite, type Behind } from '../servers/odbc-systems.ts'
import { prepareOdbc } from '../servers/odbc.ts'

let odbc: ReturnType<typeof prepareOdbc>
beforeAll(() => {
  odbc = prepareOdbc()
})
afterAll(() => odbc.remove())

const systems = [
  { name: 'SQLite', start: behindSqlite, totals: false },
  { name: 'PostgreSQL', start: behindPostgres, totals: true },
  { name: 'MariaDB', start: behindMariadb, totals: true },
] as const

for (const { name, start, totals } of systems) {
  describe(`writes of ${name} through ODBC`, () => {
    let behind: Behind
    beforeAll(async () => (behind = await start(odbc.folder)))
    afterAll(() => behind.stop())

    const can = { modes: ['update', 'upsert', 'delete'], totals } as const
    for (const promise of writesPromises.filter(it => it.when?.(can) ?? true)) {
      test(promise.name, () => promise.check(behind.writes))
    }
  })
}
