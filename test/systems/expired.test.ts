import { readFileSync } from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adapters } from '../../src/app/registry.ts'
import { isNaruError, type Code } from '../../src/core/errors.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import { openForTest } from '../../src/testing/open-adapter.ts'
import { makeCertificate, type Certificate } from '../servers/certificate.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { startPostgresServer, withTls, type PostgresServer } from '../servers/postgres.ts'
import { startRedis, type RedisServer } from '../servers/redis.ts'
import { startVsftpd, type Vsftpd } from '../servers/vsftpd.ts'
import { expectRefused, makeProject } from '../support/project.ts'

// A certificate whose time is over, of an authority that we do trust: no system is spoken to, and none is asked again.

let expired: Certificate
let postgres: PostgresServer
let mariadb: MariaDb
let vsftpd: Vsftpd
let redis: RedisServer
let web: https.Server
beforeAll(async () => {
  expired = makeCertificate('DNS:localhost, IP:127.0.0.1', 'expired')
  const { certificate, key } = expired
  postgres = await startPostgresServer('Debian 15', withTls(expired))
  mariadb = await startMariaDb({ 'ssl-key': key, 'ssl-cert': certificate, 'ssl-ca': certificate })
  vsftpd = await startVsftpd('explicit', 'expired')
  web = https.createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (_, response) =>
    response.end('[]'),
  )
  await new Promise<void>(resolve => web.listen(0, '127.0.0.1', resolve))
  redis = await startRedis([], expired)
})
afterAll(async () => {
  web?.close()
  for (const server of [postgres, mariadb, vsftpd, redis]) await server?.stop()
})

const secret = (name: string): object => ({ kind: 'secret', from: 'env', name })
const webPort = (): number => (web.address() as AddressInfo).port

interface Case {
  readonly name: string
  readonly kind: string
  readonly code: Code
  readonly options: () => Readonly<Record<string, unknown>>
  readonly secrets?: () => Readonly<Record<string, string>>
}

const cases: readonly Case[] = [
  {
    name: 'PostgreSQL',
    kind: 'postgres',
    code: 'SOURCE_TLS',
    options: () => ({ url: secret('URL') }),
    secrets: () => {
      const url = new URL(postgres.url)
      url.hostname = 'localhost'
      return { URL: `${url.href}?sslmode=verify-full&sslrootcert=${expired.certificate}` }
    },
  },
  {
    name: 'MariaDB',
    kind: 'mysql',
    code: 'SOURCE_TLS',
    options: () => ({ url: secret('URL'), tls: 'verify', ca: expired.certificate }),
    secrets: () => ({ URL: mariadb.url() }),
  },
  {
    name: 'FTPS',
    kind: 'files',
    code: 'STORAGE_TLS',
    options: () => ({ url: secret('URL'), ca: secret('CA') }),
    secrets: () => ({
      URL: `ftps://${vsftpd.user}:${encodeURIComponent(vsftpd.password)}@127.0.0.1:${vsftpd.port}/`,
      CA: vsftpd.certificate,
    }),
  },
  {
    name: 'S3',
    kind: 'files',
    code: 'STORAGE_TLS',
    options: () => ({
      url: secret('URL'),
      endpoint: `https://localhost:${webPort()}`,
      accessKeyId: secret('KEY'),
      secretAccessKey: secret('WORD'),
      ca: secret('CA'),
    }),
    secrets: () => ({
      URL: 's3://bucket/in',
      KEY: 'key',
      WORD: 'a-secret-word',
      CA: readFileSync(expired.certificate, 'utf8'),
    }),
  },
]

describe('an expired certificate', () => {
  test.each(cases)('of $name: $code says that it has expired, at once', async ({ kind, code, options, secrets }) => {
    const implementation = adapters[kind] as NonNullable<(typeof adapters)[string]>
    const adapter = await openForTest(implementation, options() as never, secrets?.() ?? {})
    const beganMs = performance.now()
    try {
      const asking =
        adapter.files === undefined
          ? adapter.tables?.openSnapshot(never)
          : adapter.files.list({ glob: '*.csv', columns: [] } as never, never)
      const error = await (asking as Promise<unknown>).catch((it: unknown) => it)
      expect(isNaruError(error, code), String(error)).toBe(true)
      expect((error as Error).message).toContain('expired')
      expect((error as { retry: string }).retry).toBe('never')
      expect(performance.now() - beganMs).toBeLessThan(30_000)
    } finally {
      await adapter.close()
    }
  })
})

/** What trusts only the authorities of Node is tried in a process that trusts this one as well. */
describe('an expired certificate of a system without an option for its authority', () => {
  const schema = `{ id: t.text(), v: t.text() }`
  const sources: Readonly<Record<string, () => string>> = {
    http: () =>
      `http('far', { url: 'https://localhost:${webPort()}', endpoints: { x: { path: '/x', key: 'id', columns: ${schema} } } })`,
    redis: () =>
      `redis('far', { url: env('FAR_URL'), tables: { x: { strings: 'x:*', key: 'id', columns: ${schema} } } })`,
  }

  test.each(Object.entries(sources))('%s: it is refused at once, with what to do', async (_, source) => {
    const project = await makeProject({
      config: `import { defineConfig, duckdb, env, http, ods, redis, t } from 'naru'
const far = ${source()}
const x = ods.entity('x', { key: 'id', columns: ${schema} }).from(far.x, r => ({ ...r }))
export default defineConfig({ name: 'far', engine: duckdb({ path: 'data.duckdb' }), models: { x } })
`,
      variables: {
        FAR_URL: redis.url.replace('127.0.0.1', 'localhost'),
        NODE_EXTRA_CA_CERTS: expired.certificate,
      },
    })
    const ended = await project.naru(['run'])
    expectRefused(ended, { status: 1, code: 'SOURCE_TLS', says: ['source "far"', 'localhost', 'expired', 'renewed'] })
    expect(ended.stderr).not.toContain('trying again')
    expect(ended.stderr).not.toContain('redis-password')
    await project.remove()
  })
})
