import path from 'node:path'
import type { ClientConfig } from 'pg'
import type { Env } from '../../../core/env.ts'
import { fail, messageOf } from '../../../core/errors.ts'

/** How a connection is encrypted, in the words of libpq: plain data, so that it can be handed to a reading thread. */
export interface Tls {
  readonly mode: 'disable' | 'require' | 'verify-ca' | 'verify-full'
  /** File of the certificates that are trusted; `null` are those that Node trusts. */
  readonly rootFile: string | null
  /** Files of our own certificate and its key, for servers that ask for one. */
  readonly certFile: string | null
  readonly keyFile: string | null
}

/** Parameters of an address that are about encryption. The driver must not see them: it reads some in its own way. */
const PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'ssl', 'sslnegotiation', 'uselibpqcompat'] as const

/** Takes what is about encryption out of an address. A text says what is wrong with it. */
export function takeTls(url: URL): Tls | string {
  const value = (name: (typeof PARAMETERS)[number]): string | null => url.searchParams.get(name)
  const mode = value('sslmode') ?? (value('ssl') === 'true' ? 'verify-full' : 'disable')
  const root = value('sslrootcert')
  const tls = {
    // As libpq has it: whoever names the certificates that are trusted wants them to be looked at.
    mode: mode === 'require' && root !== null ? 'verify-ca' : mode,
    rootFile: root === 'system' ? null : root,
    certFile: value('sslcert'),
    keyFile: value('sslkey'),
  }
  for (const name of PARAMETERS) url.searchParams.delete(name)
  if (mode === 'allow' || mode === 'prefer') {
    return `has sslmode=${mode}, which falls back to no encryption without a word: use disable, require or verify-full`
  }
  if (!['disable', 'require', 'verify-ca', 'verify-full'].includes(mode)) {
    return `has an unknown sslmode "${mode}": use disable, require, verify-ca or verify-full`
  }
  return tls as Tls
}

/** The driver's settings. Paths are taken from the folder of the config. Throws `OPTION_INVALID` for a file that cannot be read. */
export async function tlsSettings(
  env: Env,
  tls: Tls,
  { source, configDir, host }: { readonly source: string; readonly configDir: string; readonly host: string },
): Promise<NonNullable<ClientConfig['ssl']>> {
  if (tls.mode === 'disable') return false
  const read = async (file: string | null): Promise<string | undefined> => {
    if (file === null) return undefined
    try {
      return await env.files.readFile(path.resolve(configDir, file), 'utf8')
    } catch (error) {
      const problem = `names a certificate or key that cannot be read: ${messageOf(error)}`
      throw fail('OPTION_INVALID', { where: `source "${source}"`, option: 'url', problem })
    }
  }
  const [ca, cert, key] = await Promise.all([tls.rootFile, tls.certFile, tls.keyFile].map(read))
  return {
    // The name that the certificate must have; an older driver would compare an address with `localhost`.
    host,
    rejectUnauthorized: tls.mode !== 'require',
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(tls.mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  }
}
