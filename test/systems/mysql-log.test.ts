import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { ColumnType } from '../../src/core/types.ts'
import { capturePromisesFor, type CaptureSystem } from '../../src/services/adapter/conformance-capture.ts'
import { exactTypeName, mysqlDialect } from '../../src/systems/mysql/dialect.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'

const LOG = { 'log-bin': 'mysqld-bin', 'server-id': '1', 'binlog-format': 'ROW' }

let server: MariaDb
let client: Connection
const folders: string[] = []
beforeAll(async () => {
  server = await startMariaDb(LOG)
  client = await connectMysql(server.url())
})
afterAll(async () => {
  await client?.end()
  await server?.stop()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const system: CaptureSystem = {
  technique: 'log',
  open: () => openMysql(server.url()),
  execute: async statement => void (await client.query(statement)),
  session: async () => {
    const session = await connectMysql(server.url())
    return { execute: async statement => void (await session.query(statement)), close: () => session.end() }
  },
  typeName: (type: ColumnType) =>
    type.kind === 'timestamp' && type.zoned ? 'timestamp(6) null' : (exactTypeName(type) ?? 'varchar(100)'),
  literal: (type, value) =>
    type.kind === 'bytes'
      ? `x'${value.slice(2)}'`
      : mysqlDialect.literal(type.kind === 'timestamp' ? value.replace('+00', '') : value),
  cut: async () => {
    const [rows] = await client.query('select id from information_schema.processlist where id <> connection_id()')
    for (const { id } of rows as unknown as readonly { readonly id: number }[]) {
      await client.query(`kill ${id}`).catch(() => undefined) // it may have ended by itself
    }
  },
  makeAnew: async () => void (await client.query('reset master')),
  spillDir: async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'naru-spill-'))
    folders.push(folder)
    return folder
  },
}
const can = { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true }

describe('the log of MariaDB keeps the contract of captures', () => {
  for (const promise of capturePromisesFor(can, system)) {
    test(promise.name, () => promise.check(system))
  }
})
