import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { realEnv } from '../../src/core/env.ts'
import { isNaruError } from '../../src/core/errors.ts'
import { readOptions } from '../../src/core/implementation.ts'
import { Secret } from '../../src/core/secret.ts'
import { cassandra } from '../../src/services/adapter/cassandra/index.ts'
import { openAdapter as openCassandra } from '../../src/services/adapter/cassandra/open.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { openAdapter as openRedis } from '../../src/services/adapter/redis/open.ts'
import { openStorage } from '../../src/services/storage/registry.ts'
import { openApi, plain } from '../../src/testing/http/api.ts'
import { needDebian } from '../servers/install.ts'
import { makeFolder } from '../servers/server.ts'

// PostgreSQL, MySQL and FTPS have this in tests of their own, beside what else can be wrong with their TLS.
const signal = new AbortController().signal
const secret = { kind: 'secret', from: 'env', name: 'X' } as const
let server: tls.Server
let port: number
/** What a client said behind the handshake: a password would be among it. */
let heard = ''

beforeAll(async () => {
  needDebian('openssl')
  const folder = makeFolder('wrong-tls')
  const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')]
  const what = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-days', '7']
  const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...what]
  execFileSync('openssl', made, { stdio: 'ignore' })
  server = tls.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, socket => {
    socket.on('error', () => {})
    socket.on('data', chunk => (heard += chunk.toString('latin1')))
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as net.AddressInfo).port
})
afterAll(() => server.close())

const given = (
  url: string,
): Pick<Parameters<typeof openRedis>[0], 'source' | 'secret' | 'configDir' | 'stateDir' | 'env'> => {
  const place = { configDir: process.cwd(), stateDir: process.cwd() }
  return {
    source: 'away',
    secret: ({ name }) => new Secret(name === 'KEY' ? 'hunter2' : url),
    ...place,
    env: realEnv(),
  }
}
const open = async (opening: Promise<Adapter>): Promise<void> => {
  const adapter = await opening
  try {
    await (await adapter.tables?.openSnapshot(signal))?.look('rows')
  } finally {
    await adapter.close()
  }
}

const clients: readonly (readonly [string, string, () => Promise<unknown>])[] = [
  [
    'http',
    'SOURCE_TLS',
    async () => {
      const api = { url: `https://127.0.0.1:${port}`, token: secret, retries: 5, endpoints: { rows: plain } }
      const waits: number[] = []
      const opened = await openApi(api, { waits })
      try {
        await open(Promise.resolve(opened.adapter))
      } finally {
        assert.deepEqual(waits, []) // a certificate does not mend itself in a minute
        await opened.close()
      }
    },
  ],
  [
    's3',
    'STORAGE_TLS',
    async () => {
      const keys = { accessKeyId: { ...secret, name: 'KEY' }, secretAccessKey: { ...secret, name: 'KEY' } }
      const storage = await openStorage('s3', {
        ...given('s3://bucket/in'),
        usedBy: 'source "away"',
        options: { url: secret, endpoint: `https://127.0.0.1:${port}`, ...keys },
      })
      try {
        await storage.list('', signal)
      } finally {
        await storage.close()
      }
    },
  ],
  [
    'redis',
    'SOURCE_TLS',
    () => open(openRedis({ ...given(`rediss://:hunter2@127.0.0.1:${port}/0`), options: { url: secret, tables: {} } })),
  ],
  [
    'cassandra',
    'SOURCE_TLS',
    () => {
      const options = readOptions(cassandra.options, { url: secret, connectTimeout: '5s' }, 'source "away"')
      return open(openCassandra({ ...given(`cassandras://me:hunter2@127.0.0.1:${port}/x`), options }))
    },
  ],
]

test.each(clients)(
  '%s says nothing to a server whose certificate no known authority signed',
  async (_, code, connect) => {
    heard = ''
    await assert.rejects(connect(), error => {
      expect(isNaruError(error)).toBe(true)
      expect(error).toMatchObject({ code })
      expect(String(error)).toMatch(/self.signed/i)
      expect(String(error)).not.toContain('hunter2')
      return true
    })
    expect(heard).toBe('')
  },
)
