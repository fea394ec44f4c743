import { afterAll, beforeAll, describe, test } from 'vitest'
import { capturePromisesFor, type CaptureSystem } from '../../src/services/adapter/conformance-capture.ts'
import { logicalSettings, logSystem } from '../../src/testing/postgres/log.ts'
import { startPostgresServer, type PostgresServer } from '../servers/postgres.ts'

const can = { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true }

for (const version of ['npm 13', 'Debian 15', 'npm 18'] as const) {
  describe(`the log of PostgreSQL from ${version} keeps the promises of captures`, () => {
    let server: PostgresServer
    let system: CaptureSystem
    beforeAll(async () => {
      server = await startPostgresServer(version, { settings: logicalSettings })
      system = logSystem(server)
    })
    afterAll(() => server.stop())

    const cut = async (): Promise<void> => {}
    for (const { name, check } of capturePromisesFor(can, { cut } as CaptureSystem)) test(name, () => check(system))
  })
}
