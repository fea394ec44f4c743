import assert from 'node:assert/strict'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { never, readAll, shapeOf } from '../../src/services/adapter/conformance-support.ts'
import { openPostgres } from '../../src/testing/postgres/database.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { makeCertificate, type Certificate } from '../servers/certificate.ts'
import { startPostgresServer, withTls, type PostgresServer } from '../servers/postgres.ts'

let own: Certificate
let secure: PostgresServer
let plain: PostgresServer

beforeAll(async () => {
  own = makeCertificate('DNS:localhost')
  secure = await startPostgresServer('Debian 15', withTls(own))
  plain = await startPostgresServer('Debian 15')
  await secure.client.query(
    'create table items (id int primary key); insert into items select generate_series(1, 1000)',
  )
})

afterAll(async () => {
  await secure.stop()
  await plain.stop()
})

describe('TLS', () => {
  const ofServer = (): string => own.certificate

  test('require encrypts every connection, without a look at the certificate', async () => {
    await readsEncrypted(address(secure, '127.0.0.1', 'sslmode=require'))
  })

  test('verify-full with the right certificate and name', async () => {
    await readsEncrypted(address(secure, 'localhost', `sslmode=verify-full&sslrootcert=${ofServer()}`))
  })

  test('verify-ca takes any name, and require with certificates is verify-ca', async () => {
    await readsEncrypted(address(secure, '127.0.0.1', `sslmode=verify-ca&sslrootcert=${ofServer()}`))
    await readsEncrypted(address(secure, '127.0.0.1', `sslmode=require&sslrootcert=${ofServer()}`))
  })

  test('another name, another issuer, and none that is trusted are errors that no retry mends', async () => {
    const other = makeCertificate('DNS:localhost').certificate
    await refused('SOURCE_TLS', address(secure, '127.0.0.1', `sslmode=verify-full&sslrootcert=${ofServer()}`))
    await refused('SOURCE_TLS', address(secure, 'localhost', `sslmode=verify-full&sslrootcert=${other}`))
    await refused('SOURCE_TLS', address(secure, 'localhost', `sslmode=verify-ca&sslrootcert=${other}`))
    await refused('SOURCE_TLS', address(secure, 'localhost', 'sslmode=verify-full'))
  })

  test('a server without TLS is refused when TLS is asked for', async () => {
    await refused('SOURCE_TLS', address(plain, '127.0.0.1', 'sslmode=require'))
  })

  test('a mode that could fall back, a mode that is none, and a file that is not there', async () => {
    await refused('OPTION_INVALID', address(secure, 'localhost', 'sslmode=prefer'))
    await refused('OPTION_INVALID', address(secure, 'localhost', 'sslmode=verify'))
    await refused('OPTION_INVALID', address(secure, 'localhost', 'sslmode=verify-full&sslrootcert=/no/such/file.pem'))
  })
})

function address(server: PostgresServer, host: string, parameters: string): string {
  const url = new URL(server.url)
  url.hostname = host
  return `${url.href}?${parameters}`
}

async function readsEncrypted(url: string): Promise<void> {
  const adapter = await openPostgres(url)
  try {
    const snapshot = await adapter.tables?.openSnapshot(never)
    assert.ok(snapshot !== undefined)
    const { rows } = await readAll(snapshot, shapeOf('items', [['id', { kind: 'int', bits: 32 }]], ['id']))
    assert.equal(rows.length, 1_000)
    const { rows: sessions } = await secure.client.query<{ ssl: boolean }>(
      `select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'naru'`,
    )
    assert.ok(sessions.length >= 2 && sessions.every(({ ssl }) => ssl))
  } finally {
    await adapter.close()
  }
}

async function refused(code: 'SOURCE_TLS' | 'OPTION_INVALID', url: string): Promise<void> {
  const run = async (): Promise<unknown> => {
    const adapter = await openPostgres(url)
    try {
      return await adapter.describes?.describe(never)
    } finally {
      await adapter.close()
    }
  }
  await rejectsWith(code, run())
}
