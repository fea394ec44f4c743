import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { durationMs, readOptions } from '../../../core/implementation.ts'
import { redact, Secret } from '../../../core/secret.ts'
import type { EngineSite } from '../contract.ts'
import { postgres } from './index.ts'

/** Where to connect, how long to wait, and what errors may show of it. */
export interface Site {
  readonly url: string
  readonly configDir: string
  readonly connectMs: number
  readonly statementMs: number
  /** How long a run waits for readers of a table that it drops or alters. */
  readonly lockMs: number
  readonly memory: string
  /** Host, port and database, without user and password. */
  readonly address: string
  readonly env: Env
}

const WHERE = 'engine "postgres"'

/** Reads the options. Throws `ENV_MISSING`, and `OPTION_INVALID` when the address is none. */
export function siteOf({ options, secret, configDir, env }: EngineSite): Site {
  const read = readOptions(postgres.options, options, WHERE)
  if (!/^\d+ ?(kB|MB|GB)$/.test(read.memory ?? '')) {
    throw fail('OPTION_INVALID', { where: WHERE, option: 'memory', problem: "must be a size such as '64MB'" })
  }
  const url = secret(read.url, `${WHERE}, option url`).reveal()
  return {
    url,
    configDir,
    connectMs: durationMs(read.connectTimeout as string) as number,
    statementMs: durationMs(read.statementTimeout as string) as number,
    lockMs: durationMs(read.lockTimeout as string) as number,
    memory: read.memory as string,
    address: addressOf(url),
    env,
  }
}

function addressOf(text: string): string {
  try {
    const url = new URL(text)
    if (!/^postgres(ql)?:$/.test(url.protocol)) throw new TypeError('another protocol')
    const host = url.searchParams.get('host') ?? (url.hostname || 'localhost')
    return `${host}:${url.port || '5432'}${url.pathname}`
  } catch {
    // The parser's own message would show the address with its password.
    const problem = 'is not an address of the form postgres://user:password@host:5432/database'
    throw fail('OPTION_INVALID', { where: WHERE, option: 'url', problem })
  }
}

/** A message of the driver or the server without the secrets of the address. */
export function withoutSecrets({ url }: Site, message: string): string {
  const { password, searchParams } = new URL(url)
  const secrets = [url, password, decodeURIComponent(password), searchParams.get('password') ?? '']
  return redact(
    message,
    secrets.filter(text => text !== '').map(text => new Secret(text)),
  )
}
