import { afterAll, beforeAll, describe, test } from 'vitest'
import { capturePromises } from '../../conformance-capture.ts'
import { startTestDatabase, type TestDatabase } from '../../../../testing/postgres/database.ts'
import { postgresCaptures } from '../../../../testing/postgres/capture.ts'
import { eventCan } from '../../change-events.ts'

const can = { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true }

let database: TestDatabase
beforeAll(async () => {
  database = await startTestDatabase()
}, 120_000)
afterAll(() => database?.stop())

describe.each([
  ['trigger', can],
  ['event', { ...eventCan, transactions: true }],
] as const)('the technique %s on PostgreSQL keeps the contract', (technique, claims) => {
  for (const { name, when, check } of capturePromises) {
    test(
      name,
      async context => {
        const system = postgresCaptures(database, technique)
        if (when?.(claims, system) === false) return context.skip()
        await check(system)
      },
      180_000,
    )
  }
})
