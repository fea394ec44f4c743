import { createHash, createHmac } from 'node:crypto'
import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { systemCodeOf } from '../../../core/errors.ts'

/** Which host keys are believed for one address. */
export interface TrustedKeys {
  /** Types of keys that are known, as the protocol names them; the server is asked for one of these. Empty: any. */
  readonly types: readonly string[]
  /** True for the key (as sent) of the server that is meant. */
  trusts(key: Uint8Array): boolean
  /** Says what was expected, for the error: `and the source says SHA256:…`. */
  readonly expected: string
}

/** `SHA256:…` of a host key, as `ssh-keygen -l` writes it. */
export function fingerprintOf(key: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** The keys that the source names, or those of the user's `~/.ssh/known_hosts`. */
export async function trustedKeys(
  env: Env,
  given: { readonly hostKey: string | undefined; readonly host: string; readonly port: number },
): Promise<TrustedKeys> {
  if (given.hostKey !== undefined) {
    const named = given.hostKey.split(',').map(it => it.trim().replace(/=+$/, ''))
    const expected = `and the source expects ${named.join(' or ')}`
    return { types: [], expected, trusts: key => named.includes(fingerprintOf(key)) }
  }
  const keys = knownKeys(await readKnownHosts(env), given.host, given.port)
  const expected =
    keys.length === 0
      ? 'and neither the source nor ~/.ssh/known_hosts names one'
      : 'which is none of its keys in ~/.ssh/known_hosts'
  return {
    types: [...new Set(keys.map(it => it.type))],
    expected,
    trusts: key => keys.some(it => it.key === Buffer.from(key).toString('base64')),
  }
}

async function readKnownHosts(env: Env): Promise<string> {
  const home = env.variables['HOME'] ?? env.variables['USERPROFILE']
  if (home === undefined) return ''
  try {
    return await env.files.readFile(path.join(home, '.ssh', 'known_hosts'), 'utf8')
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return ''
    throw error
  }
}

/** Keys of an address in a `known_hosts` file; a key that is marked `@revoked` counts for none. */
export function knownKeys(
  text: string,
  host: string,
  port: number,
): readonly { readonly type: string; readonly key: string }[] {
  const address = port === 22 ? host : `[${host}]:${port}`
  const keys: { type: string; key: string }[] = []
  const revoked = new Set<string>()
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/)
    const marker = words[0]?.startsWith('@') === true ? words.shift() : undefined
    const [hosts, type, key] = words
    if (hosts === undefined || hosts.startsWith('#') || type === undefined || key === undefined) continue
    if (marker === '@revoked') revoked.add(key)
    else if (marker === undefined && namesAddress(hosts, address)) keys.push({ type, key })
  }
  return keys.filter(it => !revoked.has(it.key))
}

/** Plain names with commas, or one hashed name (`|1|salt|hash`); patterns with `*` are not followed. */
function namesAddress(hosts: string, address: string): boolean {
  const hashed = /^\|1\|([^|]+)\|([^|]+)$/.exec(hosts)
  if (hashed === null) return hosts.split(',').includes(address)
  const hash = createHmac('sha1', Buffer.from(hashed[1] as string, 'base64'))
    .update(address)
    .digest('base64')
  return hash === hashed[2]
}
