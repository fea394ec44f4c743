import type { Env } from '../../../core/env.ts'
import { fail, messageOf } from '../../../core/errors.ts'
import { durationMs, readOptions } from '../../../core/implementation.ts'
import type { Secret } from '../../../core/secret.ts'
import type { AdapterOpening } from '../contract.ts'
import { isAddress, isLinkLocal, isPrivateAddress } from './address.ts'
import { http, type EndpointDef } from './index.ts'

/** Which API is read, how it is asked, and how long it may take. Secrets are revealed when a request is sent. */
export interface Target {
  readonly source: string
  readonly base: URL
  readonly endpoints: Readonly<Record<string, EndpointDef>>
  readonly user: string
  readonly secrets: readonly Secret[]
  /** The header that lets us in. */
  authorization(): Readonly<Record<string, string>>
  readonly privateNetwork: boolean
  readonly requestsPerSecond: number
  readonly connectMs: number
  readonly answerMs: number
  readonly bodyMs: number
  readonly retries: number
  readonly retryMsMax: number
  readonly pageBytesMax: number
  readonly pagesMax: number
  readonly recordsMax: number
  readonly recordBytesMax: number
}

/** Reads the options of a source. Throws `OPTION_INVALID`, `ENV_MISSING`. */
export function targetOf(given: AdapterOpening): Target {
  const { source } = given
  const where = `source "${source}"`
  const options = readOptions(http.options, given.options, where)
  const reveal = (name: 'token' | 'password' | 'key'): Secret | null => {
    const ref = options[name]
    return ref === undefined ? null : given.secret(ref, `${where}, option "${name}"`)
  }
  const [token, password, key] = [reveal('token'), reveal('password'), reveal('key')]
  const ms = (duration: string): number => durationMs(duration) as number
  return {
    source,
    base: baseOf(options.url, where),
    endpoints: options.endpoints as Readonly<Record<string, EndpointDef>>,
    user: options.user ?? (token === null && key === null ? '(none)' : token === null ? '(key)' : '(token)'),
    secrets: [token, password, key].filter(it => it !== null),
    authorization: () => {
      if (token !== null) return { authorization: `Bearer ${token.reveal()}` }
      if (key !== null) return { [options.header ?? 'authorization']: key.reveal() }
      if (password === null) return {}
      const pair = Buffer.from(`${options.user ?? ''}:${password.reveal()}`).toString('base64')
      return { authorization: `Basic ${pair}` }
    },
    privateNetwork: options.privateNetwork,
    requestsPerSecond: options.requestsPerSecond,
    connectMs: ms(options.connectTimeout),
    answerMs: ms(options.answerTimeout),
    bodyMs: ms(options.bodyTimeout),
    retries: options.retries,
    retryMsMax: ms(options.retryWaitMax),
    pageBytesMax: options.maxPageBytes,
    pagesMax: options.maxPages,
    recordsMax: options.maxRecords,
    recordBytesMax: options.maxValueBytes,
  }
}

function baseOf(url: string, where: string): URL {
  const wrong = (problem: string): Error => fail('OPTION_INVALID', { where, option: 'url', problem })
  if (!URL.canParse(url)) throw wrong('must be an address such as https://api.example.com/v2')
  const base = new URL(url)
  if (base.protocol !== 'https:' && base.protocol !== 'http:') throw wrong('must begin with https:// or http://')
  if (base.username !== '' || base.password !== '') throw wrong('must hold no password: use user and password')
  if (base.search !== '' || base.hash !== '') throw wrong('must end with its path: a query belongs to an endpoint')
  return base
}

/** The address of an endpoint: the path of the base goes before its own. */
export function addressOf(target: Target, { path, query }: EndpointDef): URL {
  const url = new URL(target.base.href.replace(/\/$/, '') + (path.startsWith('/') ? path : `/${path}`))
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  return url
}

/** Addresses of the API's host, looked up once: a name that changes its mind between two requests leads nowhere new. */
export interface Addresses {
  readonly address: string
  readonly family: number
}

/**
 * Looks up where the API is. An address of a private network is refused, unless the config says it itself: as the address
 * in the url, or by `privateNetwork`. Throws `HTTP_ADDRESS`, `SOURCE_UNREACHABLE`.
 */
export async function lookUp(env: Env, target: Target): Promise<readonly Addresses[]> {
  const { source, base } = target
  const host = base.hostname
  if (isAddress(host) && host !== 'localhost') return []
  let found: readonly Addresses[]
  try {
    found = await env.network.lookup(host)
  } catch (error) {
    throw fail('SOURCE_UNREACHABLE', { source, address: base.host, problem: messageOf(error) }, { cause: error })
  }
  const isAllowed = ({ address }: Addresses): boolean => {
    if (!isPrivateAddress(address)) return true
    return host === 'localhost' || (target.privateNetwork && !isLinkLocal(address))
  }
  const refused = found.find(it => !isAllowed(it))
  if (refused !== undefined) throw fail('HTTP_ADDRESS', { source, host, address: refused.address })
  return found
}
