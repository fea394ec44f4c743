import { durationMs } from '../../../core/implementation.ts'
import { redact, Secret, type SecretRef } from '../../../core/secret.ts'
import type { AdapterOpening } from '../contract.ts'

/** Where to connect and how long to wait. */
export interface Target {
  readonly source: string
  /** The whole connection string: it may hold a password. */
  readonly connection: string
  readonly configDir: string
  readonly connectMs: number
  readonly answerMs: number
  readonly rowBytesMax: number
  readonly schemas: readonly string[] | null
  /** The connection string without what is secret, for messages. */
  readonly address: string
  readonly user: string
}

/** Reads the options. Throws `ENV_MISSING`. */
export function targetOf({ source, options, secret, configDir }: AdapterOpening): Target {
  const given = secret(options['dsn'] as SecretRef, `source "${source}", option dsn`)
    .reveal()
    .trim()
  const connection = given.includes('=') ? given : `DSN=${given}`
  const schemas = options['schemas'] as string | undefined
  const pairs = keywordsOf(connection)
  return {
    source,
    connection,
    configDir,
    connectMs: durationMs(options['connectTimeout'] as string) as number,
    answerMs: durationMs(options['statementTimeout'] as string) as number,
    rowBytesMax: options['maxValueBytes'] as number,
    schemas: schemas === undefined ? null : schemas.split(',').map(name => name.trim()),
    address: pairs
      .filter(([name]) => shown.includes(name.toLowerCase()))
      .map(pair => pair.join('='))
      .join(';'),
    user: pairs.find(([name]) => users.includes(name.toLowerCase()))?.[1] ?? '',
  }
}

const users: readonly string[] = ['uid', 'user', 'username']
/** Only what is known to be harmless is shown: each driver has words of its own for secrets. */
const shown: readonly string[] = ['dsn', 'driver', 'server', 'servername', 'host', 'port', 'database', 'db', 'socket']

/** `name=value` pairs; a value in braces may hold a semicolon, and `}}` for a brace. */
function keywordsOf(connection: string): readonly (readonly [string, string])[] {
  const pairs = connection.matchAll(/\s*([^=;]+?)\s*=\s*(?:\{((?:[^}]|\}\})*)\}|([^;]*))\s*(?:;|$)/g)
  return [...pairs].map(([, name = '', braced, plain]) => [name, braced?.replaceAll('}}', '}') ?? plain ?? ''] as const)
}

/** A message of the driver without anything that the connection string does not show. */
export function withoutSecrets({ connection }: Target, message: string): string {
  const hidden = keywordsOf(connection)
    .filter(([name]) => ![...shown, ...users].includes(name.toLowerCase()))
    // A short setting such as "1" is no secret, and blanking it would blank every message.
    .filter(([name, value]) => /pwd|pass|secret|token|key/i.test(name) || value.length >= 8)
  return redact(
    message,
    [connection, ...hidden.map(([, value]) => value)].map(text => new Secret(text)),
  )
}
