import { execFile } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { fail } from '../../core/errors.ts'

const execute = promisify(execFile)

/** The user that a server runs as: this process's own, or a named one that root steps down to. */
export interface Account {
  readonly name: string
  /** Absent when the server runs as this process's own user. */
  readonly ids?: { readonly uid: number; readonly gid: number }
}

/** Users without rights that exist on Linux and macOS, best first. None is ever created. */
const UNPRIVILEGED = ['postgres', '_postgres', 'nobody', 'daemon']

/** Where files go that another user has to reach. `/tmp` too, because TMPDIR may name a private folder. */
export const SHARED_FOLDERS: readonly string[] = [os.tmpdir(), '/tmp', '/var/tmp']

/** How long a program may take that answers at once on a healthy machine. */
const PROBE_MS = 20_000

/** This user, or for root the first unprivileged one that this process may really become. */
export async function unprivilegedAccount(server: string): Promise<Account> {
  if (process.getuid?.() !== 0) return { name: 'this user' }
  const passwd = await fs.readFile('/etc/passwd', 'utf8')
  for (const name of UNPRIVILEGED) {
    const account = accountIn(passwd, name)
    // In a container a user id may exist on paper only; starting a program tells.
    if (account !== undefined && (await canRun(account, '/bin/sh', ['-c', ':']))) return account
  }
  throw fail('LOCAL_SERVER_ACCOUNT', { server, tried: UNPRIVILEGED })
}

function accountIn(passwd: string, name: string): Account | undefined {
  const fields = passwd
    .split('\n')
    .find(line => line.startsWith(`${name}:`))
    ?.split(':')
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])]
  if (!Number.isInteger(uid) || !Number.isInteger(gid) || uid === 0) return undefined
  return { name, ids: { uid, gid } }
}

/**
 * What a child process of `account` gets. It starts in `/`, because it may not be allowed to enter our folder, and
 * with few variables: a PGDATA or PGPORT of the user would change the server.
 */
export function spawnOptions(account: Account): {
  cwd: string
  env: Record<string, string>
  uid?: number
  gid?: number
} {
  const env: Record<string, string> = { LC_ALL: 'C', TZ: 'UTC' }
  for (const name of ['PATH', 'SystemRoot']) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return { cwd: '/', env, ...account.ids }
}

/** Runs a program as `account` to its end; throws when it fails or takes longer than `ms`. */
export async function runAs(
  account: Account,
  program: string,
  args: readonly string[],
  limit: { readonly ms: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  await execute(program, args, { ...spawnOptions(account), timeout: limit.ms, signal: limit.signal })
}

/** True when `account` can start this program and it ends well. */
export async function canRun(account: Account, program: string, args: readonly string[]): Promise<boolean> {
  try {
    await runAs(account, program, args, { ms: PROBE_MS })
    return true
  } catch {
    return false // not found, not allowed, a library missing: all mean no
  }
}

/** The first of `folders` that `account` can enter, the folders above it included. Throws `LOCAL_SERVER_FOLDER`. */
export async function firstReachable(account: Account, folders: readonly string[]): Promise<string> {
  for (const folder of folders) {
    if (account.ids === undefined || (await canRun(account, '/bin/sh', ['-c', 'cd "$0"', folder]))) return folder
  }
  throw fail('LOCAL_SERVER_FOLDER', { folder: folders.join(', '), why: `${account.name} cannot enter it` })
}

/** Makes a new folder that belongs to `account` alone, in the first of `parents` that it can enter. */
export async function makePrivateFolder(account: Account, parents: readonly string[]): Promise<string> {
  const folder = await fs.mkdtemp(path.join(await firstReachable(account, parents), 'naru-server-'))
  if (account.ids !== undefined) await fs.chown(folder, account.ids.uid, account.ids.gid)
  return folder
}
