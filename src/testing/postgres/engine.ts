import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { Client } from 'pg'
import { realEnv } from '../../core/env.ts'
import { Secret } from '../../core/secret.ts'
import type { EngineOpening } from '../../services/engine/contract.ts'
import { startPostgres } from '../servers/embedded-postgres.ts'

/** A PostgreSQL server for engines: each test takes a database of its own. */
export interface EngineServer {
  /** The superuser's address of the server. */
  readonly url: string
  /** Makes an empty database that an engine can use, and gives its address. */
  database(): Promise<string>
  /** What the engine is opened with, to write. */
  opening(url: string): EngineOpening
  /** Runs a statement as the superuser in a database. */
  run(url: string, statement: string): Promise<readonly Record<string, unknown>[]>
  stop(): Promise<void>
}

/** What the engine is opened with on the database at an address, to write. */
export function postgresOpening(url: string): EngineOpening {
  return {
    options: { url: { kind: 'secret', from: 'env', name: 'WAREHOUSE_URL' } },
    configDir: process.cwd(),
    secret: () => new Secret(url),
    access: 'write',
    env: realEnv(),
  }
}

export async function startEngineServer(settings: Readonly<Record<string, string>> = {}): Promise<EngineServer> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'naru-engine-postgres-'))
  const server = await startPostgres({ dir, settings: { fsync: 'off', ...settings } })
  let databases = 0
  const run = async (url: string, statement: string): Promise<readonly Record<string, unknown>[]> => {
    const client = new Client(url)
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(statement)).rows
    } finally {
      await client.end()
    }
  }
  return {
    url: server.url,
    run,
    database: async () => {
      const name = `engine_${++databases}`
      await run(
        server.url,
        `create database ${name} template template0 encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8'`,
      )
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return url.href
    },
    opening: postgresOpening,
    stop: async () => {
      await server.remove()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
