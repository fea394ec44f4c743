import * as fc from 'fast-check'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { realEnv } from '../../core/env.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { channelOver, pack, unpack, type Channel } from './wire.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-wire-'))
})
afterAll(() => rm(folder, { recursive: true }))

const never = new AbortController().signal
let places = 0

/** A channel and the bare socket of its peer. */
async function pair(lineBytesMax = 1_000): Promise<{ readonly channel: Channel; readonly peer: net.Socket }> {
  const address = path.join(folder, `s${places++}`)
  const server = net.createServer().listen(address)
  await once(server, 'listening')
  const peer = net.connect(address)
  peer.on('error', () => {})
  const [accepted] = (await once(server, 'connection')) as [net.Socket]
  const channel = channelOver(realEnv(), accepted, { lineBytesMax, peer: 'the peer' })
  onTestFinished(() => {
    peer.destroy()
    channel.close()
    server.close()
  })
  return { channel, peer }
}

const cell = fc.oneof(
  fc.bigInt(),
  fc.double(),
  fc.string({ unit: 'binary' }),
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.oneof(fc.bigInt(), fc.double(), fc.string())),
)

test('every fact comes out as it went in: large integers, NaN, infinity, -0, text that looks like them', () => {
  fc.assert(
    fc.property(fc.array(fc.array(cell)), rows => {
      expect(unpack(pack({ rows }))).toEqual({ rows })
    }),
  )
  const edge = { a: -0, b: Number.NaN, c: -Infinity, d: 2n ** 63n, e: '$int', f: '{"$int":"1"}', g: '\u2028\ud800' }
  expect(unpack(pack(edge))).toEqual(edge)
})

test('lines come in order, in whatever pieces their bytes arrive', async () => {
  const { channel, peer } = await pair()
  const lines = [{ a: 'é한' }, { b: [1, 2] }, { c: 3n }]
  for (const byte of Buffer.from(lines.map(line => `${pack(line)}\n`).join(''))) peer.write(Buffer.of(byte))
  for (const line of lines) expect(await channel.receive(20_000, never)).toEqual(line)
})

test.each([
  ['a line over the limit', 'x'.repeat(1_001)],
  ['a line over the limit, with its end', `{"a":"${'x'.repeat(2_000)}"}\n`],
  ['no JSON', 'GET / HTTP/1.1\r\n'],
  ['JSON that is no object', '[1]\n'],
  ['bytes', Buffer.of(0, 255, 254, 10)],
])('%s is refused, and nothing behind it is read', async (_, bytes) => {
  const { channel, peer } = await pair()
  peer.write(bytes)
  await rejectsWith('SERVER_REQUEST', channel.receive(20_000, never))
  peer.write('{"a":1}\n')
  await rejectsWith('DEADLINE', channel.receive(100, never))
})

test('a peer that floods is not read on, so that it costs no memory', async () => {
  const { channel, peer } = await pair()
  const line = `{"a":1}\n`.repeat(100)
  let taken = true
  for (let i = 0; i < 20_000 && taken; i++) taken = peer.write(line)
  expect(taken).toBe(false)
  expect(await channel.receive(20_000, never)).toEqual({ a: 1 })
})

test('the end of the peer is told: to who waits, to who sends, and by the signal', async () => {
  const { channel, peer } = await pair()
  const waiting = channel.receive(20_000, never)
  peer.destroy()
  expect(await waiting).toBeNull()
  expect(channel.away.aborted).toBe(true)
  await rejectsWith('SERVER_GONE', channel.send({ a: 1 }), 'the peer')
})

test('closing after the peer went leaves nothing to wait for: the process may end', async () => {
  const { channel, peer } = await pair()
  peer.destroy()
  expect(await channel.receive(10_000, never)).toBe(null)
  const timers = (): number => process.getActiveResourcesInfo().filter(it => it === 'Timeout').length
  const before = timers()
  channel.close()
  expect(timers()).toBe(before)
})

test('a wait ends with its signal', async () => {
  const { channel } = await pair()
  const controller = new AbortController()
  const waiting = channel.receive(20_000, controller.signal)
  controller.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
})

test('sending waits for a slow peer', async () => {
  const { channel, peer } = await pair()
  peer.pause()
  const text = 'x'.repeat(100_000)
  let sent = 0
  const sending = (async () => {
    for (; sent < 100; sent++) await channel.send({ text })
  })()
  await expect.poll(() => sent).toBeGreaterThan(0)
  expect(sent).toBeLessThan(100)
  peer.resume()
  await sending
})
