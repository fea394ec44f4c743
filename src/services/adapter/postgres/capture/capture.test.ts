import { afterAll, beforeAll, describe, test } from 'vitest'
import { startTestDatabase, type TestDatabase } from '../../../../testing/postgres/database.ts'
import { logicalSettings, logSystem } from '../../../../testing/postgres/log.ts'
import { capturePromisesFor, type CaptureSystem } from '../../conformance-capture.ts'

let database: TestDatabase
let system: CaptureSystem

const can = { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true }

beforeAll(async () => {
  database = await startTestDatabase(logicalSettings)
  system = logSystem(database)
})
afterAll(() => database.stop())

describe('the transaction log of PostgreSQL keeps the promises of captures', () => {
  const cut = async (): Promise<void> => {}
  for (const { name, check } of capturePromisesFor(can, { cut } as CaptureSystem)) test(name, () => check(system))
})
