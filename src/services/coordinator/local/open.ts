import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { fail, systemCodeOf } from '../../../core/errors.ts'
import { writeSynced, durableWrite, syncFolder } from '../../../core/files.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { Coordinator, Lease } from '../contract.ts'

interface LeaseFile {
  readonly holder: string
  readonly pid: number
  /** Tells a process from a later one with the same id; `null` where the system cannot say. */
  readonly started: string | null
  readonly sinceMicros: string
  /** Given back; the file stays, so that the next number is larger. */
  readonly released: boolean
}

/**
 * Leases as files of the state directory, for processes of one machine. Each holder links its own file under the next
 * number, `run.lease.7`, which only one of several takers can do; the number is the fencing token.
 */
export function localCoordinator(env: Env, folder: string): Coordinator {
  return {
    acquire: async (name, holder) => {
      await env.files.mkdir(folder, { recursive: true, mode: 0o700 })
      const prefix = `${name}.lease.`
      const numbers = await leaseNumbers(env, folder, prefix)
      const last = numbers.at(-1) ?? 0
      const earlier = last === 0 ? null : await readLease(env, path.join(folder, `${prefix}${last}`))
      if (earlier !== null && !earlier.released && (await isAlive(env, earlier))) throw heldBy(earlier)
      const lease = await take(env, path.join(folder, `${prefix}${last + 1}`), holder, BigInt(last + 1))
      for (const number of numbers) await env.files.rm(path.join(folder, `${prefix}${number}`), { force: true })
      return lease
    },
  }
}

async function leaseNumbers(env: Env, folder: string, prefix: string): Promise<readonly number[]> {
  const names = await env.files.readdir(folder)
  return names
    .filter(name => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map(name => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b)
}

async function take(env: Env, file: string, holder: string, token: bigint): Promise<Lease> {
  const content: LeaseFile = {
    holder,
    pid: env.processes.pid,
    started: await startOf(env, env.processes.pid),
    sinceMicros: String(env.clock.nowMicros()),
    released: false,
  }
  // Written aside and linked into place: the file appears whole, and only for one of two that try at once.
  const own = `${file}.${env.processes.pid}.new`
  try {
    await noteDiskFull(own, () => writeSynced(env, own, JSON.stringify(content)))
    await env.files.link(own, file)
    await syncFolder(env, path.dirname(file))
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error
    const winner = await readLease(env, file)
    throw winner === null ? error : heldBy(winner)
  } finally {
    await env.files.rm(own, { force: true })
  }
  return { token, release: () => durableWrite(env, file, JSON.stringify({ ...content, released: true })) }
}

async function readLease(env: Env, file: string): Promise<LeaseFile | null> {
  try {
    return JSON.parse(await env.files.readFile(file, 'utf8')) as LeaseFile
  } catch (error) {
    // A living holder's file is whole. One that is not was left by a power cut or a hand: nobody holds it.
    if (systemCodeOf(error) === 'ENOENT' || error instanceof SyntaxError) return null
    throw error
  }
}

async function isAlive(env: Env, lease: LeaseFile): Promise<boolean> {
  if (!env.processes.isAlive(lease.pid)) return false
  const started = await startOf(env, lease.pid)
  return lease.started === null || started === null || lease.started === started
}

/** Start time of a process in clock ticks since boot (Linux); `null` elsewhere. */
async function startOf(env: Env, pid: number): Promise<string | null> {
  try {
    const stat = await env.files.readFile(`/proc/${pid}/stat`, 'utf8')
    // The name in parentheses may hold spaces: fields are counted behind it; the start time is the 22nd of all.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null // no such file: not Linux, or the process has just ended
  }
}

function heldBy(lease: LeaseFile): Error {
  const since = new Date(Number(BigInt(lease.sinceMicros) / 1000n)).toISOString()
  return fail('RUN_HELD', { holder: `${lease.holder} (process ${lease.pid})`, since })
}
