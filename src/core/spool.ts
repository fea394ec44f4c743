import path from 'node:path'
import type { Env } from './env.ts'
import { fail, isDiskFull } from './errors.ts'

/**
 * A private folder for copies that live no longer than this process: taken files, copies of a database file. It lies
 * below the state directory and bears the id of its process, so that what a killed process left is found and removed by
 * the next one, and a process that still runs keeps its own.
 */
export async function makeSpool(env: Env, stateDir: string): Promise<string> {
  const parent = path.join(stateDir, 'spool')
  return noteDiskFull(parent, async () => {
    await env.files.mkdir(parent, { recursive: true, mode: 0o700 })
    await removeAbandoned(env, parent)
    return env.files.mkdtemp(path.join(parent, `${env.processes.pid}-`))
  })
}

async function removeAbandoned(env: Env, parent: string): Promise<void> {
  for (const name of await env.files.readdir(parent)) {
    const owner = /^(\d+)-/.exec(name)?.[1]
    if (owner === undefined || env.processes.isAlive(Number(owner))) continue
    await env.files.rm(path.join(parent, name), { recursive: true, force: true })
  }
}

/** Removes a spool with all that is in it; never throws, because the next process removes what is left. */
export async function removeSpool(env: Env, spool: string): Promise<void> {
  await env.files.rm(spool, { recursive: true, force: true }).catch(() => undefined)
}

/** Runs a write to `file`; a full disk ends as `DISK_FULL`, every other error as it was. */
export async function noteDiskFull<T>(file: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (isDiskFull(error)) throw fail('DISK_FULL', { path: file }, { cause: error })
    throw error
  }
}
