import assert from 'node:assert/strict'
import net from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, test } from 'vitest'
import { t } from '../../../index.ts'
import { realEnv } from '../../../core/env.ts'
import type { Code } from '../../../core/errors.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { never, readAll } from '../conformance-support.ts'
import type { RowFilter, RowReject, Snapshot, TableShape } from '../contract.ts'
import type { TextRows } from '../text-totals.ts'
import { json, openApi, plain, startApi, type Api } from '../../../testing/http/api.ts'
import { isLinkLocal, isPrivateAddress } from './address.ts'
import { retryAfterMs } from './client.ts'
import { linkNext } from './pages.ts'
import { sinceText } from './since.ts'

let api: Api
const ending: (() => Promise<unknown>)[] = []
beforeEach(async () => (api = await startApi()))
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
  await api.stop()
})

type Read = { readonly rows: TextRows; readonly rejects: readonly RowReject[] }

/** Reads a table through the adapter, as a run would after its look. */
async function read(
  options: object,
  table = 'rows',
  { filter, ...more }: Parameters<typeof openApi>[1] & { readonly filter?: RowFilter } = {},
): Promise<Read> {
  return withApi(options, more, async snapshot => {
    const { columns, key } = await snapshot.look(table)
    return readAll(snapshot, { remote: table, columns, key }, filter)
  })
}

async function withApi<T>(
  options: object,
  more: Parameters<typeof openApi>[1],
  body: (snapshot: Snapshot) => Promise<T>,
): Promise<T> {
  const opened = await openApi({ url: api.url, ...options }, more)
  ending.push(opened.close)
  const snapshot = await opened.adapter.tables?.openSnapshot(never)
  assert.ok(snapshot !== undefined)
  return body(snapshot)
}

const rows = (endpoint: object): object => ({ endpoints: { rows: { ...plain, ...endpoint } } })
const records = (from: number, count: number): { id: number }[] =>
  Array.from({ length: count }, (_, i) => ({ id: from + i }))
const ids = ({ rows: found }: Read): readonly (string | null | undefined)[] => found.map(row => row[0])

describe('pages', () => {
  const all = ['1', '2', '3', '4', '5']
  const two = (from: number): { id: number }[] => records(from + 1, Math.max(0, Math.min(2, 5 - from)))

  test.each<[string, object, Api['answer']]>([
    [
      'by number',
      { page: { by: 'number', param: 'p', size: { param: 'n', rows: 2 } } },
      (_, response, url) => json(response, two((Number(url.searchParams.get('p')) - 1) * 2)),
    ],
    [
      'by offset',
      { page: { by: 'offset', param: 'skip' } },
      (_, response, url) => json(response, two(Number(url.searchParams.get('skip')))),
    ],
    [
      'by cursor',
      { records: 'data', page: { by: 'cursor', param: 'after', at: 'meta.next' } },
      (_, response, url) => {
        const from = Number(url.searchParams.get('after') ?? 0)
        json(response, { data: two(from), meta: { next: from + 2 < 5 ? from + 2 : null } })
      },
    ],
    [
      'by an address in the answer',
      { records: 'data', page: { by: 'next', at: 'next' } },
      (_, response, url) => {
        const from = Number(url.searchParams.get('from') ?? 0)
        json(response, { data: two(from), ...(from + 2 < 5 ? { next: `/rows?from=${from + 2}` } : {}) })
      },
    ],
    [
      'by the Link header',
      { page: { by: 'link' } },
      (_, response, url) => {
        const from = Number(url.searchParams.get('from') ?? 0)
        const next = from + 2 < 5 ? { link: `</rows?from=${from + 2}>; rel="next", </x>; rel="last"` } : undefined
        json(response, two(from), next)
      },
    ],
  ])('%s hold every record once', async (_, endpoint, answer) => {
    api.answer = answer
    assert.deepEqual(ids(await read(rows(endpoint))), all)
  })

  test.each([
    ['<https://a/b?x=1,2>; title="a, b"; rel="prev next"', 'https://a/b?x=1,2'],
    ['<a>; rel=last, <b>; rel=next', 'b'],
    ['<a>; rel="nextish"', null],
    ['', null],
  ])('a Link header is read by its grammar: %s', (header, next) => assert.equal(linkNext(header), next))

  test.each<[string, object, Api['answer']]>([
    [
      'the same cursor comes again',
      { records: 'data', page: { by: 'cursor', param: 'after', at: 'next' } },
      (_, response, url) => json(response, { data: records(Number(url.searchParams.get('after') ?? 0), 1), next: 7 }),
    ],
    [
      'a parameter is not known to the API',
      { page: { by: 'offset', param: 'skip' } },
      (_, r) => json(r, records(1, 2)),
    ],
    [
      'there is always one more',
      { page: { by: 'number', param: 'p' } },
      (_, response, url) => json(response, records(Number(url.searchParams.get('p')), 1)),
    ],
  ])('an endpoint that does not end is an error: %s', async (_, endpoint, answer) => {
    api.answer = answer
    await rejectsWith('HTTP_ENDLESS', read({ ...rows(endpoint), maxPages: 20 }), '"rows"')
    assert.ok(api.requests.length <= 22)
  })

  test('records that the API counts and does not give are an error', async () => {
    api.answer = (_, response) => json(response, { total: 6, data: records(1, 5) })
    const endpoint = { records: 'data', total: { at: 'total' } }
    await rejectsWith('HTTP_TOTAL', read(rows(endpoint)), '6 records by its own count, but gave 5')
    api.answer = (_, response) => json(response, records(1, 5), { 'x-total-count': '4' })
    await rejectsWith('HTTP_TOTAL', read(rows({ total: { header: 'X-Total-Count' } })), '4 records')
  })
})

describe('records', () => {
  const order = {
    path: '/orders',
    records: 'data.items',
    key: 'no',
    columns: { no: t.big(), city: t.text().null(), total: t.decimal(38, 2), raw: t.json().null() },
    at: { no: 'id', city: 'customer.address.city' },
    children: {
      lines: { columns: { sku: t.text(), price: t.decimal(9, 2) }, key: 'sku', at: { price: 'price.amount' } },
      tags: { columns: { tag: t.text() }, at: { tag: '' } },
    },
  }
  const body = `{"data": {"items": [
    {"id": 9223372036854775807, "customer": {"address": {"city": "서울"}}, "total": 123456789012345678901234567890.10,
     "raw": {"b": 1.00}, "lines": [{"sku": "a", "price": {"amount": 1.5}}, {"sku": "b", "price": {"amount": 2}}], "tags": ["x", "y"]},
    {"id": 2, "total": 0, "lines": [], "tags": null},
    {"id": 3, "total": 1, "lines": "none"}
  ]}}`

  test('numbers keep every digit, and values are found on their way through objects', async () => {
    api.answer = (_, response) => json(response, body)
    const found = await read({ endpoints: { orders: order } }, 'orders')
    assert.deepEqual(found.rows, [
      ['9223372036854775807', '서울', '123456789012345678901234567890.10', '{"b": 1.00}'],
      ['2', null, '0.00', null],
      ['3', null, '1.00', null],
    ])
  })

  test('a list within records is a table with the key of its record, and nothing is asked for twice', async () => {
    api.answer = (_, response) => json(response, body)
    await withApi({ endpoints: { orders: order } }, {}, async snapshot => {
      const all = async (table: string): Promise<Read> => {
        const { columns, key } = await snapshot.look(table)
        return readAll(snapshot, { remote: table, columns, key })
      }
      assert.equal((await all('orders')).rows.length, 3)
      const lines = await all('orders.lines')
      assert.deepEqual(lines.rows, [
        ['9223372036854775807', 'a', '1.50'],
        ['9223372036854775807', 'b', '2.00'],
      ])
      assert.deepEqual(
        lines.rejects.map(reject => reject.detail),
        ['lines of the record is no list (record 3 of page 1)'],
      )
      // Which elements it has is not known: one that named a part of the key would let the staged ones be deleted.
      assert.equal(lines.rejects[0]?.key, null)
      assert.deepEqual((await all('orders.tags')).rows, [
        ['9223372036854775807', '0', 'x'],
        ['9223372036854775807', '1', 'y'],
      ])
      assert.equal(api.requests.length, 1)
    })
  })

  test.each<[string, string | Buffer]>([
    ['a member that stands twice', '[{"id": 1, "name": "a", "name": "b"}]'],
    ['bytes that are no text', Buffer.from('[{"id": 1, "name": "\xff"}]', 'latin1')],
    ['half of a character', '[{"id": 1, "name": "\\udc00"}]'],
    ['a value that must be there', '[{"name": "a"}]'],
    ['a NULL that may not be', '[{"id": null, "name": "a"}]'],
  ])('%s makes a reject', async (_, text) => {
    api.answer = (_request, response) => {
      response.writeHead(200)
      response.end(text)
    }
    const found = await read(rows({}))
    assert.deepEqual(found.rows, [])
    assert.deepEqual(
      found.rejects.map(reject => reject.reason),
      ['VALUE_NOT_IN_TYPE'],
    )
  })
})

describe('records that are not as they should be', () => {
  const order = {
    path: '/orders',
    key: 'id',
    columns: { id: t.big(), city: t.text().null() },
    at: { city: 'address.city' },
    children: { lines: { columns: { sku: t.text().null(), qty: t.int().null() }, key: 'sku' } },
  }
  const told = ({ rejects }: Read): readonly (readonly [string, string])[] =>
    rejects.map(({ reason, detail }) => [reason, detail])

  test('an element of a list that repeats a key, or has none, is set aside with its place, and the others load', async () => {
    api.answer = (_, response) => {
      json(response, [
        { id: 1, lines: [{ sku: 'a', qty: 1 }] },
        { id: 2, lines: [{ sku: 'a', qty: 2 }, { sku: 'b', qty: 3 }, { sku: 'a', qty: 4 }, { qty: 5 }, { sku: null }] },
      ])
    }
    const found = await read({ endpoints: { orders: order } }, 'orders.lines')
    assert.deepEqual(found.rows, [
      ['1', 'a', '1'],
      ['2', 'a', '2'],
      ['2', 'b', '3'],
    ])
    assert.deepEqual(told(found), [
      ['KEY_REPEATED', 'an element before it has its key (record 2 of page 1, element 3)'],
      ['VALUE_NOT_IN_TYPE', 'column "sku" has no value (record 2 of page 1, element 4)'],
      ['VALUE_NOT_IN_TYPE', 'column "sku" has no value (record 2 of page 1, element 5)'],
    ])
    assert.deepEqual(found.rejects[0]?.key, { orders_id: '2', sku: 'a' })
    assert.equal(found.rejects[0]?.content, '{"sku":"a","qty":4}')
  })

  test.each([
    ['where two objects stand under one name', '{"id": 1, "address": {"city": "a"}, "address": {"zip": "b"}}'],
    ['where an object and a number do', '{"id": 1, "address": {"city": "a"}, "address": 5}'],
    ['in the other order', '{"id": 1, "address": 5, "address": {"city": "a"}}'],
    ['three times', '{"id": 1, "address": 1, "address": 2, "address": {"city": "a"}}'],
    ['under a name with escapes', String.raw`{"id": 1, "address": {"city": "a"}, "addres\u0073": {}}`],
  ])('a member that stands twice on the way to a value is seen: %s', async (_, record) => {
    api.answer = (_request, response) => json(response, `[${record}, {"id": 2, "address": {"city": "b"}}]`)
    const found = await read({ endpoints: { orders: order } }, 'orders')
    assert.deepEqual(found.rows, [['2', 'b']])
    assert.deepEqual(told(found), [
      ['VALUE_NOT_IN_TYPE', 'column "city" stands twice in its record (record 1 of page 1)'],
    ])
  })

  test('a list that stands twice in its record is set aside, one of the answer is an error', async () => {
    api.answer = (_, response) => {
      json(response, '[{"id": 1, "lines": [{"sku": "a"}], "lines": []}, {"id": 2, "lines": [{"sku": "b"}]}]')
    }
    const found = await read({ endpoints: { orders: order } }, 'orders.lines')
    assert.deepEqual(found.rows, [['2', 'b', null]])
    assert.match(found.rejects[0]?.detail ?? '', /the member "lines" stands twice at byte \d+ \(record 1 of page 1\)/)
    api.answer = (_, response) => json(response, '{"data": [{"id": 1}], "data": []}')
    await rejectsWith('HTTP_ANSWER', read(rows({ records: 'data' })), '"data" stands twice')
  })
})

describe('lists that change while their pages are read', () => {
  const whole = (url: URL, list: readonly { id: number }[], size = 3): { data: unknown; total: number } => {
    const from = Number(url.searchParams.get('skip'))
    return { data: list.slice(from, from + size), total: list.length }
  }
  const counted = { records: 'data', page: { by: 'offset', param: 'skip' } }

  test('a record that is seen on two pages is taken once, and set aside with both places', async () => {
    let list = records(1, 6)
    api.answer = (_, response, url) => {
      json(response, whole(url, list))
      if (api.requests.length === 1) list = [{ id: 0 }, ...list]
    }
    const found = await read(rows(counted))
    assert.deepEqual(ids(found), ['1', '2', '3', '4', '5', '6'])
    assert.deepEqual(
      found.rejects.map(({ reason, detail, key }) => [reason, detail, key]),
      [['KEY_REPEATED', 'its key came before, as record 3 of page 1 (record 1 of page 2)', { id: '3' }]],
    )
  })

  test('keys are the same however they are spelled, and the lists of a repeated record are not doubled', async () => {
    api.answer = (_, response) => {
      json(response, '[{"id": 1, "tags": ["a"]}, {"id": "1", "tags": ["b"]}, {"id": 1.0, "tags": []}, {"id": 10}]')
    }
    const endpoint = { children: { tags: { columns: { tag: t.text() }, at: { tag: '' } } } }
    const found = await read(rows(endpoint))
    assert.deepEqual([ids(found), found.rejects.length], [['1', '10'], 2])
    const tags = await read(rows(endpoint), 'rows.tags')
    assert.deepEqual([tags.rows, tags.rejects.length], [[['1', '0', 'a']], 2])
  })

  test('where the count falls between two pages a record may be missed: the read is refused', async () => {
    let list = records(1, 6)
    api.answer = (_, response, url) => {
      json(response, whole(url, list))
      list = list.filter(({ id }) => id !== 2)
    }
    await rejectsWith(
      'HTTP_MOVED',
      read(rows({ ...counted, total: { at: 'total' } })),
      'had 6 records and has 5 on page 2',
    )
  })

  test('where it grows, the records that were there all the time are enough', async () => {
    let list = records(1, 6)
    api.answer = (_, response, url) => {
      json(response, whole(url, list))
      if (api.requests.length === 1) list = [{ id: 0 }, ...list]
    }
    assert.equal((await read(rows({ ...counted, total: { at: 'total' } }))).rows.length, 6)
  })

  test('a record that is lost behind one that came twice is noticed by the count', async () => {
    const pages = [records(1, 3), [{ id: 3 }, ...records(5, 2)], []]
    api.answer = (_, response) => json(response, { data: pages[api.requests.length - 1], total: 6 })
    await rejectsWith(
      'HTTP_TOTAL',
      read(rows({ ...counted, total: { at: 'total' } })),
      '6 records by its own count, but gave 5',
    )
  })

  test('a cursor does not move: the count may fall', async () => {
    api.answer = (_, response, url) => {
      const isFirst = url.searchParams.get('after') === null
      json(
        response,
        isFirst ? { data: records(1, 3), total: 6, next: 'x' } : { data: records(4, 3), total: 5, next: null },
      )
    }
    const cursor = { records: 'data', total: { at: 'total' }, page: { by: 'cursor', param: 'after', at: 'next' } }
    assert.equal((await read(rows(cursor))).rows.length, 6)
  })

  test('pages that are counted are a blind spot that the look tells, others are none', async () => {
    api.answer = (_, response) => json(response, { data: [] })
    const spotOf = (page: object): Promise<string | undefined> =>
      withApi(rows({ records: 'data', page }), {}, async snapshot => (await snapshot.look('rows')).blindSpot?.text)
    assert.match((await spotOf({ by: 'number', param: 'p' })) ?? '', /found by number/)
    assert.match((await spotOf({ by: 'offset', param: 'p' })) ?? '', /is missed/)
    assert.equal(await spotOf({ by: 'cursor', param: 'p', at: 'x' }), undefined)
    assert.equal(await spotOf({ by: 'link' }), undefined)
  })

  test('more records than the limit end the read instead of filling the memory', async () => {
    api.answer = (_, response) => json(response, records(1, 11))
    await rejectsWith('HTTP_RECORDS', read({ ...rows({}), maxRecords: 10 }), '10 records')
  })
})

describe('what changed', () => {
  const columns = { id: t.big(), at: t.timestamptz() }
  const endpoint = {
    path: '/rows',
    key: 'id',
    columns,
    since: { column: 'at', param: 'since', format: 'unix', lag: '1m', deletes: 'keep' },
  }

  test('the moment is a parameter, cut to what it can say, and the rows are still filtered exactly', async () => {
    api.answer = (_, response) => {
      json(response, [
        { id: 1, at: '2026-01-01T00:00:00.499Z' },
        { id: 2, at: '2026-01-01T00:00:00.500Z' },
      ])
    }
    const filter = { since: { column: 'at', atLeastMicros: 1_767_225_600_500_000n } }
    assert.deepEqual(ids(await read({ endpoints: { rows: endpoint } }, 'rows', { filter })), ['2'])
    assert.equal(api.requests.at(-1)?.url.searchParams.get('since'), '1767225600')
  })

  test('of records with one stamp at the boundary none is left out', async () => {
    const at = '2026-01-01T00:00:00.5Z'
    api.answer = (_, response) =>
      json(
        response,
        [1, 2, 3].map(id => ({ id, at })),
      )
    const filter = { since: { column: 'at', atLeastMicros: 1_767_225_600_500_000n } }
    assert.deepEqual(ids(await read({ endpoints: { rows: endpoint } }, 'rows', { filter })), ['1', '2', '3'])
  })

  test.each([
    ['iso', '2026-01-01T00:00:00.999Z'],
    ['iso-seconds', '2026-01-01T00:00:00Z'],
    ['date', '2026-01-01'],
    ['unix', '1767225600'],
    ['unix-ms', '1767225600999'],
  ] as const)('a moment as %s is never later than it is', (format, text) => {
    assert.equal(sinceText(1_767_225_600_999_999n, format), text)
    assert.ok(sinceText(-1n, format).length > 0)
  })
})

describe('faults that may pass', () => {
  test.each([
    ['seconds', () => '7', 7000],
    ['a date', () => new Date(Date.now() + 20_000).toUTCString(), 20_000],
  ])('Retry-After is kept: %s', async (_, header, ms) => {
    const waits: number[] = []
    api.answer = (_, response) => {
      if (api.requests.length > 1) return json(response, records(1, 1))
      response.writeHead(429, { 'retry-after': header() })
      response.end()
    }
    assert.deepEqual(ids(await read({ ...rows({}), retries: 3 }, 'rows', { waits })), ['1'])
    assert.equal(waits.length, 1)
    assert.ok(Math.abs((waits[0] as number) - ms) < 3000)
  })

  test('an API that asks for a longer wait than is allowed ends the read', async () => {
    api.answer = (_, response) => response.writeHead(503, { 'retry-after': '86400' }).end()
    await rejectsWith('HTTP_BUSY', read({ ...rows({}), retries: 3 }, 'rows', { waits: [] }), '86400 s')
    assert.equal(api.requests.length, 1)
    assert.equal(retryAfterMs({ 'retry-after': 'soon' }, 0n), null)
  })

  test.each([[{}], [{ 'retry-after': '2' }]])('a storm of 429 ends after the retries: %o', async headers => {
    const waits: number[] = []
    api.answer = (_, response) => response.writeHead(429, headers).end('slow down')
    await rejectsWith(
      'SOURCE_UNREACHABLE',
      read({ ...rows({}), retries: 3 }, 'rows', { waits }),
      'status 429 slow down',
    )
    assert.deepEqual([api.requests.length, waits.length], [4, 3])
    const opened = await openApi({ url: api.url, ...rows({}), retries: 3 })
    ending.push(opened.close)
    // The run does not begin anew as well: that would multiply the requests.
    assert.equal(opened.adapter.tables?.limits.retries, 0)
  })

  test('5xx is tried again with growing waits that differ, up to a limit', async () => {
    const waits: number[] = []
    api.answer = (_, response) => response.writeHead(502).end('bad gateway')
    await rejectsWith('SOURCE_UNREACHABLE', read({ ...rows({}), retries: 4 }, 'rows', { waits }), '502 bad gateway')
    assert.equal(api.requests.length, 5)
    waits.forEach((ms, i) => assert.ok(ms >= 250 * 2 ** i && ms <= 500 * 2 ** i))
  })

  test.each<[number, Code]>([
    [401, 'SOURCE_LOGIN'],
    [403, 'SOURCE_DENIED'],
    [404, 'HTTP_STATUS'],
  ])('status %i is not tried again, and its secret is not told', async (status, code) => {
    api.answer = (request, response) => response.writeHead(status).end(`no: ${request.headers.authorization}`)
    const options = { ...rows({}), retries: 5, token: { kind: 'secret', from: 'env', name: 'X' } }
    await assert.rejects(read(options, 'rows', { waits: [] }), (error: Error & { code: string }) => {
      assert.equal(error.code, code)
      assert.ok(!error.message.includes('a-secret-token') && error.message.includes('***'))
      return true
    })
    assert.equal(api.requests.length, 1)
    assert.equal(api.requests[0]?.headers.authorization, 'Bearer a-secret-token')
  })

  test.each([
    [
      { user: 'me', password: { kind: 'secret', from: 'env', name: 'X' } },
      'authorization',
      'Basic bWU6YS1zZWNyZXQtdG9rZW4=',
    ],
    [{ header: 'x-api-key', key: { kind: 'secret', from: 'env', name: 'X' } }, 'x-api-key', 'a-secret-token'],
  ])('it is let in by %o', async (access, header, value) => {
    api.answer = (_, response) => json(response, [])
    await read({ ...rows({}), ...access })
    assert.equal(api.requests[0]?.headers[header], value)
  })

  test('requests keep their pace', async () => {
    const waits: number[] = []
    api.answer = (_, response, url) => {
      const page = Number(url.searchParams.get('p'))
      json(response, page > 5 ? [] : records(page, 1))
    }
    await read({ ...rows({ page: { by: 'number', param: 'p' } }), requestsPerSecond: 2 }, 'rows', { waits })
    assert.equal(waits.length, 5)
    assert.ok((waits.at(-1) as number) > 1500)
  })
})

describe('hostile servers', () => {
  const bomb = gzipSync(Buffer.alloc(10 << 20, ' '))
  const short = { connectTimeout: '1s', answerTimeout: '1s', bodyTimeout: '1s', maxPageBytes: 4096 }

  test.each<[string, Api['answer'], Code]>([
    ['it never answers', () => {}, 'SOURCE_UNREACHABLE'],
    ['the body never ends', (_, response) => void response.writeHead(200).write('['), 'SOURCE_UNREACHABLE'],
    [
      'the body comes too short',
      (_, response) => {
        response.writeHead(200, { 'content-length': '100' })
        response.write('[', () => response.destroy())
      },
      'SOURCE_UNREACHABLE',
    ],
    [
      'the body is announced too large',
      (_, response) => void response.writeHead(200, { 'content-length': '99999999999' }).write('['),
      'HTTP_ANSWER',
    ],
    ['the body is too large', (_, response) => json(response, `[${' '.repeat(5000)}]`), 'HTTP_ANSWER'],
    [
      'the body is small and unpacks to much',
      (_, response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' })
        response.end(bomb)
      },
      'HTTP_ANSWER',
    ],
    ['the body is no JSON', (_, response) => json(response, '<html>'), 'HTTP_ANSWER'],
    [
      'the body comes without end',
      (_, response) => {
        response.writeHead(200)
        const more = (): void =>
          void (!response.destroyed && response.write(' '.repeat(1000), () => setImmediate(more)))
        more()
      },
      'HTTP_ANSWER',
    ],
    [
      'the body drips byte by byte',
      (_, response) => {
        response.writeHead(200, { 'content-length': '4000' })
        const timer = setInterval(() => response.write(' '), 20)
        response.on('close', () => clearInterval(timer))
      },
      'SOURCE_UNREACHABLE',
    ],
    [
      'the head drips byte by byte',
      (request, response) => {
        const timer = setInterval(() => request.socket.write('x'), 20)
        response.on('close', () => clearInterval(timer))
        request.socket.write('HTTP/1.1 200 OK\r\nx: ')
      },
      'SOURCE_UNREACHABLE',
    ],
    [
      'the chunks of the body are cut',
      (_, response) => {
        response.writeHead(200)
        response.write('[{"id": 1}]', () => response.destroy())
      },
      'SOURCE_UNREACHABLE',
    ],
    [
      'the packed body is cut',
      (_, response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' })
        response.end(gzipSync('[{"id": 1}]').subarray(0, -9))
      },
      'HTTP_ANSWER',
    ],
    [
      'the body is packed in a way that was not asked for',
      (_, response) => {
        response.writeHead(200, { 'content-encoding': 'br' })
        response.end('x')
      },
      'HTTP_ANSWER',
    ],
    [
      'it redirects in a circle',
      (_, response, url) => response.writeHead(302, { location: url.pathname === '/rows' ? '/other' : '/rows' }).end(),
      'HTTP_ANSWER',
    ],
    ['the body has no list', (_, response) => json(response, { error: 'x' }), 'HTTP_ANSWER'],
    ['the body is nested without end', (_, response) => json(response, '['.repeat(4000)), 'HTTP_ANSWER'],
    ['a record is no object', (_, response) => json(response, '[1]'), 'HTTP_ANSWER'],
    ['it redirects for ever', (_, response) => response.writeHead(302, { location: '/rows' }).end(), 'HTTP_ANSWER'],
    [
      'it redirects to a private address',
      (_, response) => response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data' }).end(),
      'HTTP_REDIRECT',
    ],
    [
      'its next page is elsewhere',
      (_, response) => json(response, records(1, 1), { link: '<http://127.0.0.1:1/x>; rel="next"' }),
      'HTTP_REDIRECT',
    ],
  ])('%s: an error in time', async (_, answer, code) => {
    api.answer = answer
    await rejectsWith(code, read({ ...rows({ page: { by: 'link' } }), ...short }), 'crm')
  })

  test('a server that speaks no TLS is not asked again', async () => {
    const options = { ...rows({}), url: api.url.replace('http:', 'https:'), retries: 5 }
    const waits: number[] = []
    await rejectsWith('SOURCE_TLS', read(options, 'rows', { waits }), 'crm')
    assert.deepEqual(waits, [])
  })

  test('a page for people is told by its type, and JSON is read whatever its type', async () => {
    api.answer = (_, response) => json(response, '<html>log in</html>', { 'content-type': 'text/html; charset=utf-8' })
    await rejectsWith('HTTP_ANSWER', read(rows({})), 'its type is "text/html; charset=utf-8", and it is no JSON')
    api.answer = (_, response) => json(response, records(1, 1), { 'content-type': 'text/plain' })
    assert.deepEqual(ids(await read(rows({}))), ['1'])
  })

  test('a redirect within the same origin is followed', async () => {
    api.answer = (_, response, url) => {
      if (url.pathname === '/rows') response.writeHead(307, { location: '/v3/rows' }).end()
      else json(response, records(1, 1))
    }
    assert.deepEqual(ids(await read(rows({}))), ['1'])
  })

  test('a packed answer is read', async () => {
    api.answer = (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      response.end(gzipSync('[{"id": 1}]'))
    }
    assert.deepEqual(ids(await read(rows({}))), ['1'])
  })

  test.each([
    [
      'an endless banner',
      (socket: net.Socket) => void setInterval(() => socket.write('x-a: bbbbbbbbbbbb\r\n'), 1).unref(),
    ],
    ['headers without end', (socket: net.Socket) => void socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`)],
    ['a connection that is half open', () => {}],
  ])('%s: an error in time', async (_, answer) => {
    const server = net.createServer(socket => {
      socket.on('error', () => {})
      answer(socket)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    ending.push(async () => server.close())
    const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`
    await assert.rejects(read({ ...rows({}), ...short, url }), /crm/)
  })

  test('a name that leads to a private address is refused before anything is sent, unless the config says so', async () => {
    const port = new URL(api.url).port
    api.answer = (_, response) => json(response, records(1, 1))
    const network = { ...realEnv().network, lookup: async () => [{ address: '127.0.0.1', family: 4 }] }
    const options = { ...rows({}), url: `http://crm.example.com:${port}` }
    await rejectsWith('HTTP_ADDRESS', read(options, 'rows', { env: { network } }), 'crm.example.com leads to 127.0.0.1')
    assert.equal(api.requests.length, 0)
    assert.deepEqual(ids(await read({ ...options, privateNetwork: true }, 'rows', { env: { network } })), ['1'])
    assert.equal(api.requests[0]?.headers.host, `crm.example.com:${port}`)
  })

  test('the name is looked up once: what it leads to later does not count', async () => {
    const port = new URL(api.url).port
    let lookups = 0
    const lookup = async (): Promise<{ address: string; family: number }[]> => {
      lookups++
      return [{ address: lookups === 1 ? '127.0.0.1' : '127.0.0.9', family: 4 }]
    }
    api.answer = (_, response, url) => json(response, url.searchParams.get('p') === '1' ? records(1, 1) : [])
    const options = {
      ...rows({ page: { by: 'number', param: 'p' } }),
      url: `http://crm.example.com:${port}`,
      privateNetwork: true,
    }
    const env = { network: { ...realEnv().network, lookup } }
    assert.deepEqual(ids(await read(options, 'rows', { env })), ['1'])
    assert.equal(lookups, 1)
  })

  test.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.9.9.9',
    '169.254.169.254',
    '172.31.0.1',
    '192.168.1.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '64:ff9b::10.0.0.1',
    '2002:7f00:1::',
    'fd00::1',
    'fe80::1%eth0',
    'ff02::1',
    'nonsense',
  ])('%s is a private address', address => assert.ok(isPrivateAddress(address)))

  test.each(['1.1.1.1', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8'])(
    '%s is a public address',
    address => assert.ok(!isPrivateAddress(address)),
  )

  test('the address of a link is told apart, also within IPv6', () => {
    assert.ok(isLinkLocal('169.254.169.254') && isLinkLocal('::ffff:169.254.169.254') && isLinkLocal('fe80::1'))
    assert.ok(!isLinkLocal('10.0.0.1') && !isLinkLocal('::1'))
  })
})

test('nothing is left on the disk when the snapshot is closed', async () => {
  const { readdir } = await import('node:fs/promises')
  const opened = await openApi({ url: api.url, ...rows({}) })
  const snapshot = (await opened.adapter.tables?.openSnapshot(never)) as Snapshot
  const shape: TableShape = { remote: 'rows', columns: [], key: [] }
  await readAll(snapshot, shape)
  await snapshot.close()
  await opened.adapter.close()
  const { stateDir } = opened
  assert.deepEqual(await readdir(`${stateDir}/spool`), [])
  await opened.close()
})
