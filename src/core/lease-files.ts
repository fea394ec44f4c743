import path from 'node:path'
import type { Env } from './env.ts'
import { fail, systemCodeOf } from './errors.ts'
import { writeSynced, durableWrite, syncFolder } from './files.ts'
import { noteDiskFull } from './spool.ts'

/** Held by one process at a time. */
export interface Lease {
  /** Larger than the token of every earlier holder. */
  readonly token: bigint
  /** Gives the lease back. Called once, also after a failure; a crash leaves it to the next taker's check. */
  release(): Promise<void>
  /** Gives it back and leaves nothing: tokens begin anew. For what a token of this lease guards no more. */
  forget(): Promise<void>
}

interface LeaseFile {
  readonly holder: string
  readonly pid: number
  /** Tells a process from a later one with the same id; `null` where the system cannot say. */
  readonly started: string | null
  readonly sinceMicros: string
  /** Given back; the file stays, so that the next number is larger. */
  readonly released: boolean
}

/** Times that a lease is tried for again because others tried at the same moment. */
const triesMax = 10

/**
 * Takes a lease that is a file of a folder, for processes of one machine. Each holder links its own file under the next
 * number, `run.lease.7`, which only one of several takers can do; the number is the fencing token.
 *
 * A taker may have counted before another took, ended and cleared away. So it counts again once its own file is there: of
 * two holders the one that linked later sees the other, and goes back.
 */
export async function acquireLease(env: Env, folder: string, name: string, holder: string): Promise<Lease> {
  await env.files.mkdir(folder, { recursive: true, mode: 0o700 })
  const place = { env, folder, prefix: `${name}.lease.` }
  for (let attempt = 1; attempt <= triesMax; attempt++) {
    const lease = await tryToTake(place, holder)
    if (lease !== null) return lease
  }
  throw fail('RUN_HELD', { holder: 'one of several commands that began at once', since: 'this moment' })
}

interface LeasePlace {
  readonly env: Env
  readonly folder: string
  readonly prefix: string
}

/** Throws `RUN_HELD` when a living process has it; `null` when others took one meanwhile, which may be gone already. */
async function tryToTake(place: LeasePlace, holder: string): Promise<Lease | null> {
  const { env } = place
  const numbers = await leaseNumbers(place)
  await refuseHeld(place, numbers)
  const own = (numbers.at(-1) ?? 0) + 1
  const lease = await take(env, fileOf(place, own), holder, BigInt(own))
  if (lease === null) return null
  const now = await leaseNumbers(place)
  const others = now.filter(number => number !== own)
  if (now.at(-1) === own && (await livingOf(place, others)) === null) {
    for (const number of others) await env.files.rm(fileOf(place, number), { force: true })
    return lease
  }
  await env.files.rm(fileOf(place, own), { force: true })
  return null
}

function fileOf({ folder, prefix }: LeasePlace, number: number): string {
  return path.join(folder, `${prefix}${number}`)
}

async function refuseHeld(place: LeasePlace, numbers: readonly number[]): Promise<void> {
  const holder = await livingOf(place, numbers)
  if (holder === null) return
  const since = new Date(Number(BigInt(holder.sinceMicros) / 1000n)).toISOString()
  throw fail('RUN_HELD', { holder: `${holder.holder} (process ${holder.pid})`, since })
}

/** The first of the leases that a living process holds. */
async function livingOf(place: LeasePlace, numbers: readonly number[]): Promise<LeaseFile | null> {
  for (const number of numbers) {
    const lease = await readLease(place.env, fileOf(place, number))
    if (lease !== null && !lease.released && (await isAlive(place.env, lease))) return lease
  }
  return null
}

async function leaseNumbers({ env, folder, prefix }: LeasePlace): Promise<readonly number[]> {
  const names = await env.files.readdir(folder)
  return names
    .filter(name => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map(name => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b)
}

/** `null` when another has that number. */
async function take(env: Env, file: string, holder: string, token: bigint): Promise<Lease | null> {
  const content: LeaseFile = {
    holder,
    pid: env.processes.pid,
    started: await startOf(env, env.processes.pid),
    sinceMicros: String(env.clock.nowMicros()),
    released: false,
  }
  // Written aside and linked into place: the file appears whole, and only for one of two that try at once.
  const own = `${file}.${env.random.uuid()}.new`
  try {
    await noteDiskFull(own, () => writeSynced(env, own, JSON.stringify(content)))
    await env.files.link(own, file)
    await syncFolder(env, path.dirname(file))
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return null
    throw error
  } finally {
    await env.files.rm(own, { force: true })
  }
  return {
    token,
    release: () => durableWrite(env, file, JSON.stringify({ ...content, released: true })),
    forget: () => env.files.rm(file, { force: true }),
  }
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
