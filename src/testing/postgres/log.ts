import type { CaptureSystem } from '../../services/adapter/conformance-capture.ts'
import { postgresDialect } from '../../systems/postgres/dialect.ts'
import { openPostgres, type TestDatabase } from './database.ts'
import { makeSpillDir } from '../spill.ts'

/** Settings of a server whose log is read. */
export const logicalSettings = { wal_level: 'logical', max_replication_slots: '20', max_wal_senders: '20' } as const

/** The promises of captures against a server, by the transaction log. Only tests use it. */
export function logSystem(database: TestDatabase, options: Readonly<Record<string, unknown>> = {}): CaptureSystem {
  return {
    technique: 'log',
    open: () => openPostgres(database.url, options),
    execute: async statement => {
      await database.client.query(statement)
    },
    session: async () => {
      const client = await database.connect()
      return {
        execute: async statement => {
          await client.query(statement)
        },
        close: () => client.end(),
      }
    },
    typeName: postgresDialect.type,
    literal: (_, value) => postgresDialect.literal(value),
    cut: async () => {
      await database.client.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'naru' and pid <> pg_backend_pid()`,
      )
    },
    spillDir: makeSpillDir,
  }
}
