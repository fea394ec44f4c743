import path from 'node:path'
import type { Env } from './env.ts'
import { fail, isDiskFull, systemCodeOf } from './errors.ts'

/**
 * The absolute path of `name` below `root`, which must stay below it also after links are followed.
 * Every path made from a remote or a user's name goes through here. Throws `PATH_OUTSIDE`.
 */
export async function resolveInside(env: Env, root: string, name: string): Promise<string> {
  const outside = (): Error => fail('PATH_OUTSIDE', { path: name, root })
  if (name.includes('\0') || name.includes('\\') || path.isAbsolute(name)) throw outside()
  const base = await env.files.realpath(root)
  const target = path.resolve(base, name)
  if (target !== base && !target.startsWith(base + path.sep)) throw outside()
  // The file itself may not exist yet: the deepest folder that does must still lie inside.
  for (let probe = target; ; probe = path.dirname(probe)) {
    try {
      const real = await env.files.realpath(probe)
      if (real !== base && !real.startsWith(base + path.sep)) throw outside()
      return target
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error
      // A link to nowhere: what it would create lies outside our check.
      if (await isLink(env, probe)) throw outside()
    }
  }
}

async function isLink(env: Env, file: string): Promise<boolean> {
  try {
    return (await env.files.lstat(file)).isSymbolicLink()
  } catch {
    return false // nothing there at all: the usual case for a new file
  }
}

/**
 * Writes a whole state file so that after a crash or a power cut it is the old one or the new one: temporary file,
 * fsync, rename, fsync of the folder. Readable by its owner only.
 */
export async function durableWrite(env: Env, file: string, bytes: string | Uint8Array): Promise<void> {
  const folder = path.dirname(file)
  const temporary = `${file}.${env.processes.pid}.tmp`
  try {
    await env.files.mkdir(folder, { recursive: true })
    await removeBroken(env, file)
    env.crash('durable.write.before')
    await writeSynced(env, temporary, bytes)
    env.crash('durable.rename.before')
    await env.files.rename(temporary, file)
    await syncFolder(env, folder)
    env.crash('durable.rename.after')
  } catch (error) {
    await env.files.rm(temporary, { force: true })
    if (isDiskFull(error)) throw fail('DISK_FULL', { path: file }, { cause: error })
    throw error
  }
}

/** Removes what writers of `file` left that were killed before their rename. */
async function removeBroken(env: Env, file: string): Promise<void> {
  const start = `${path.basename(file)}.`
  for (const name of await env.files.readdir(path.dirname(file))) {
    const [, pid] = name.startsWith(start) ? (/^(\d+)\.tmp$/.exec(name.slice(start.length)) ?? []) : []
    if (pid === undefined || env.processes.isAlive(Number(pid))) continue
    await env.files.rm(path.join(path.dirname(file), name), { force: true })
  }
}

/** True when a file or folder is there. What keeps us from finding out is thrown. */
export async function fileExists(env: Env, file: string): Promise<boolean> {
  try {
    await env.files.access(file)
    return true
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** Writes a new file, readable by its owner only, whose content survives a power cut; its name may not. */
export async function writeSynced(env: Env, file: string, bytes: string | Uint8Array): Promise<void> {
  const handle = await env.files.open(file, 'w', 0o600)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes the content of a file that others wrote survive a power cut. */
export async function syncFile(env: Env, file: string): Promise<void> {
  const handle = await env.files.open(file, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a rename or a new name in `folder` survive a power cut. */
export async function syncFolder(env: Env, folder: string): Promise<void> {
  const handle = await env.files.open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
