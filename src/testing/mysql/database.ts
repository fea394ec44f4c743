import os from 'node:os'
import { createConnection, type Connection } from 'mysql2/promise'
import { realEnv } from '../../core/env.ts'
import { readOptions } from '../../core/implementation.ts'
import { Secret } from '../../core/secret.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import { mysql } from '../../services/adapter/mysql/index.ts'
import { openAdapter } from '../../services/adapter/mysql/open.ts'

/** The adapter on a database, with the options of a config. */
export function openMysql(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<Adapter> {
  const given = { url: { kind: 'secret', from: 'env', name: 'SHOP_URL' }, ...options }
  return openAdapter({
    source: 'shop',
    options: readOptions(mysql.options, given, 'source "shop"'),
    secret: () => new Secret(url),
    configDir: process.cwd(),
    stateDir: os.tmpdir(),
    env: realEnv(),
  })
}

/** Another account's session: it commits each statement, in UTC. */
export async function connectMysql(url: string): Promise<Connection> {
  const connection = await createConnection({
    uri: url,
    charset: 'utf8mb4',
    multipleStatements: true,
    dateStrings: true,
  })
  await connection.query("set time_zone = '+00:00'")
  return connection
}
