import path from 'node:path'
import type { Env } from '../core/env.ts'
import { fail, type NaruError } from '../core/errors.ts'
import { databasePlace, type OpenProject } from './project.ts'

/** Bytes that stay free on our own disks unless the config says otherwise: 256 MiB. */
const keepFreeDefault = 256 * 1024 * 1024
/** Below this share of them nothing is published either: the rest is for what a crash recovery needs. */
const FULL_SHARE = 0.25
/** How old an answer may be. */
const freshMs = 1_000

/** `low`: sources are not read. `full`: nothing is published either. */
export type DiskLevel = 'well' | 'low' | 'full'

/** The disks that this project writes to: of its state folder, and of the engine where that is a file. */
export interface DiskWatch {
  /** How full the fullest is, with the error that says so. Asks the system once a second at most; a system that does not say is taken for well. */
  look(): Promise<{ readonly level: DiskLevel; readonly error: NaruError | null }>
}

/** A watch of the disks of a project. */
export function diskWatch(open: Pick<OpenProject, 'project' | 'configDir' | 'stateDir' | 'env'>): DiskWatch {
  const { env, project, stateDir } = open
  const keepFree = project.keepFreeBytes ?? keepFreeDefault
  const folders = [stateDir, ...(project.engine.kind === 'duckdb' ? [path.dirname(databasePlace(open))] : [])]
  let last: ReturnType<DiskWatch['look']> | null = null
  let askedMs = 0
  const ask = async (): ReturnType<DiskWatch['look']> => {
    const frees = await Promise.all(folders.map(async folder => ({ folder, free: await freeBytes(env, folder) })))
    const { folder, free } = frees.reduce((least, it) => (it.free < least.free ? it : least))
    if (free >= keepFree) return { level: 'well', error: null }
    const error = fail('DISK_LOW', { path: folder, free: Math.round(free), keepFree })
    return { level: free < keepFree * FULL_SHARE ? 'full' : 'low', error }
  }
  return {
    look: () => {
      const nowMs = env.clock.monotonicMs()
      if (last === null || nowMs - askedMs >= freshMs) {
        askedMs = nowMs
        last = keepFree === 0 ? Promise.resolve({ level: 'well', error: null }) : ask()
      }
      return last
    },
  }
}

/** A folder that is not there yet is made by whoever writes first. */
async function freeBytes({ files }: Env, folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await files.statfs(folder)
    return bavail * bsize
  } catch {
    return Infinity
  }
}
