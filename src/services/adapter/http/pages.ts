import { sha256 } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { valueAt } from '../../../systems/cells/json-record.ts'
import { eachElement, JsonFault, kindOf, textBytes, wholeValue, type Slice } from '../../../systems/cells/json-scan.ts'
import type { Client } from './client.ts'
import { nameOf, type Answer } from './exchange.ts'
import type { EndpointDef, PageDef } from './index.ts'
import { addressOf, type Target } from './target.ts'

/** One page: its bytes, and where its records are in them. */
export interface Page {
  readonly url: URL
  readonly answer: Answer
  readonly document: Slice
  readonly records: readonly Slice[]
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
export function firstPage(read: EndpointRead, signal: AbortSignal): Promise<Page> {
  return getPage(read, firstUrl(read), signal)
}

/**
 * Every page in order. Ends where the API says that it ends; one that never does, because a page comes again or there are
 * more than `maxPages`, throws `HTTP_ENDLESS`. A count of records that the API tells is compared at the end: `HTTP_TOTAL`.
 */
export async function* pagesOf(read: EndpointRead, first: Page | null, signal: AbortSignal): AsyncGenerator<Page> {
  const { target } = read
  const seen = new Set<string>()
  let last = ''
  let rows = 0
  let told: string | null = null
  let url: URL | null = firstUrl(read)
  for (let number = 0; url !== null; number++) {
    if (number >= target.pagesMax) throw endless(read, `it has more than ${target.pagesMax} pages`)
    if (seen.has(sha256(url.href))) throw endless(read, 'its next page is one that was read before')
    seen.add(sha256(url.href))
    const page: Page = number === 0 && first !== null ? first : await getPage(read, url, signal)
    // A parameter that the API does not know gives the same records for ever.
    const hash = page.records.length === 0 ? '' : sha256(page.answer.body)
    if (hash !== '' && hash === last) throw endless(read, 'two pages hold the same')
    last = hash
    rows += page.records.length
    told = totalOf(read.endpoint, page) ?? told
    yield page
    url = nextUrl(read, page, { number, rows })
  }
  if (told !== null && told !== String(rows)) {
    throw fail('HTTP_TOTAL', { source: target.source, endpoint: read.name, told, read: rows })
  }
}

async function getPage({ client, target, endpoint }: EndpointRead, url: URL, signal: AbortSignal): Promise<Page> {
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
    if (error instanceof JsonFault) throw wrong(`it is no JSON: ${error.message}`)
    throw error
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

function nextUrl(read: EndpointRead, page: Page, at: { readonly number: number; readonly rows: number }): URL | null {
  const { page: by } = read.endpoint
  switch (by.by) {
    case 'none':
      return null
    case 'number':
    case 'offset':
      // A page that is short may be the server's own limit; only an empty one is the end.
      if (page.records.length === 0) return null
      return withParam(page.url, by.param, String(by.by === 'offset' ? at.rows : by.first + at.number + 1))
    case 'cursor': {
      const cursor = cursorAt(page, by)
      return cursor === null ? null : withParam(page.url, by.param, cursor)
    }
    case 'next': {
      const address = cursorAt(page, by)
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

function sameOrigin({ target }: EndpointRead, page: Page, address: string): URL {
  const request = nameOf(page.url)
  if (!URL.canParse(address, page.url.href)) {
    throw fail('HTTP_ANSWER', { source: target.source, request, problem: 'the address of its next page is none' })
  }
  const url = new URL(address, page.url)
  if (url.origin === target.base.origin && url.username === '') return url
  throw fail('HTTP_REDIRECT', { source: target.source, request, to: url.origin })
}

/** The text of a value in the answer: what is missing, NULL, false or empty ends the pages. */
function cursorAt(page: Page, { at }: Extract<PageDef, { by: 'cursor' | 'next' }>): string | null {
  const { body } = page.answer
  const found = valueAt(body, page.document, at)
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

function totalOf({ total }: EndpointDef, page: Page): string | null {
  if (total === null) return null
  if ('header' in total) {
    const value = page.answer.headers[total.header.toLowerCase()]
    return typeof value === 'string' && /^\d+$/.test(value) ? value : null
  }
  const { body } = page.answer
  const found = valueAt(body, page.document, total.at)
  const text = found === null ? '' : body.toString('latin1', found.start, found.end).replaceAll('"', '')
  return /^\d+$/.test(text) ? text : null
}

function endless({ target, name }: EndpointRead, problem: string): Error {
  return fail('HTTP_ENDLESS', { source: target.source, endpoint: name, problem })
}
