import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { Client } from 'pg'
import { realEnv } from '../../core/env.ts'
import { readOptions } from '../../core/implementation.ts'
import { Secret } from '../../core/secret.ts'
import { startPostgres } from '../servers/embedded-postgres.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import { postgres } from '../../services/adapter/postgres/index.ts'
import { openAdapter } from '../../services/adapter/postgres/open.ts'

/** A real server for one test file, with a connection of its superuser. */
export interface TestDatabase {
  readonly url: string
  readonly client: Client
  /** The address with other parts: `url({ user: 'reader', password: 'x' })`. */
  urlWith(parts: { user?: string; password?: string; port?: number; database?: string }): string
  /** Another session of the superuser; it ends with the server. */
  connect(url?: string): Promise<Client>
  stop(): Promise<void>
}

/** The server that npm carries. */
export async function startTestDatabase(settings: Readonly<Record<string, string>> = {}): Promise<TestDatabase> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'naru-postgres-'))
  const server = await startPostgres({ dir, settings: { fsync: 'off', ...settings } })
  return testDatabase(server.url, async () => {
    await server.remove()
    await rm(dir, { recursive: true, force: true })
  })
}

/** A test database on a server that runs at `url`; `stop` ends it. */
export async function testDatabase(address: string, stop: () => Promise<void>): Promise<TestDatabase> {
  const clients: Client[] = []
  const connect = async (url = address): Promise<Client> => {
    const client = new Client(url)
    client.on('error', () => {}) // the server may end before its clients do
    await client.connect()
    clients.push(client)
    return client
  }
  return {
    url: address,
    client: await connect(),
    connect,
    urlWith: ({ user, password, port, database }) => {
      const url = new URL(address)
      if (user !== undefined) url.username = user
      if (password !== undefined) url.password = password
      if (port !== undefined) url.port = String(port)
      if (database !== undefined) url.pathname = `/${database}`
      return url.href
    },
    stop: async () => {
      await Promise.all(clients.map(client => client.end()))
      await stop()
    },
  }
}

/** The adapter on a database, with the options of a config. */
export function openPostgres(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<Adapter> {
  const given = { url: { kind: 'secret', from: 'env', name: 'OPS_URL' }, ...options }
  return openAdapter({
    source: 'ops',
    options: readOptions(postgres.options, given, 'source "ops"'),
    secret: () => new Secret(url),
    configDir: process.cwd(),
    stateDir: os.tmpdir(),
    env: realEnv(),
  })
}
