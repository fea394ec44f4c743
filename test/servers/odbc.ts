import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { realEnv } from '../../src/core/env.ts'
import { readOptions } from '../../src/core/implementation.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { odbc } from '../../src/services/adapter/odbc/index.ts'
import { openAdapter } from '../../src/services/adapter/odbc/open.ts'
import { needDebian } from './install.ts'
import type { MariaDb } from './mariadb.ts'
import { makeFolder } from './server.ts'

/** Installs the driver manager and three drivers, and gives this process and its children a configuration of their own. */
export function prepareOdbc(): { readonly folder: string; remove(): void } {
  needDebian('unixodbc', 'libsqliteodbc', 'odbc-postgresql', 'odbc-mariadb')
  const folder = makeFolder('odbc')
  const drivers = { SQLite3: 'libsqlite3odbc.so', PostgreSQL: 'psqlodbcw.so', MariaDB: 'libmaodbc.so' }
  const sections = Object.entries(drivers).map(([name, file]) => `[${name}]\nDriver=${file}\n`)
  writeFileSync(path.join(folder, 'odbcinst.ini'), sections.join('\n'))
  writeFileSync(path.join(folder, 'odbc.ini'), '')
  process.env['ODBCSYSINI'] = folder
  process.env['ODBCINI'] = path.join(folder, 'odbc.ini')
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** The adapter on a connection string, with the options of a config. */
export function openOdbc(connection: string, options: Readonly<Record<string, unknown>> = {}): Promise<Adapter> {
  const given = { dsn: { kind: 'secret', from: 'env', name: 'LEGACY_DSN' }, ...options }
  return openAdapter({
    source: 'legacy',
    options: readOptions(odbc.options, given, 'source "legacy"'),
    secret: () => new Secret(connection),
    configDir: process.cwd(),
    stateDir: os.tmpdir(),
    env: realEnv(),
  })
}

/** Gives a MariaDB the database `naru` and the account `naru`, password `secret word`. */
export function prepareMariadb({ folder }: MariaDb): void {
  mariadb(
    folder,
    `create database naru character set utf8mb4; create user naru@'%' identified by 'secret word';
     grant all on naru.* to naru@'%'`,
  )
}

/** Runs statements as the administrator; gives what they print, columns parted by tabs. */
export function mariadb(folder: string, statements: string, database = ''): string {
  const socket = `--socket=${path.join(folder, 'mysqld.sock')}`
  const printing = ['--batch', '--skip-column-names', '--default-character-set=utf8mb4']
  const args = ['--no-defaults', socket, '--user=root', ...printing, ...(database === '' ? [] : [database])]
  const done = spawnSync('mariadb', args, { input: statements, encoding: 'utf8', maxBuffer: 256 << 20 })
  if (done.status !== 0) throw new Error(done.stderr)
  return done.stdout
}
