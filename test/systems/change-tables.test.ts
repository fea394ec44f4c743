import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { outbox as outboxOf } from '../../src/config/outbox.ts'
import { t } from '../../src/index.ts'
import type { CaptureSystem } from '../../src/services/adapter/conformance-capture-support.ts'
import { capturePromises } from '../../src/services/adapter/conformance-capture.ts'
import { exactTypeName, mysqlDialect } from '../../src/systems/mysql/dialect.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { eventStatements, postgresCaptures } from '../../src/testing/postgres/capture.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { startPostgresServer, type PostgresServer } from '../servers/postgres.ts'
import { makeSpillDir } from '../../src/testing/spill.ts'

const all = { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true }
const testMsMax = 300_000

/** Changing a table under its triggers: MariaDB then refuses every write to it, so nothing is lost, and nothing can be told. */
const notOnMariaDb = 'a column that is added or dropped is told in order, and no row before or behind it is lost'

describe.each(['npm 15', 'npm 18'] as const)('change tables of PostgreSQL from %s', version => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgresServer(version)
  }, testMsMax)
  afterAll(() => server?.stop())
  for (const [technique, can] of [
    ['trigger', all],
    ['event', { ...all, silentWriters: false }],
  ] as const) {
    for (const { name, when, check } of capturePromises) {
      if (when?.(can, { technique, cut: async () => {} } as unknown as CaptureSystem) === false) continue
      test(`${technique}: ${name}`, () => check(postgresCaptures(server, technique)), testMsMax)
    }
  }
})

describe('change tables of MariaDB', () => {
  let server: MariaDb
  let client: Connection
  beforeAll(async () => {
    server = await startMariaDb()
    client = await connectMysql(server.url())
  }, testMsMax)
  afterAll(async () => {
    await client?.end()
    await server?.stop()
  })

  for (const [technique, can] of [
    ['trigger', { ...all, transactions: false, truncates: false }],
    ['event', { ...all, transactions: false, silentWriters: false }],
  ] as const) {
    for (const { name, when, check } of capturePromises) {
      if (name === notOnMariaDb) continue
      if (when?.(can, { technique, cut: async () => {} } as unknown as CaptureSystem) === false) continue
      test(`${technique}: ${name}`, () => check(system(technique)), testMsMax)
    }
  }

  test('an application writes into the outbox with the rights that the guide names', async () => {
    const adapter = await openMysql(server.url())
    for (const statement of adapter.captures?.event?.script([]).install ?? []) await client.query(statement)
    await adapter.close()
    const guide = readFileSync(new URL('../../docs/guide/outbox.md', import.meta.url), 'utf8')
    const [grants = ''] = /grant .* on shop\.naru_outbox to app;/.exec(guide) ?? []
    await client.query(`create user app identified by 'p'`)
    await client.query(grants)
    const app = await connectMysql(server.url('app', 'p'))
    try {
      const event = outboxOf({ goods: { key: ['id'], columns: { id: t.int() } } }, 'goods', 'mysql')
      for (const id of [1, 2, 2]) {
        const { text, values } = event.insert({ id }, { idempotencyKey: `key ${id}` })
        await app.execute(text, [...values])
      }
      const [rows] = await client.query('select `key` from naru_outbox order by id')
      assert.deepEqual(rows, [{ key: '{"id":1}' }, { key: '{"id":2}' }])
      await assert.rejects(app.query('select `row` from naru_outbox'), /denied/)
    } finally {
      await app.end()
      await client.query('drop user app')
      await client.query('drop table naru_outbox')
    }
  })

  function system(technique: 'trigger' | 'event'): CaptureSystem {
    const outbox = 'naru_outbox (table_name, op, `key`, `row`)'
    return {
      technique,
      open: () => openMysql(server.url()),
      execute: async statement => {
        await client.query(statement)
      },
      session: async () => {
        const session = await connectMysql(server.url())
        let isOpen = true
        return {
          execute: async statement => {
            await session.query(statement)
          },
          close: async () => {
            if (isOpen) await session.end()
            isOpen = false
          },
        }
      },
      typeName: type =>
        type.kind === 'timestamp' && type.zoned ? 'timestamp(6) null' : (exactTypeName(type) ?? 'longtext'),
      literal: (type, value) =>
        type.kind === 'bytes'
          ? `x'${value.slice(2)}'`
          : mysqlDialect.literal(type.kind === 'timestamp' ? value.replace('+00', '') : value),
      cut: async () => {
        const [rows] = await client.query('select id from information_schema.processlist where id <> connection_id()')
        for (const { id } of rows as unknown as readonly { readonly id: number }[])
          await client.query(`kill ${id}`).catch(() => {})
      },
      spillDir: makeSpillDir,
      ...(technique === 'event' && {
        cooperate: write => eventStatements(write, outbox, mysqlDialect.literal, 'apart'),
        truncate: remote =>
          `truncate table ${remote}; insert into ${outbox} values ('${remote}', 'truncate', '{}', null)`,
      }),
    }
  }
})
