import { sha256 } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { valueAt } from '../../../systems/cells/json-record.ts'
import { eachElement, JsonFault, kindOf, textBytes, wholeValue, type Slice } from '../../../systems/cells/json-scan.ts'
import type { Client } from './client.ts'
import { nameOf, type Answer } from './exchange.ts'
import type { EndpointDef, PageDef } from './index.ts'
import { SeenKeys, type Place } from './keys.ts'
import { addressOf, type Target } from './target.ts'

/** What one request gave: its bytes, and where its records are in them. */
export interface Fetched {
  readonly url: URL
  readonly answer: Answer
  readonly document: Slice
  readonly records: readonly Slice[]
}

/** One page of a read, counted from 1. */
export interface Page extends Fetched {
  readonly number: number
  /** For each record where its key came before; `null` for the first of its key. */
  readonly before: readonly (Place | null)[]
}

/** Which endpoint is read, from which moment on. */
export interface EndpointRead {
  readonly client: Client
  readonly target: Target
  readonly name: string
  readonly endpoint: EndpointDef
  /** Text of the moment for the endpoint's parameter. */
  readonly since: string | null
}

/** The first page of an endpoint. */
export function firstPage(read: EndpointRead, signal: AbortSignal): Promise<Fetched> {
  return getPage(read, firstUrl(read), signal)
}

/**
 * Every page in order. Ends where the API says that it ends; one that never does, because a page comes again or there are
 * more than `maxPages`, throws `HTTP_ENDLESS`. The API's own count is compared with what came: `HTTP_TOTAL`, `HTTP_MOVED`.
 */
export async function* pagesOf(read: EndpointRead, first: Fetched | null, signal: AbortSignal): AsyncGenerator<Page> {
  const { target } = read
  const urls = new Set<string>()
  const keys = new SeenKeys(read.endpoint, { most: target.recordsMax, source: target.source, endpoint: read.name })
  const totals = new Totals(read)
  let last = ''
  let rows = 0
  let url: URL | null = firstUrl(read)
  for (let number = 1; url !== null; number++) {
    if (number > target.pagesMax) throw endless(read, `it has more than ${target.pagesMax} pages`)
    if (urls.has(sha256(url.href))) throw endless(read, 'its next page is one that was read before')
    urls.add(sha256(url.href))
    const page: Fetched = number === 1 && first !== null ? first : await getPage(read, url, signal)
    // A parameter that the API does not know gives the same records for ever.
    const hash = page.records.length === 0 ? '' : sha256(page.answer.body)
    if (hash !== '' && hash === last) throw endless(read, 'two pages hold the same')
    last = hash
    rows += page.records.length
    const { body } = page.answer
    const before = page.records.map((record, i) => keys.before(body, record, { page: number, index: i + 1 }))
    totals.add(page, number, before)
    yield { ...page, number, before }
    url = nextUrl(read, page, { number, rows })
  }
  totals.compare()
}

/** True for pages that are counted from the beginning of the list: they move when the list changes. */
export function areCounted({ by }: PageDef): boolean {
  return by === 'number' || by === 'offset'
}

/** The API's own count of its records, as each page tells it, beside what came. */
class Totals {
  readonly #read: EndpointRead
  #least: bigint | null = null
  #most: bigint | null = null
  #told: bigint | null = null
  #rows = 0n
  /** Records that came on two pages, where pages move: they are one. */
  #again = 0n

  constructor(read: EndpointRead) {
    this.#read = read
  }

  add(page: Fetched, number: number, before: Page['before']): void {
    const { endpoint } = this.#read
    this.#rows += BigInt(page.records.length)
    if (areCounted(endpoint.page)) this.#again += BigInt(before.filter(it => it !== null && it.page !== number).length)
    const told = totalOf(this.#read, page)
    if (told === null) return
    if (this.#told !== null && told < this.#told && areCounted(endpoint.page)) {
      const { source } = this.#read.target
      throw fail('HTTP_MOVED', { source, endpoint: this.#read.name, was: this.#told, now: told, page: number })
    }
    this.#told = told
    if (this.#least === null || told < this.#least) this.#least = told
    if (this.#most === null || told > this.#most) this.#most = told
  }

  /** What comes or goes between two pages may be in the read or not; the rest must be. */
  compare(): void {
    const read = this.#rows - this.#again
    if (this.#least === null || this.#most === null || (read >= this.#least && read <= this.#most)) return
    const { target, name } = this.#read
    throw fail('HTTP_TOTAL', { source: target.source, endpoint: name, told: String(this.#told), read: Number(read) })
  }
}

async function getPage({ client, target, endpoint }: EndpointRead, url: URL, signal: AbortSignal): Promise<Fetched> {
  const answer = await client.get(url, signal)
  const wrong = (problem: string): Error =>
    fail('HTTP_ANSWER', { source: target.source, request: nameOf(url), problem })
  try {
    const { body } = answer
    const document = wholeValue(body)
    const list = valueAt(body, document, endpoint.records)
    const place = endpoint.records.length === 0 ? 'as its whole' : `at ${endpoint.records.join('.')}`
    if (list === null || kindOf(body, list) !== 'list') throw wrong(`it has no list of records ${place}`)
    const records: Slice[] = []
    eachElement(body, list.start, record => records.push(record))
    const stray = records.find(record => kindOf(body, record) !== 'object')
    if (stray !== undefined)
      throw wrong(`a record is no object: ${body.toString('utf8', stray.start, stray.end).slice(0, 60)}`)
    return { url, answer, document, records }
  } catch (error) {
    if (error instanceof JsonFault) throw wrong(noJson(answer, error))
    throw error
  }
}

/** Servers say much in HTML: of a login, of a proxy. */
function noJson({ headers }: Answer, { message }: JsonFault): string {
  const type = (headers['content-type'] ?? '').slice(0, 60)
  const said = type === '' || /json/i.test(type) ? '' : `its type is ${JSON.stringify(type)}, and `
  return `${said}it is no JSON: ${message}`
}

/** The value at a path in the answer. Throws `HTTP_ANSWER` where a member on the way stands twice. */
function foundAt({ target }: EndpointRead, { url, answer, document }: Fetched, path: readonly string[]): Slice | null {
  try {
    return valueAt(answer.body, document, path)
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error
    throw fail('HTTP_ANSWER', { source: target.source, request: nameOf(url), problem: error.message })
  }
}

function firstUrl({ target, endpoint, since }: EndpointRead): URL {
  const url = addressOf(target, endpoint)
  if (since !== null && endpoint.since !== null) url.searchParams.set(endpoint.since.param, since)
  const { page } = endpoint
  if (page.by === 'number') url.searchParams.set(page.param, String(page.first))
  if (page.by === 'offset') url.searchParams.set(page.param, '0')
  return url
}

function nextUrl(
  read: EndpointRead,
  page: Fetched,
  at: { readonly number: number; readonly rows: number },
): URL | null {
  const { page: by } = read.endpoint
  switch (by.by) {
    case 'none':
      return null
    case 'number':
    case 'offset':
      // A page that is short may be the server's own limit; only an empty one is the end.
      if (page.records.length === 0) return null
      return withParam(page.url, by.param, String(by.by === 'offset' ? at.rows : by.first + at.number))
    case 'cursor': {
      const cursor = cursorAt(read, page, by)
      return cursor === null ? null : withParam(page.url, by.param, cursor)
    }
    case 'next': {
      const address = cursorAt(read, page, by)
      return address === null ? null : sameOrigin(read, page, address)
    }
    case 'link': {
      const address = linkNext(page.answer.headers['link'])
      return address === null ? null : sameOrigin(read, page, address)
    }
  }
}

function withParam(url: URL, param: string, value: string): URL {
  const next = new URL(url)
  next.searchParams.set(param, value)
  return next
}

function sameOrigin({ target }: EndpointRead, page: Fetched, address: string): URL {
  const request = nameOf(page.url)
  if (!URL.canParse(address, page.url.href)) {
    throw fail('HTTP_ANSWER', { source: target.source, request, problem: 'the address of its next page is none' })
  }
  const url = new URL(address, page.url)
  if (url.origin === target.base.origin && url.username === '') return url
  throw fail('HTTP_REDIRECT', { source: target.source, request, to: url.origin })
}

/** The text of a value in the answer: what is missing, NULL, false or empty ends the pages. */
function cursorAt(
  read: EndpointRead,
  page: Fetched,
  { at }: Extract<PageDef, { by: 'cursor' | 'next' }>,
): string | null {
  const { body } = page.answer
  const found = foundAt(read, page, at)
  if (found === null) return null
  const kind = kindOf(body, found)
  if (kind === 'null' || kind === 'bool' || kind === 'list' || kind === 'object') return null
  const text = kind === 'text' ? textBytes(body, found) : body.subarray(found.start, found.end)
  return text === null || text.length === 0 ? null : Buffer.from(text).toString('utf8')
}

/** The address with `rel="next"` in a Link header, by RFC 8288. */
export function linkNext(header: string | string[] | undefined): string | null {
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '')
  for (const [, address, params] of text.matchAll(/<([^>]*)>((?:\s*;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^;,\s]*))*)/g)) {
    const rel = /;\s*rel\s*=\s*(?:"([^"]*)"|([^;,\s]*))/i.exec(params ?? '')
    if ((rel?.[1] ?? rel?.[2] ?? '').toLowerCase().split(/\s+/).includes('next')) return address ?? null
  }
  return null
}

function totalOf(read: EndpointRead, page: Fetched): bigint | null {
  const { total } = read.endpoint
  if (total === null) return null
  if ('header' in total) {
    const value = page.answer.headers[total.header.toLowerCase()]
    return typeof value === 'string' && /^\d{1,18}$/.test(value) ? BigInt(value) : null
  }
  const found = foundAt(read, page, total.at)
  const text = found === null ? '' : page.answer.body.toString('latin1', found.start, found.end).replaceAll('"', '')
  return /^\d{1,18}$/.test(text) ? BigInt(text) : null
}

function endless({ target, name }: EndpointRead, problem: string): Error {
  return fail('HTTP_ENDLESS', { source: target.source, endpoint: name, problem })
}
