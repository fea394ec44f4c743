import type { IncomingHttpHeaders } from 'node:http'
import type { Env, HttpConnections } from '../../../core/env.ts'
import { fail, isNaruError, isTlsFault, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { redact } from '../../../core/secret.ts'
import { exchange, nameOf, type Answer } from './exchange.ts'
import { lookUp, type Addresses, type Target } from './target.ts'

/** The first wait before a request is sent again; it doubles with each. */
const retryMs = 500
/** Redirects of one request that are followed. */
const redirectsMax = 5
/** Characters of an answer that are shown in an error. */
const shownChars = 200

/** Asks one API: with its secret, at its pace, again when that may help. One for each adapter. */
export class Client {
  readonly #env: Env
  readonly #target: Target
  readonly #connections: HttpConnections
  #addresses: Promise<readonly Addresses[]> | null = null
  /** When the next request may go out, by the clock that never goes back. */
  #nextMs = 0

  constructor(env: Env, target: Target) {
    this.#env = env
    this.#target = target
    this.#connections = env.network.http(target.base.protocol as 'http:' | 'https:')
  }

  /** The answer with status 2xx. Throws `SOURCE_*` and `HTTP_*`; `CANCELLED` when the signal aborts. */
  async get(url: URL, signal: AbortSignal): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      const tried = await this.#try(url, signal)
      if ('answer' in tried) return tried.answer
      if (attempt >= this.#target.retries) throw tried.error
      await this.#wait(this.#pauseOf(tried, attempt, url), signal)
    }
  }

  close(): void {
    this.#connections.close()
  }

  /** Sends it once and follows redirects. What may pass by itself is returned, what may not is thrown. */
  async #try(url: URL, signal: AbortSignal): Promise<Tried> {
    let to = url
    for (let hop = 0; hop <= redirectsMax; hop++) {
      await this.#pace(signal)
      let answer: Answer
      try {
        answer = await this.#send(to, signal)
      } catch (error) {
        return { error: this.#transient(error, to, signal), retryAfterMs: null }
      }
      const { status, headers } = answer
      if (status >= 200 && status < 300) return { answer }
      if (status >= 300 && status < 400) {
        to = this.#redirected(to, headers)
        continue
      }
      const error = this.#refusal(to, answer)
      if (status !== 408 && status !== 429 && status < 500) throw error
      return { error, retryAfterMs: retryAfterMs(headers, this.#env.clock.nowMicros()) }
    }
    throw this.#answerFault(url, `it redirects more than ${redirectsMax} times`)
  }

  async #send(url: URL, signal: AbortSignal): Promise<Answer> {
    if (signal.aborted) throw signal.reason
    this.#addresses ??= lookUp(this.#env, this.#target)
    let addresses: readonly Addresses[]
    try {
      addresses = await this.#addresses
    } catch (error) {
      this.#addresses = null // a name server that was down may answer the next time
      throw error
    }
    const [env, target, connections] = [this.#env, this.#target, this.#connections]
    return exchange({ env, target, connections, addresses, signal }, url)
  }

  /** The fault of a request that may be sent again; any other is thrown. */
  #transient(error: unknown, url: URL, signal: AbortSignal): Error {
    const { source, base } = this.#target
    if (signal.aborted) throw fail('CANCELLED', { what: `reading source "${source}"` }, { cause: signal.reason })
    if (isNaruError(error) && error.code !== 'DEADLINE' && error.code !== 'SOURCE_UNREACHABLE') throw error
    if (isNaruError(error, 'SOURCE_UNREACHABLE')) return error
    const code = systemCodeOf(error) ?? ''
    if (code.startsWith('HPE_')) throw this.#answerFault(url, `it is no HTTP: ${messageOf(error)}`, error)
    const problem = redact(messageOf(error) || code, this.#target.secrets)
    // A certificate that does not fit does not mend itself in a minute.
    if (isTlsFault(error)) throw fail('SOURCE_TLS', { source, address: base.host, problem }, { cause: error })
    return fail('SOURCE_UNREACHABLE', { source, address: base.host, problem }, { cause: error })
  }

  /** Where a redirect leads: only the same scheme, host and port, because the secret goes along. */
  #redirected(from: URL, headers: IncomingHttpHeaders): URL {
    const { location } = headers
    if (location === undefined || !URL.canParse(location, from.href)) {
      throw this.#answerFault(from, 'it redirects without saying where to')
    }
    const to = new URL(location, from)
    if (to.origin === this.#target.base.origin && to.username === '') return to
    throw fail('HTTP_REDIRECT', { source: this.#target.source, request: nameOf(from), to: to.origin })
  }

  #refusal(url: URL, { status, body }: Answer): Error {
    const { source, user } = this.#target
    const shown = body.toString('utf8', 0, shownChars * 4).replaceAll(/[\p{Cc}\s]+/gu, ' ')
    const problem = redact([...shown].slice(0, shownChars).join('').trim(), this.#target.secrets)
    if (status === 401) return fail('SOURCE_LOGIN', { source, user, problem: `status 401 ${problem}`.trim() })
    if (status === 403) {
      return fail('SOURCE_DENIED', { source, object: url.pathname, problem: `status 403 ${problem}`.trim() })
    }
    if (status === 429 || status >= 500 || status === 408) {
      const what = `status ${status} ${problem}`.trim()
      return fail('SOURCE_UNREACHABLE', { source, address: this.#target.base.host, problem: what })
    }
    return fail('HTTP_STATUS', { source, request: nameOf(url), status, problem })
  }

  /** Milliseconds before the next attempt: what the API asks for, or a growing wait with a random part. */
  #pauseOf({ retryAfterMs }: { readonly retryAfterMs: number | null }, attempt: number, url: URL): number {
    const { source, retryMsMax } = this.#target
    if (retryAfterMs !== null && retryAfterMs > retryMsMax) {
      const waits = { seconds: Math.ceil(retryAfterMs / 1000), most: retryMsMax / 1000 }
      throw fail('HTTP_BUSY', { source, request: nameOf(url), ...waits })
    }
    const [random = 0] = this.#env.random.bytes(1)
    const growing = Math.min(retryMsMax, retryMs * 2 ** attempt)
    // Many readers that failed together come back apart.
    return retryAfterMs ?? growing * (0.5 + random / 512)
  }

  async #pace(signal: AbortSignal): Promise<void> {
    const { requestsPerSecond } = this.#target
    if (requestsPerSecond === 0) return
    const now = this.#env.clock.monotonicMs()
    const atMs = Math.max(now, this.#nextMs)
    this.#nextMs = atMs + 1000 / requestsPerSecond
    if (atMs > now) await this.#wait(atMs - now, signal)
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    await this.#env.clock.sleep(ms, signal)
  }

  #answerFault(url: URL, problem: string, cause?: unknown): Error {
    const told = redact(problem, this.#target.secrets)
    return fail('HTTP_ANSWER', { source: this.#target.source, request: nameOf(url), problem: told }, { cause })
  }
}

type Tried = { readonly answer: Answer } | { readonly error: Error; readonly retryAfterMs: number | null }

/** What `Retry-After` asks for, in milliseconds: seconds or a date. `null` when it is missing or neither. */
export function retryAfterMs(headers: IncomingHttpHeaders, nowMicros: bigint): number | null {
  const text = headers['retry-after']?.trim()
  if (text === undefined || text === '') return null
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const at = Date.parse(text)
  return Number.isNaN(at) ? null : Math.max(0, at - Number(nowMicros / 1000n))
}
