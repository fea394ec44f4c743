import { durationMs } from '../../../core/implementation.ts'
import { redact, Secret, type SecretRef } from '../../../core/secret.ts'
import { fail } from '../../../core/errors.ts'
import type { AdapterOpening } from '../contract.ts'
import { takeTls, type Tls } from './tls.ts'

/** Where to connect and how long to wait: plain data, so that it can be handed to a reading thread. */
export interface Target {
  readonly source: string
  /** What the driver gets: without the parameters of encryption. */
  readonly url: string
  readonly tls: Tls
  /** Name or number of the machine, as its certificate must have it. */
  readonly host: string
  readonly configDir: string
  readonly connectMs: number
  readonly answerMs: number
  readonly rowBytesMax: number
  readonly schemas: readonly string[] | null
  /** Host, port and database, without user and password. */
  readonly address: string
  readonly user: string
}

/** Reads the options. Throws `ENV_MISSING`, and `OPTION_INVALID` when the address is none. */
export function targetOf({ source, options, secret, configDir }: AdapterOpening): Target {
  const url = secret(options['url'] as SecretRef, `source "${source}", option url`).reveal()
  const parsed = parseUrl(url)
  if (parsed === null || typeof parsed === 'string') {
    const problem = parsed ?? 'is not an address of the form postgres://user:password@host:5432/database'
    throw fail('OPTION_INVALID', { where: `source "${source}"`, option: 'url', problem })
  }
  const schemas = options['schemas'] as string | undefined
  return {
    source,
    configDir,
    connectMs: durationMs(options['connectTimeout'] as string) as number,
    answerMs: durationMs(options['statementTimeout'] as string) as number,
    rowBytesMax: options['maxValueBytes'] as number,
    schemas: schemas === undefined ? null : schemas.split(',').map(name => name.trim()),
    ...parsed,
  }
}

type Address = Pick<Target, 'url' | 'tls' | 'host' | 'address' | 'user'>

/** `null` for what is no address; a text says what is wrong with one. */
function parseUrl(text: string): Address | string | null {
  if (!/^postgres(ql)?:\/\//.test(text)) return null
  try {
    const url = new URL(text)
    const host = url.searchParams.get('host') ?? (url.hostname || 'localhost')
    const user = decodeURIComponent(url.username) || (url.searchParams.get('user') ?? '')
    const tls = takeTls(url)
    if (typeof tls === 'string') return tls
    return { url: url.href, tls, host, address: `${host}:${url.port || '5432'}${url.pathname}`, user }
  } catch {
    return null // the parser's own message would show the address with its password
  }
}

/** A message of the driver or the server without the secrets of the address. */
export function withoutSecrets(target: Target, message: string): string {
  const { password, searchParams } = new URL(target.url)
  const secrets = [target.url, password, decodeURIComponent(password), searchParams.get('password') ?? '']
  return redact(
    message,
    secrets.map(text => new Secret(text)),
  )
}
