import path from 'node:path'
import type { Env } from '../../core/env.ts'
import { fail, systemCodeOf } from '../../core/errors.ts'

/** Systems take 104 or 108 bytes for the path of a socket, its end included. */
const SOCKET_BYTES_MAX = 100

/** Where the process that has the database open is asked, as it stands in the state folder. */
export interface ServerAddress {
  /** Path of a socket, or name of a pipe. */
  readonly address: string
  /** Shows that whoever asks may read the state folder. */
  readonly token: string
}

function fileOf(stateDir: string): string {
  return path.join(stateDir, 'server.json')
}

/**
 * A place for a socket: in a folder of the state folder that only its owner may enter, or in one of the system's where that path
 * is too long. Called by the holder of the lease, so whatever stands there is of a process that is gone.
 */
export async function makeAddress(env: Env, stateDir: string): Promise<ServerAddress> {
  const token = Buffer.from(env.random.bytes(24)).toString('hex')
  if (path.sep === '\\') return { address: String.raw`\\.\pipe\naru-${env.random.uuid()}`, token }
  await removeAddress(env, stateDir)
  const own = path.join(stateDir, 'server')
  const fits = Buffer.byteLength(path.join(own, 'socket')) <= SOCKET_BYTES_MAX
  const folder = fits ? own : await env.files.mkdtemp(path.join(shortFolder(env), 'naru-'))
  await env.files.mkdir(folder, { recursive: true, mode: 0o700 })
  await env.files.chmod(folder, 0o700)
  return { address: path.join(folder, 'socket'), token }
}

function shortFolder(env: Env): string {
  const folders = [env.variables['XDG_RUNTIME_DIR'], env.variables['TMPDIR'], '/tmp']
  const short = folders.find(it => it !== undefined && path.isAbsolute(it) && Buffer.byteLength(it) <= 70)
  return short ?? '/tmp'
}

/** Lets others find the socket, which listens by now. */
export async function publishAddress(env: Env, stateDir: string, found: ServerAddress): Promise<void> {
  const file = fileOf(stateDir)
  if (path.sep !== '\\') await env.files.chmod(found.address, 0o600)
  await env.files.rm(`${file}.new`, { force: true })
  await env.files.writeFile(`${file}.new`, JSON.stringify(found), { mode: 0o600, flag: 'wx' })
  await env.files.rename(`${file}.new`, file)
}

/** Takes the address away, and the socket with it. Harmless when there is none. */
export async function removeAddress(env: Env, stateDir: string): Promise<void> {
  const found = await readAddress(env, stateDir)
  await env.files.rm(fileOf(stateDir), { force: true })
  const sockets = [path.join(stateDir, 'server', 'socket')]
  if (found !== null && path.isAbsolute(found.address)) sockets.push(found.address)
  for (const socket of sockets) {
    // Only a socket, and only a folder that is empty then: the file may say anything.
    if (!(await isSocket(env, socket))) continue
    await env.files.rm(socket, { force: true })
    await env.files.rmdir(path.dirname(socket)).catch(() => {})
  }
}

async function isSocket(env: Env, file: string): Promise<boolean> {
  try {
    return (await env.files.lstat(file)).isSocket()
  } catch {
    return false
  }
}

/** What stands in the state folder; `null` when nothing does, or nothing that can be read. */
async function readAddress(env: Env, stateDir: string): Promise<ServerAddress | null> {
  try {
    const found = JSON.parse(await env.files.readFile(fileOf(stateDir), 'utf8')) as Partial<ServerAddress>
    if (typeof found.address !== 'string' || typeof found.token !== 'string') return null
    return { address: found.address, token: found.token }
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || error instanceof SyntaxError) return null
    throw error
  }
}

/**
 * The address of the process that has the database open, or had: `null` when there is none. Throws `SERVER_DENIED` when another
 * account could have written it or waits behind it.
 */
export async function findAddress(env: Env, stateDir: string): Promise<ServerAddress | null> {
  const found = await readAddress(env, stateDir)
  if (found === null || path.sep === '\\') return found
  await refuseForeign(env, fileOf(stateDir))
  if (!path.isAbsolute(found.address)) throw fail('SERVER_DENIED', { path: fileOf(stateDir), why: 'it names no path' })
  for (const place of [path.dirname(found.address), found.address]) {
    try {
      await refuseForeign(env, place)
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return null // its process is gone
      throw error
    }
  }
  return found
}

/** Only the account itself, or the administrator, may have made it; nobody else may change it. */
async function refuseForeign(env: Env, place: string): Promise<void> {
  const { uid, mode } = await env.files.lstat(place)
  const { user } = env.processes
  if (user !== null && user !== 0 && uid !== user && uid !== 0) {
    throw fail('SERVER_DENIED', { path: place, why: `it belongs to another account (${uid})` })
  }
  if ((mode & 0o022) !== 0) throw fail('SERVER_DENIED', { path: place, why: 'other accounts may change it' })
}
