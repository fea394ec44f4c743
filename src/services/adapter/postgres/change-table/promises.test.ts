import { afterAll, beforeAll, describe, test } from 'vitest'
import { capturePromisesFor } from '../../conformance-capture.ts'
import { startTestDatabase, type TestDatabase } from '../../../../testing/postgres/database.ts'
import { postgresCaptures } from '../../../../testing/postgres/capture.ts'
import { eventCan } from '../../change-events.ts'

const can = { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true }

let database: TestDatabase
beforeAll(async () => {
  database = await startTestDatabase()
}, 180_000)
afterAll(() => database?.stop())

describe.each([
  ['trigger', can],
  ['event', { ...eventCan, transactions: true }],
] as const)('the technique %s on PostgreSQL keeps the contract', (technique, claims) => {
  // What a promise is about is known before there is a database.
  for (const { name, check } of capturePromisesFor(claims, postgresCaptures(database, technique))) {
    test(name, () => check(postgresCaptures(database, technique)), 180_000)
  }
})
