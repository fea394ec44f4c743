import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Env, HttpConnections } from '../../../core/env.ts'
import { fail, messageOf, systemCodeOf } from '../../../core/errors.ts'
import type { Addresses, Target } from './target.ts'

/** What came back for one request, whole. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** One request as it goes out. */
export interface Asked {
  readonly env: Env
  readonly target: Target
  readonly connections: HttpConnections
  /** Where the host is; none when the url says it itself. */
  readonly addresses: readonly Addresses[]
  readonly signal: AbortSignal
}

const unpack = promisify(gunzip)

/**
 * Sends one GET and takes the whole answer. Connecting, the head and the body have a limit in time each, and the body one
 * in bytes, told or not. Throws `DEADLINE`, `HTTP_ANSWER` and what the socket throws.
 */
export async function exchange(asked: Asked, url: URL): Promise<Answer> {
  const { target, signal } = asked
  const request = asked.connections.request(requestOptions(asked, url))
  const cut: Cut = { reason: null }
  const onAbort = (): void => void request.destroy()
  signal.addEventListener('abort', onAbort, { once: true })
  let cancel = (): void => {}
  try {
    const response = await headOf(asked, request, url, cut)
    cancel = limit(asked, request, { what: `the body of ${nameOf(url)}`, ms: target.bodyMs, cut })
    const body = await bodyOf(response, asked, url)
    return { status: response.statusCode ?? 0, headers: response.headers, body }
  } catch (error) {
    request.destroy()
    throw signal.aborted ? signal.reason : (cut.reason ?? error)
  } finally {
    cancel()
    signal.removeEventListener('abort', onAbort)
  }
}

/** Why we cut a request ourselves: the socket's own words for it say nothing. */
interface Cut {
  reason: Error | null
}

/** What people call a request: the query may hold what is nobody's business. */
export function nameOf(url: URL): string {
  return `GET ${url.pathname}`
}

/** The head of the answer. Errors that come later are the body's. */
function headOf(asked: Asked, request: ClientRequest, url: URL, cut: Cut): Promise<IncomingMessage> {
  const { connectMs, answerMs } = asked.target
  return new Promise((resolve, reject) => {
    let cancel = limit(asked, request, { what: `the connection to ${url.host}`, ms: connectMs, cut })
    const connected = (): void => {
      cancel()
      cancel = limit(asked, request, { what: `the answer to ${nameOf(url)}`, ms: answerMs, cut })
    }
    request.once('socket', socket => {
      if (!socket.connecting) connected()
      else socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', connected)
    })
    request.once('response', response => {
      cancel()
      resolve(response)
    })
    request.on('error', error => {
      cancel()
      reject(error)
    })
    request.end()
  })
}

function requestOptions({ target, addresses }: Asked, url: URL): Parameters<HttpConnections['request']>[0] {
  const host = url.hostname.replaceAll(/[[\]]/g, '')
  return {
    host,
    port: url.port === '' ? undefined : Number(url.port),
    path: url.pathname + url.search,
    headers: { accept: 'application/json', 'accept-encoding': 'gzip', 'user-agent': 'naru', ...target.authorization() },
    ...(addresses.length === 0 ? {} : { lookup: pinned(addresses) }),
  }
}

/** Answers every look-up with the addresses that were found and checked at the start. */
function pinned(addresses: readonly Addresses[]): NonNullable<Parameters<HttpConnections['request']>[0]['lookup']> {
  return (_host, options, done) => {
    const [first] = addresses
    if (options.all === true) done(null, [...addresses])
    else done(null, first?.address ?? '', first?.family ?? 4)
  }
}

/** Cuts the request when the time has passed; the returned function takes the limit away. */
function limit(
  { env }: Asked,
  request: ClientRequest,
  { what, ms, cut }: { readonly what: string; readonly ms: number; readonly cut: Cut },
): () => void {
  return env.clock.after(ms, () => {
    cut.reason = fail('DEADLINE', { what, ms })
    request.destroy(cut.reason)
  })
}

async function bodyOf(response: IncomingMessage, { target }: Asked, url: URL): Promise<Buffer> {
  const { pageBytesMax } = target
  const told = Number(response.headers['content-length'] ?? 0)
  if (told > pageBytesMax) throw tooLarge(target, url, `${told} bytes are announced`)
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > pageBytesMax) throw tooLarge(target, url, 'it has more')
    pieces.push(piece)
  }
  if (!response.complete) throw new Error('the connection ended before the answer did')
  const body = Buffer.concat(pieces)
  const encoding = response.headers['content-encoding']?.trim().toLowerCase() ?? 'identity'
  if (encoding === 'identity' || encoding === '') return body
  if (encoding === 'gzip' || encoding === 'x-gzip') return unpacked(body, target, url)
  const problem = `it is packed with ${JSON.stringify(encoding.slice(0, 60))}, and gzip was asked for`
  throw fail('HTTP_ANSWER', { source: target.source, request: nameOf(url), problem })
}

async function unpacked(body: Buffer, target: Target, url: URL): Promise<Buffer> {
  try {
    return await unpack(body, { maxOutputLength: target.pageBytesMax })
  } catch (error) {
    if (systemCodeOf(error) === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(target, url, 'it has more unpacked')
    const problem = `it cannot be unpacked: ${messageOf(error)}`
    throw fail('HTTP_ANSWER', { source: target.source, request: nameOf(url), problem }, { cause: error })
  }
}

function tooLarge({ source, pageBytesMax }: Target, url: URL, what: string): Error {
  const problem = `the limit is ${pageBytesMax} bytes, and ${what}`
  return fail('HTTP_ANSWER', { source, request: nameOf(url), problem })
}
