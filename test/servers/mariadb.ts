import { spawnSync } from 'node:child_process'
import { chownSync, rmSync } from 'node:fs'
import path from 'node:path'
import { needDebian } from './install.ts'
import { answers, freePort, makeFolder, startServer, type Server } from './server.ts'

/** A real MariaDB on loopback, with an empty database `shop`. */
export interface MariaDb extends Server {
  readonly port: number
  /** Folder of its data; gone after `stop`. */
  readonly folder: string
  /** Address of the database for an account; the superuser's when it is left out. */
  url(user?: string, password?: string): string
  /** Ends the server and starts it again on the same data and port. */
  restart(): Promise<void>
}

/** Starts a MariaDB of its own. `settings` are options of the server: `{ 'log-bin': 'on' }`. */
export async function startMariaDb(settings: Readonly<Record<string, string>> = {}): Promise<MariaDb> {
  needDebian('mariadb-server', 'mariadb-client')
  const folder = makeFolder('mariadb')
  const datadir = path.join(folder, 'data')
  const [uid, gid] = ['-u', '-g'].map(flag => Number(output('id', flag, 'mysql'))) as [number, number]
  chownSync(folder, uid, gid)
  output(
    'mariadb-install-db',
    '--no-defaults',
    '--user=mysql',
    `--datadir=${datadir}`,
    // Its own: servers that begin at once take each other's files away.
    `--tmpdir=${folder}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
  )
  const port = await freePort()
  const given = {
    'innodb-flush-log-at-trx-commit': '0',
    'innodb-buffer-pool-size': '256M',
    'binlog-row-metadata': 'FULL',
    ...settings,
  }
  const options = [
    '--no-defaults',
    '--user=mysql',
    `--datadir=${datadir}`,
    `--tmpdir=${folder}`,
    `--socket=${path.join(folder, 'mysqld.sock')}`,
    `--pid-file=${path.join(folder, 'mysqld.pid')}`,
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    ...Object.entries(given).map(([name, value]) => `--${name}=${value}`),
  ]
  const start = (): Promise<Server> => startServer('mariadbd', options, { ready: () => answers(port) })
  let server = await start()
  output('mariadb', '--no-defaults', '-h', '127.0.0.1', '-P', String(port), '-u', 'root', '-e', 'create database shop')
  return {
    ...server,
    port,
    folder,
    url: (user = 'root', password = '') => `mysql://${user}:${password}@127.0.0.1:${port}/shop`,
    restart: async () => {
      await server.stop()
      server = await start()
    },
    stop: async () => {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function output(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status === 0) return stdout.trim()
  throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? stderr}`)
}
