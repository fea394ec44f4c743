import assert from 'node:assert/strict'
import type net from 'node:net'
import { afterEach, describe, test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import { Secret } from '../../../core/secret.ts'
import { drip, flood, growth, startHostile } from '../../../testing/hostile/server.ts'
import { never, readAll } from '../conformance-support.ts'
import { openAdapter } from './open.ts'

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

type Behave = (socket: net.Socket) => void

/** Answers the login and the first questions as a server would, then does something else. */
const afterLogin =
  (then: Behave): Behave =>
  socket => {
    let left = ''
    socket.on('data', chunk => {
      left += chunk.toString('latin1')
      for (let at = left.search(/\*\d+\r\n/); at >= 0; at = left.search(/\*\d+\r\n/)) {
        const [, count = ''] = /\*(\d+)\r\n/.exec(left) ?? []
        const words = left.slice(at).match(new RegExp(`^\\*\\d+\\r\\n(?:\\$\\d+\\r\\n[^\\r]*\\r\\n){${count}}`))?.[0]
        if (words === undefined) return
        left = left.slice(at + words.length)
        answer(socket, words.toUpperCase(), then)
      }
    })
  }

function answer(socket: net.Socket, words: string, then: Behave): void {
  if (words.includes('\r\nAUTH\r\n') || words.includes('\r\nCLIENT\r\n') || words.includes('\r\nSELECT\r\n'))
    socket.write('+OK\r\n')
  else if (words.includes('\r\nHELLO\r\n')) socket.write('-ERR unknown command\r\n')
  else if (words.includes('\r\nSERVER\r\n')) socket.write('$19\r\nredis_version:7.0.0\r\n')
  else if (words.includes('\r\nCLUSTER\r\n')) socket.write('$17\r\ncluster_enabled:0\r\n')
  else if (words.includes('\r\nTIME\r\n')) socket.write('*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n')
  else then(socket)
}

const cases: readonly (readonly [string, Behave])[] = [
  ['it takes the connection and says nothing', () => {}],
  ['it sends without end before it is asked', socket => flood(socket, 'x'.repeat(65_536))],
  ['it answers what nobody asked, without end', socket => flood(socket, '+OK\r\n'.repeat(10_000))],
  ['it drips its first answer byte by byte', socket => drip(socket, '0')],
  ['it says that a text has terabytes', socket => flood(socket, `$9999999999999\r\n${'x'.repeat(65_536)}`)],
  ['it says that a list has a hundred billion elements', socket => void socket.write('*99999999999\r\n')],
  ['it says that a list has all elements that an array can', socket => void socket.write('*4294967295\r\n')],
  ['it nests lists without end', socket => flood(socket, '*1\r\n'.repeat(10_000))],
  ['it goes silent after the login', afterLogin(() => {})],
  ['it hangs up after the login', afterLogin(socket => socket.end())],
  [
    'it answers a scan without end',
    afterLogin(socket => flood(socket, `*2\r\n$1\r\n1\r\n*100000\r\n${'$3\r\nx:1\r\n'.repeat(8000)}`)),
  ],
  ['it answers a scan with something else', afterLogin(socket => void socket.write(':1\r\n'))],
  ['it answers a scan with a list of another shape', afterLogin(socket => void socket.write('*1\r\n:1\r\n'))],
  ['it sends us to another server', afterLogin(socket => void socket.write('-MOVED 1 10.0.0.1:6379\r\n'))],
]

describe('a hostile or broken server ends with an error in time, and with little memory', { timeout: 120_000 }, () => {
  for (const [name, behave] of cases) {
    test(name, async () => {
      const server = await startHostile(behave)
      ending.push(server.stop)
      const grown = await growth(() => assertRefused(readThrough(`redis://:hunter2@127.0.0.1:${server.port}/0`)))
      assert.ok(grown < 300 << 20, `${grown >> 20} MB`)
    })
  }

  test('it speaks no TLS where it must begin with it', async () => {
    for (const behave of [
      cases[0]?.[1] as Behave,
      (socket: net.Socket) => void socket.write('HTTP/1.1 400 Bad\r\n\r\n'),
    ]) {
      const server = await startHostile(behave)
      ending.push(server.stop)
      await assertRefused(readThrough(`rediss://:hunter2@127.0.0.1:${server.port}/0`))
    }
  })
})

async function assertRefused(reading: Promise<unknown>): Promise<void> {
  await assert.rejects(reading, error => {
    assert.ok(isNaruError(error) && /^SOURCE_(UNREACHABLE|READ|PROTOCOL|TLS)$/.test(error.code), String(error))
    assert.match(error.message, /"cache"/)
    assert.doesNotMatch(error.message, /hunter2/)
    return true
  })
}

async function readThrough(url: string): Promise<unknown> {
  const columns = ['id', 'v'].map(name => ({ name, type: { kind: 'text' as const }, nullable: true, personal: false }))
  const adapter = await openAdapter({
    source: 'cache',
    options: {
      url: { kind: 'secret', from: 'env', name: 'X' },
      tables: { x: { kind: 'strings', before: 'x:', after: '', key: 'id', columns, isAppended: false } },
      connectTimeout: '1s',
      answerTimeout: '1s',
    },
    secret: () => new Secret(url),
    configDir: process.cwd(),
    stateDir: process.cwd(),
    env: realEnv(),
  })
  ending.push(() => adapter.close())
  const snapshot = await adapter.tables?.openSnapshot(never)
  assert.ok(snapshot !== undefined)
  return readAll(snapshot, { remote: 'x', columns, key: ['id'] })
}
