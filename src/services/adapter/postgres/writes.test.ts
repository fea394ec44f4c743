import { afterAll, beforeAll, describe, test } from 'vitest'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../../testing/postgres/database.ts'
import { writesPromises } from '../conformance-writes.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await startTestDatabase()
})

afterAll(() => database.stop())

describe('what every adapter that writes keeps', () => {
  for (const promise of writesPromises) {
    test(promise.name, () =>
      promise.check({
        open: () => openPostgres(database.url),
        execute: async statement => {
          await database.client.query(statement)
        },
      }),
    )
  }
})
