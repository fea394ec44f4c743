import path from 'node:path'
import { fail, messageOf } from '../../../core/errors.ts'
import { durationMs } from '../../../core/implementation.ts'
import { redact, Secret, type SecretRef } from '../../../core/secret.ts'
import type { ZeroDates } from '../../../systems/mysql/column-writer.ts'
import type { AdapterOpening } from '../contract.ts'

/** Where to connect and how long to wait: plain data, so that it can be handed to a reading thread. */
export interface Target {
  readonly source: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  /** `null` is not encrypted. */
  readonly tls: { readonly verify: boolean; readonly ca: string | undefined } | null
  readonly configDir: string
  readonly connectMs: number
  readonly answerMs: number
  readonly rowBytesMax: number
  readonly connections: number
  readonly zeroDates: ZeroDates
  readonly otherEngines: 'refuse' | 'accept'
  readonly schemas: readonly string[]
  /** Our number among the readers of the log; 0 is one that is made from the name and the address of the source. */
  readonly serverId: number
  /** Host, port and database, without user and password. */
  readonly address: string
}

/** Reads the options. Throws `ENV_MISSING`, and `OPTION_INVALID` when the address is none or options contradict. */
export async function targetOf({ source, options, secret, configDir, env }: AdapterOpening): Promise<Target> {
  const url = secret(options['url'] as SecretRef, `source "${source}", option url`).reveal()
  const parsed = parseUrl(url)
  if (parsed === null) {
    throw invalid(source, 'url', 'is not an address of the form mysql://user:password@host:3306/database')
  }
  const connections = options['connections'] as number
  if (connections > 1 && options['readLock'] !== true) {
    throw invalid(source, 'connections', 'over 1 see one moment only with readLock: true')
  }
  const schemas = options['schemas'] as string | undefined
  const tls = options['tls'] as 'off' | 'verify' | 'unverified'
  return {
    source,
    ...parsed,
    tls: tls === 'off' ? null : { verify: tls === 'verify', ca: await readCa() },
    configDir,
    connectMs: durationMs(options['connectTimeout'] as string) as number,
    answerMs: durationMs(options['statementTimeout'] as string) as number,
    rowBytesMax: options['maxValueBytes'] as number,
    connections,
    zeroDates: options['zeroDates'] as ZeroDates,
    otherEngines: options['otherEngines'] as 'refuse' | 'accept',
    serverId: options['serverId'] as number,
    schemas: schemas === undefined ? [parsed.database] : schemas.split(',').map(name => name.trim()),
    address: `${parsed.host}:${parsed.port}/${parsed.database}`,
  }

  async function readCa(): Promise<string | undefined> {
    const file = options['ca'] as string | undefined
    if (file === undefined) return undefined
    try {
      return await env.files.readFile(path.resolve(configDir, file), 'utf8')
    } catch (error) {
      throw invalid(source, 'ca', `cannot be read: ${messageOf(error)}`)
    }
  }
}

function invalid(source: string, option: string, problem: string): Error {
  return fail('OPTION_INVALID', { where: `source "${source}"`, option, problem })
}

type Address = Pick<Target, 'host' | 'port' | 'user' | 'password' | 'database'>

function parseUrl(text: string): Address | null {
  if (!/^(mysql|mariadb):\/\//.test(text)) return null
  try {
    const url = new URL(text)
    const database = decodeURIComponent(url.pathname.slice(1))
    if (database === '' || database.includes('/') || url.search !== '') return null
    return {
      host: (url.hostname || 'localhost').replace(/^\[(.*)\]$/, '$1'),
      port: Number(url.port || '3306'),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database,
    }
  } catch {
    return null // the parser's own message would show the address with its password
  }
}

/** A message of the driver or the server without the password. */
export function withoutSecrets({ password }: Target, message: string): string {
  return redact(message, [new Secret(password), new Secret(encodeURIComponent(password))])
}
