import { spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { realEnv } from '../../src/core/env.ts'
import { readOptions } from '../../src/core/implementation.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { odbc } from '../../src/services/adapter/odbc/index.ts'
import { openAdapter } from '../../src/services/adapter/odbc/open.ts'
import { needDebian } from './install.ts'
import { freePort, makeFolder, startServer, type Server } from './server.ts'

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

/** A MariaDB for one test file, with the database `naru` and the account `naru`, password `secret word`. */
export async function startMariadbForOdbc(): Promise<Server & { readonly port: number; readonly socket: string }> {
  needDebian('mariadb-server', 'mariadb-client')
  const folder = makeFolder('mariadb')
  const [data, socket] = [path.join(folder, 'data'), path.join(folder, 'socket')]
  mkdirSync(data)
  const [uid, gid] = ['-u', '-g'].map(flag => Number(spawnSync('id', [flag, 'mysql'], { encoding: 'utf8' }).stdout)) as [number, number] // prettier-ignore
  for (const it of [folder, data]) chownSync(it, uid, gid)
  const own = ['--no-defaults', `--datadir=${data}`, '--user=mysql']
  const made = spawnSync('mariadb-install-db', [...own, '--auth-root-authentication-method=normal', '--skip-test-db'], {
    encoding: 'utf8',
  })
  if (made.status !== 0) throw new Error(`mariadb-install-db failed:\n${made.stdout}${made.stderr}`)
  const port = await freePort()
  const flags = [
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    `--socket=${socket}`,
    '--innodb-flush-log-at-trx-commit=0',
    '--max-allowed-packet=256M',
  ]
  const server = await startServer('mariadbd', [...own, ...flags, `--pid-file=${folder}/pid`], { ready: port })
  mariadb(
    socket,
    `create database naru character set utf8mb4; create user naru@'%' identified by 'secret word'; grant all on naru.* to naru@'%'`,
  )
  return { ...server, port, socket, stop: async () => { await server.stop(); rmSync(folder, { recursive: true, force: true }) } } // prettier-ignore
}

/** Runs statements as the administrator; gives what they print, columns parted by tabs. */
export function mariadb(socket: string, statements: string, database = ''): string {
  const args = [
    '--no-defaults',
    `--socket=${socket}`,
    '--user=root',
    '--batch',
    '--skip-column-names',
    '--default-character-set=utf8mb4',
    database,
  ]
  const done = spawnSync('mariadb', args.filter(it => it !== ''), { input: statements, encoding: 'utf8', maxBuffer: 256 << 20 }) // prettier-ignore
  if (done.status !== 0) throw new Error(done.stderr)
  return done.stdout
}
