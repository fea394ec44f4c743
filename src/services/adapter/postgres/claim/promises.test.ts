import { afterAll, beforeAll, describe, test } from 'vitest'
import { startTestDatabase, type TestDatabase } from '../../../../testing/postgres/database.ts'
import { postgresCaptures } from '../../../../testing/postgres/capture.ts'
import { claimCan } from '../../claims.ts'
import { claimPromises } from '../../conformance-claims.ts'
import { capturePromisesFor } from '../../conformance-capture.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await startTestDatabase()
}, 180_000)
afterAll(() => database?.stop())

describe('claims of PostgreSQL', () => {
  for (const { name, check } of claimPromises) test(name, () => check(postgresCaptures(database, 'status')), 180_000)
})

describe('the technique status on PostgreSQL keeps the contract', () => {
  // What a promise is about is known before there is a database.
  for (const { name, check } of capturePromisesFor(claimCan, postgresCaptures(database, 'status'))) {
    test(name, () => check(postgresCaptures(database, 'status')), 180_000)
  }
})
