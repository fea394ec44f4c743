import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { claimCan } from '../../src/services/adapter/claims.ts'
import type { CaptureSystem } from '../../src/services/adapter/conformance-capture-support.ts'
import { claimPromises } from '../../src/services/adapter/conformance-claims.ts'
import { capturePromises } from '../../src/services/adapter/conformance-capture.ts'
import type { ColumnType } from '../../src/core/types.ts'
import { exactTypeName, mysqlDialect } from '../../src/systems/mysql/dialect.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { flag, flaggedTable, flagStatements } from '../../src/testing/suite/flags.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { makeSpillDir } from '../../src/testing/spill.ts'

const testMsMax = 180_000
let server: MariaDb
let client: Connection
beforeAll(async () => {
  server = await startMariaDb()
  client = await connectMysql(server.url())
}, 300_000)
afterAll(async () => {
  await client?.end()
  await server?.stop()
})

describe('claims of MariaDB', () => {
  for (const { name, check } of claimPromises) test(name, () => check(mariaDb()), testMsMax)
})

describe('the technique status on MariaDB keeps the contract', () => {
  for (const { name, when, check } of capturePromises) {
    if (when?.(claimCan, { technique: 'status', cut: async () => {} } as unknown as CaptureSystem) === false) continue
    test(name, () => check(mariaDb()), testMsMax)
  }
})

function mariaDb(): CaptureSystem {
  return {
    technique: 'status',
    open: () => openMysql(server.url()),
    execute: async statement => void (await client.query(statement)),
    session: async () => {
      const session = await connectMysql(server.url())
      return {
        execute: async statement => void (await session.query(statement)),
        close: () => session.end(),
      }
    },
    typeName,
    literal: (type, value) =>
      type.kind === 'bytes'
        ? `x'${value.slice(2)}'`
        : mysqlDialect.literal(type.kind === 'timestamp' ? value.replace('+00', '') : value),
    cut: async () => {
      const [rows] = await client.query(
        'select id from information_schema.processlist where id <> connection_id() and user = "root"',
      )
      for (const { id } of rows as { id: number }[]) await client.query(`kill ${id}`).catch(() => undefined)
    },
    spillDir: makeSpillDir,
    captured: table => ({ ...table, status: flag }),
    createTable: async table => {
      for (const statement of flaggedTable(table, { typeName, flagType: 'varchar(10)' })) await client.query(statement)
    },
    cooperate: write => flagStatements(write, mysqlDialect.literal),
  }
}

function typeName(type: ColumnType): string {
  if (type.kind === 'timestamp' && type.zoned) return 'timestamp(6) null'
  return exactTypeName(type) ?? 'longtext'
}
