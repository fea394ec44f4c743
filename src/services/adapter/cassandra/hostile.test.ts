import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, describe, test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import { readOptions } from '../../../core/implementation.ts'
import { Secret } from '../../../core/secret.ts'
import { drip, flood, growth, startHostile } from '../../../testing/hostile/server.ts'
import { never } from '../conformance-support.ts'
import { guardDriver } from './guard.ts'
import { cassandra } from './index.ts'
import { openAdapter } from './open.ts'

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

type Behave = (socket: net.Socket) => void

/** A frame of the protocol, version 4: what it is, and of which request. */
function frame(opcode: number, stream: number, body: Buffer | string, length = Buffer.byteLength(body)): Buffer {
  const head = Buffer.from([0x84, 0, 0, 0, opcode, 0, 0, 0, 0])
  head.writeInt16BE(stream, 2)
  head.writeUInt32BE(length, 5)
  return Buffer.concat([head, Buffer.from(body)])
}
const opcodes = { error: 0, ready: 2, result: 8, options: 5, startup: 1, event: 12, query: 7 } as const

/** Lets everybody in, and gives the questions that follow to `then`. */
const afterLogin =
  (then: (socket: net.Socket, stream: number) => void): Behave =>
  socket =>
    socket.on('data', chunk => {
      for (let at = 0; at + 9 <= chunk.length; at += 9 + chunk.readUInt32BE(at + 5)) {
        const [opcode, stream] = [chunk[at + 4], chunk.readInt16BE(at + 2)]
        if (opcode === opcodes.startup) socket.write(frame(opcodes.ready, stream, ''))
        else if (opcode === opcodes.options) socket.write(frame(6, stream, '\0\0'))
        else then(socket, stream)
      }
    })

/** Those that say little end by the time, those that say too much by the bytes, long before. */
const cases: readonly (readonly [string, Behave, flood?: 'flood'])[] = [
  ['it takes the connection and says nothing', () => {}],
  ['it sends without end before it is asked', socket => flood(socket, 'SSH-2.0 '.repeat(8192)), 'flood'],
  [
    'it answers what nobody asked, without end',
    socket => flood(socket, frame(opcodes.event, -1, 'x'.repeat(60_000))),
    'flood',
  ],
  ['it drips its first answer byte by byte', socket => drip(socket, '\u0084')],
  [
    'it says that an answer has two gigabytes',
    socket => void socket.write(frame(opcodes.result, 0, '', 0x7f_ff_ff_ff)),
  ],
  [
    'it says so and sends them',
    afterLogin((socket, stream) => {
      socket.write(frame(opcodes.result, stream, '\0\0\0\u0002', 0x7f_ff_ff_ff))
      flood(socket, Buffer.alloc(1 << 18))
    }),
    'flood',
  ],
  ['it goes silent after the login', afterLogin(() => {})],
  ['it hangs up after the login', afterLogin(socket => socket.end())],
  [
    'it answers a question with noise',
    afterLogin((socket, stream) => void socket.write(frame(opcodes.result, stream, 'noise'))),
  ],
  ['it says something else', socket => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
]

describe('a hostile or broken cluster ends with an error in time, and with little memory', { timeout: 120_000 }, () => {
  for (const [name, behave, kind] of cases) {
    test(name, async () => {
      const server = await startHostile(behave)
      ending.push(server.stop)
      const url = `cassandra://me:hunter2@127.0.0.1:${server.port}/x`
      const time = kind === 'flood' ? '50s' : '1s'
      const grown = await growth(() =>
        assertRefused(snapshotOf(url, time), kind === 'flood' ? /asked for|bytes came/ : /./),
      )
      assert.ok(grown < 700 << 20, `${grown >> 20} MB`)
    })
  }

  test('it speaks no TLS where it must begin with it', async () => {
    for (const behave of [
      cases[0]?.[1] as Behave,
      (socket: net.Socket) => void socket.write('HTTP/1.1 400 Bad\r\n\r\n'),
    ]) {
      const server = await startHostile(behave)
      ending.push(server.stop)
      await assertRefused(snapshotOf(`cassandras://me:hunter2@127.0.0.1:${server.port}/x`))
    }
  })
})

async function assertRefused(opening: Promise<unknown>, says = /./): Promise<void> {
  await assert.rejects(opening, error => {
    assert.ok(isNaruError(error) && /^SOURCE_(UNREACHABLE|READ|PROTOCOL|TLS)$/.test(error.code), String(error))
    assert.match(error.message, /"shop"/)
    assert.match(error.message, says)
    assert.doesNotMatch(error.message, /hunter2/)
    return true
  })
}

async function snapshotOf(url: string, time = '1s'): Promise<unknown> {
  const given = { url: { kind: 'secret', from: 'env', name: 'X' }, connectTimeout: time, answerTimeout: time }
  const adapter = await openAdapter({
    source: 'shop',
    options: readOptions(cassandra.options, given, 'source "shop"'),
    secret: () => new Secret(url),
    configDir: process.cwd(),
    stateDir: process.cwd(),
    env: realEnv(),
  })
  ending.push(() => adapter.close())
  return adapter.tables?.openSnapshot(never)
}

test('a driver that cannot be watched is refused', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'naru-driver-'))
  ending.push(() => rm(folder, { recursive: true }))
  const driver = path.join(folder, 'node_modules/cassandra-driver')
  await mkdir(path.join(driver, 'lib'), { recursive: true })
  await writeFile(path.join(driver, 'index.js'), '')
  await writeFile(path.join(driver, 'lib/connection.js'), 'module.exports = class Connection {}')
  assert.throws(() => guardDriver(folder), /no handleResult to watch/)
})
