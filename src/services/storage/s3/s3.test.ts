import assert from 'node:assert/strict'
import http from 'node:http'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import { Secret } from '../../../core/secret.ts'
import { drip, flood, startHostile } from '../../../testing/hostile/server.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { hostileNames } from '../conformance-names.ts'
import type { Storage } from '../contract.ts'
import { openStorage } from './open.ts'

const signal = new AbortController().signal
const ending: (() => Promise<unknown>)[] = []

const warnings: Error[] = []
const note = (warning: Error): number => warnings.push(warning)
beforeAll(() => void process.on('warning', note))
afterAll(() => void process.off('warning', note))

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void

describe('a hostile or broken store ends with an error, never with a hang', () => {
  test('a redirect to another address is not followed', async () => {
    let reached = 0
    const inner = await serve((_, response) => {
      reached++
      response.end('secret')
    })
    for (const status of [301, 302, 307, 308]) {
      const endpoint = await serve((_, response) => {
        response.writeHead(status, { location: `${inner}/in/a.csv` })
        response.end()
      })
      const store = await open(endpoint)
      await rejectsWith('STORAGE_UNREACHABLE', store.list('', signal))
      await assert.rejects(readAll(store, 'a.csv'))
      await assert.rejects(store.put('a.csv', body(), signal))
    }
    assert.equal(reached, 0)
  })

  test('a listing without end stops at its limit', async () => {
    let sent = 0
    const endpoint = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/xml' })
      response.write('<?xml version="1.0"?><ListBucketResult>')
      const line = `<Contents><Key>${'x'.repeat(60_000)}</Key></Contents>`
      const more = (): void => {
        sent += line.length
        if (!response.destroyed) response.write(line, () => setImmediate(more))
      }
      more()
    })
    await assert.rejects((await open(endpoint, { timeout: '20s' })).list('', signal), error =>
      isNaruError(error, 'STORAGE_BROKEN'),
    )
    assert.ok(sent < 200_000_000)
  })

  test('a head without end, or one that drips', async () => {
    for (const behave of [
      (socket: net.Socket) => flood(socket, `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`),
      (socket: net.Socket) => drip(socket, 'H'),
    ]) {
      const server = await startHostile(socket => void socket.once('data', () => behave(socket)))
      ending.push(server.stop)
      const store = await open(`http://127.0.0.1:${server.port}`, { timeout: '1s' })
      await assert.rejects(
        store.list('', signal),
        error => isNaruError(error) && /^STORAGE_(BROKEN|TIMEOUT|UNREACHABLE)$/.test(error.code),
      )
    }
  })

  test('a store that says its answer has a terabyte, and sends it', async () => {
    const endpoint = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/xml', 'content-length': '1000000000000' })
      const more = (): void =>
        void (!response.destroyed && response.write('x'.repeat(60_000), () => setImmediate(more)))
      more()
    })
    await rejectsWith('STORAGE_BROKEN', (await open(endpoint, { timeout: '20s' })).list('', signal))
  })

  test('a store that gives the same page again and again', async () => {
    const page = listing(
      [{ key: 'a.csv' }],
      '<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>',
    )
    const store = await open(await serve((_, response) => response.end(page)))
    await rejectsWith('STORAGE_BROKEN', store.list('', signal))
  })

  test('a store that never answers, or stops in the middle of a file', async () => {
    await rejectsWith('STORAGE_TIMEOUT', (await open(await serve(() => {}), { timeout: '300ms' })).list('', signal))
    const half = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('the first bytes')
    })
    await rejectsWith('STORAGE_TIMEOUT', readAll(await open(half, { timeout: '300ms' }), 'a.csv'))
  })

  test('a file that is cut in the middle is not taken for a short one', async () => {
    const cut = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('the first bytes', () => response.destroy())
    })
    await rejectsWith('STORAGE_BROKEN', readAll(await open(cut), 'a.csv'))
  })

  test('nothing listens there', async () => {
    const endpoint = await serve(() => {})
    await ending.pop()?.()
    await rejectsWith('STORAGE_UNREACHABLE', (await open(endpoint)).list('', signal))
  })
})

test('keys that lead outside or are another name are refused, the others are listed', async () => {
  // XML holds neither control characters nor half letters: stores send them percent-encoded, or not at all.
  const names = hostileNames.filter(({ name }) => name !== '' && !/\p{Cs}|\/$/u.test(name) && name.length < 1024)
  const page = listing(names.map(({ name }) => ({ key: `in/${name}` })))
  const store = await open(await serve((_, response) => response.end(page)))
  const { files, refused } = await store.list('', signal, () => true)
  const expected = names.filter(it => it.verdict === 'kept').map(it => it.name)
  assert.deepEqual(files.map(file => file.key).sort(), expected.toSorted())
  assert.equal(refused.length, names.length - expected.length)
})

test('folders that lead outside are refused where folders are not entered', async () => {
  const prefixes = ['in/../', 'in/ok/', 'in//']
    .map(it => `<CommonPrefixes><Prefix>${it}</Prefix></CommonPrefixes>`)
    .join('')
  const store = await open(await serve((_, response) => response.end(listing([{ key: 'in/a.csv' }], prefixes))))
  const { files, refused } = await store.list('', signal)
  assert.deepEqual(
    files.map(file => file.key),
    ['a.csv'],
  )
  assert.deepEqual(refused, ['../', '/'])
})

test('a store that takes conditions and does not keep them is found out', async () => {
  const store = await open(await serve((_, response) => response.end()))
  await rejectsWith('STORAGE_UNCONDITIONAL', store.putIfAbsent?.('log/1', body(), signal) as Promise<unknown>)
})

test('a conditional put is sent once: a second one would lose against the first', async () => {
  let puts = 0
  const endpoint = await serve(({ method }, response) => {
    if (method === 'PUT') puts++
    response.writeHead(500)
    response.end()
  })
  await assert.rejects((await open(endpoint)).putIfAbsent?.('log/1', body(), signal) as Promise<unknown>)
  assert.equal(puts, 1)
})

test('a mistake in the options is named', async () => {
  const url = { kind: 'secret', from: 'env', name: 'URL' }
  for (const [options, address] of [
    [{ url }, 'https://bucket/in'],
    [{ url }, 's3://UPPER/in'],
    [{ url }, 's3://bucket/../in'],
    [{ url, endpoint: 'store.example.com' }, 's3://bucket'],
    [{ url, accessKeyId: url }, 's3://bucket'],
    [{ url, partBytes: 1000 }, 's3://bucket'],
  ] as const) {
    await assert.rejects(
      openStorage({ ...opening(address), options }),
      error => isNaruError(error, 'OPTION_INVALID') || isNaruError(error, 'PATH_OUTSIDE'),
    )
  }
})

test('the driver prints nothing of its own plans, and its switch is not left on', async () => {
  await open(await serve((_, response) => response.end()))
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(warnings, [])
  assert.equal(process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'], undefined)
})

function listing(keys: readonly { readonly key: string }[], more = ''): string {
  const encoded = keys.map(({ key }) => encodeURIComponent(key).replaceAll('%2F', '/'))
  const contents = encoded.map(
    key => `<Contents><Key>${key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>`,
  )
  const head = `<KeyCount>${keys.length}</KeyCount><EncodingType>url</EncodingType>`
  return `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>${head}${contents.join('')}${more}</ListBucketResult>`
}

async function* body(): AsyncIterable<Uint8Array> {
  yield Buffer.from('x')
}

async function serve(answer: Answer): Promise<string> {
  const server = http.createServer((request, response) => {
    response.on('error', () => {})
    request.resume()
    answer(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const port = (server.address() as AddressInfo).port
  ending.push(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  return `http://127.0.0.1:${port}`
}

function opening(address: string): Omit<Parameters<typeof openStorage>[0], 'options'> {
  return {
    usedBy: 'source "lake"',
    secret: ref => new Secret(ref.name === 'URL' ? address : ref.name),
    configDir: import.meta.dirname,
    env: realEnv(),
  }
}

async function open(endpoint: string, more: object = {}): Promise<Storage> {
  const secret = (name: string): object => ({ kind: 'secret', from: 'env', name })
  const keys = { accessKeyId: secret('ID'), secretAccessKey: secret('KEY') }
  const options = { url: secret('URL'), endpoint, ...keys, timeout: '5s', ...more }
  const storage = await openStorage({ ...opening('s3://bucket/in'), options })
  ending.push(() => storage.close())
  return storage
}

async function readAll(storage: Storage, key: string): Promise<number> {
  let bytes = 0
  for await (const chunk of storage.get(key, 0, signal)) bytes += chunk.length
  return bytes
}
