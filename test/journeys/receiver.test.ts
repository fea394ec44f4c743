import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../servers/server.ts'
import type { Going } from '../support/command.ts'
import { makeProject, type TestProject } from '../support/project.ts'

const secret = 'a-key-of-more-than-thirty-two-characters'

let project: TestProject
let port: number
let server: Going | undefined

const config = (options = ''): string => `import { defineConfig, duckdb, env, events, t } from 'naru'
const shop = events('shop', {
  secret: env('SHOP_SECRET'), port: ${port}, ${options}
  schema: {
    order: { key: ['id'], columns: { id: t.big(), item: t.text().null(), price: t.decimal(12, 2).null() } },
  },
})
export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: [shop] })
`

beforeEach(async () => {
  port = await freePort()
  project = await makeProject({ config: config(), variables: { SHOP_SECRET: secret } })
})

afterEach(async () => {
  server?.child.kill('SIGKILL')
  await server?.ended
  server = undefined
  await project.remove()
})

/** The server, once it takes events. */
async function start(): Promise<void> {
  server = project.start(['start', '--json'])
  for (;;) {
    const { stdout, stderr } = await project.naru(['status', '--json'])
    const { server: found } = JSON.parse(stdout) as { server: { live?: { tables: { state: string }[] } | null } | null }
    if (found?.live?.tables[0]?.state === 'live' && (await isListening())) return
    if (server.child.exitCode !== null) throw new Error(`${stderr}${(await server.ended).stdout}`)
  }
}

async function isListening(): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

async function kill(): Promise<void> {
  server?.child.kill('SIGKILL')
  await server?.ended
  server = undefined
}

interface Sent {
  readonly key?: string
  readonly seconds?: number
  readonly secret?: string
  /** Sent in place of what was signed. */
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

interface Answer {
  readonly status: number
  readonly text: string
}

let keys = 0

/** Sends an event as a sender does: again, with the same key, when it is not taken now. */
async function post(event: unknown, sent: Sent = {}): Promise<Answer> {
  const key = sent.key ?? `k${++keys}`
  for (let tries = 0; ; tries++) {
    try {
      const answer = await postOnce(event, { ...sent, key })
      if (answer.status !== 503 || tries > 400) return answer
    } catch (error) {
      if (tries > 400 || server === undefined) throw error
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

function postOnce(event: unknown, sent: Sent): Promise<Answer> {
  const text = typeof event === 'string' ? event : JSON.stringify(event)
  const { key = '' } = sent
  const seconds = sent.seconds ?? Math.floor(Date.now() / 1000)
  const hex = createHmac('sha256', sent.secret ?? secret)
    .update(`${seconds}\n${key}\n${text}`)
    .digest('hex')
  const headers = { 'naru-signature': `t=${seconds},v1=${hex}`, 'idempotency-key': key, ...sent.headers }
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', path: '/events', method: 'POST', headers }, response => {
      let answer = ''
      response.setEncoding('utf8').on('data', (part: string) => (answer += part))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: answer }))
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(sent.body ?? text)
  })
}

const order = (id: number | string, row: object = {}): object => ({
  table: 'order',
  op: 'insert',
  key: { id },
  row: { id, ...row },
})

/** The rows of the copy, once they are these. */
async function untilRows(expected: readonly unknown[]): Promise<void> {
  let last: unknown = null
  for (let tries = 0; tries < 100; tries++) {
    const ended = await project.naru(['sql', '--json', 'select id, item, price from staging.shop_order order by id'])
    last = ended.status === 0 ? (JSON.parse(ended.stdout) as { rows: unknown }).rows : ended.stderr
    if (JSON.stringify(last) === JSON.stringify(expected)) return
  }
  expect(last).toEqual(expected)
}

describe('events over HTTP', () => {
  test('become rows, updates and deletes, with every digit; what is wrong is refused with its reason', async () => {
    await start()
    const big =
      '{"table":"order","op":"insert","key":{"id":9007199254740993},"row":{"id":9007199254740993,"price":"0.10"}}'
    expect(await post(big)).toMatchObject({ status: 200 })
    expect(await post(order(1, { item: 'pen', price: '2.50' }))).toMatchObject({ status: 200 })
    expect(await post({ table: 'order', op: 'update', key: { id: 1 }, row: { price: '3.00' } })).toMatchObject({
      status: 200,
    })
    expect(await post(order(2))).toMatchObject({ status: 200 })
    expect(await post({ table: 'order', op: 'delete', key: { id: 2 } })).toMatchObject({ status: 200 })
    const wrong: readonly (readonly [unknown, string])[] = [
      ['{"table":', 'JSON'],
      ['[]', 'object'],
      [{ table: 'nobody', op: 'insert', key: { id: 1 }, row: { id: 1 } }, 'no table'],
      [{ table: 'order', op: 'upsert', key: { id: 1 }, row: { id: 1 } }, 'operation'],
      [{ table: 'order', op: 'insert', row: { id: 1 } }, 'key'],
      [order(3, { price: 'much' }), 'price'],
      [order(3, { colour: 'red' }), 'colour'],
      [{ ...order(3), more: 1 }, 'member'],
      ['{"table":"order","table":"order","op":"delete","key":{"id":1}}', 'two members'],
      [order('9223372036854775808'), 'id'],
    ]
    for (const [event, says] of wrong) {
      const { status, text } = await post(event)
      expect(status, text).toBe(422)
      expect(text).toContain(says)
    }
    // Rejects are counted with the next change behind them.
    expect(await post(order(5))).toMatchObject({ status: 200 })
    await untilRows([
      ['1', 'pen', '3.00'],
      ['5', null, null],
      ['9007199254740993', null, '0.10'],
    ])
    const { stdout } = await project.naru(['status', '--json'])
    const table = (JSON.parse(stdout) as { server: { live: { tables: { rejected: number }[] } } }).server.live.tables[0]
    expect(table?.rejected).toBeGreaterThanOrEqual(4)
  })

  test('are refused when they are forged, old, of another key or body, or too large', async () => {
    await project.configure(config('maxEventBytes: 2048, replayWindow: "1m",'))
    await start()
    const now = Math.floor(Date.now() / 1000)
    const refused: readonly (readonly [Promise<Answer>, number])[] = [
      [post(order(1), { secret: `${secret}!` }), 401],
      [post(order(1), { body: JSON.stringify(order(2)) }), 401],
      [post(order(1), { key: 'a', headers: { 'idempotency-key': 'b' } }), 401],
      [post(order(1), { seconds: now - 120 }), 401],
      [post(order(1), { seconds: now + 120 }), 401],
      [post(order(1), { headers: { 'naru-signature': 'v1=' } }), 401],
      [post(order(1), { headers: { 'idempotency-key': 'k'.repeat(201) } }), 400],
      [post(order(1, { item: 'x'.repeat(4000) })), 413],
    ]
    for (const [answer, status] of refused) expect(await answer).toMatchObject({ status })
    // Each kind is told once, and counted.
    await server?.says('answers 413 to a sender')
    const { stdout } = await project.naru(['status', '--json'])
    const source = (JSON.parse(stdout) as { server: { live: { sources: { refused: unknown }[] } } }).server.live
      .sources[0]
    expect(source?.refused).toEqual([
      { status: 400, count: 1, last: expect.stringContaining('idempotency-key') },
      { status: 401, count: 6, last: expect.any(String) },
      { status: 413, count: 1, last: expect.stringContaining('2048 bytes') },
    ])
    expect((await project.naru(['status'])).stdout).toMatch(/answer +times/)
    expect(await post(order(7))).toMatchObject({ status: 200 })
    await untilRows([['7', null, null]])
    server?.child.kill('SIGTERM')
    const told = (await server?.ended)?.stdout.match(/answers \d+ to a sender/g)
    expect(told?.toSorted()).toEqual([400, 401, 413].map(status => `answers ${status} to a sender`))
  })

  test('that come twice count once, also after a kill, and a kill loses none that was answered', async () => {
    await start()
    const first = await Promise.all(Array.from({ length: 20 }, (_, i) => post(order(i), { key: `e${i}` })))
    expect(first.map(it => it.status)).toEqual(first.map(() => 200))
    // What is being sent while it is killed may be answered or not.
    const later = Promise.allSettled(Array.from({ length: 20 }, (_, i) => post(order(i + 20), { key: `e${i + 20}` })))
    await kill()
    await later
    await start()
    // A second event with a key that was answered changes nothing, whatever it says.
    const again = await Promise.all(
      Array.from({ length: 20 }, (_, i) => post(order(i, { item: 'twice' }), { key: `e${i}` })),
    )
    expect(again.every(it => it.status === 200 && it.text.includes('"duplicate":true'))).toBe(true)
    for (let i = 20; i < 40; i++) expect(await post(order(i), { key: `e${i}` })).toMatchObject({ status: 200 })
    const expected = Array.from({ length: 40 }, (_, i) => [String(i), null, null])
    await untilRows(expected)
    const lines = await project.naru(['sql', '--json', 'select sum(rows_read) from naru.load'])
    expect((JSON.parse(lines.stdout) as { rows: unknown }).rows).toEqual([['40']])
  })

  test('are taken while others send their heads or bodies slowly', async () => {
    await project.configure(config('requestTimeout: "1s",'))
    await start()
    const slow = Array.from({ length: 20 }, (_, i) => {
      const socket = net.connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.resume()
      socket.write(
        i % 2 === 0
          ? 'POST /events HTTP/1.1\r\nhost: x\r\n'
          : 'POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{',
      )
      return once(socket, 'close')
    })
    expect(await post(order(1))).toMatchObject({ status: 200 })
    await Promise.all(slow)
  })
})

test('an address that others reach, and a short secret, are refused', async () => {
  await project.configure(config('host: "0.0.0.0",'))
  const wide = await project.naru(['check'])
  expect(wide.status, wide.stderr).not.toBe(0)
  expect(wide.stdout + wide.stderr).toContain('must be 127.0.0.1 or ::1')
  await project.configure(config())
  const short = await project.naru(['check'], { SHOP_SECRET: 'short' })
  expect(short.status, short.stderr).not.toBe(0)
  expect(short.stdout + short.stderr).toContain('32 characters')
  const well = await project.naru(['check'])
  expect(well.status, well.stdout + well.stderr).toBe(0)
})
