import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { afterEach, describe, test } from 'vitest'
import { isNaruError, type Code } from '../../../core/errors.ts'
import { openMysql } from '../../../testing/mysql/database.ts'
import {
  greeting,
  packet,
  startFakeServer,
  textResult,
  type Behaviour,
  type FakeServer,
} from '../../../testing/mysql/fake-server.ts'
import { never } from '../conformance-support.ts'
import type { Adapter } from '../contract.ts'

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

/** What a server sends when it wants a file of its client. */
const localInfile = packet(1, Buffer.from('\u00fb/etc/passwd', 'latin1'))

interface Case {
  readonly name: string
  readonly behave: Behaviour
  readonly code: Code
  readonly words: string
  readonly options?: Readonly<Record<string, unknown>>
}

/** Answers the first questions as a server would, then does something else. */
const afterLogin =
  (then: (socket: Parameters<Behaviour>[0]) => void): Behaviour =>
  (socket, fake) =>
    fake.login(text => {
      if (text.startsWith('select version()')) socket.write(textResult(2, [['10.11.19-MariaDB', '16777216']]))
      else then(socket)
    })

const cases: readonly Case[] = [
  {
    name: 'a server that says nothing is given up after the time for a connection',
    behave: () => {},
    code: 'SOURCE_UNREACHABLE',
    words: '127.0.0.1',
  },
  {
    name: 'a greeting without an end is cut off',
    behave: socket => {
      const more = (): void => {
        if (!socket.destroyed && socket.write(Buffer.alloc(64 * 1024, 0x41))) setImmediate(more)
      }
      socket.on('drain', more)
      more()
    },
    code: 'SOURCE_UNREACHABLE',
    words: '127.0.0.1',
    options: { connectTimeout: '10s' },
  },
  {
    name: 'a greeting that is no MySQL is an error that names the source',
    behave: socket => socket.write('220 ftp.example.org ready\r\n'),
    code: 'SOURCE_UNREACHABLE',
    words: '"shop"',
  },
  {
    name: 'a server that hangs up during the login cannot be reached',
    behave: socket => socket.end(greeting()),
    code: 'SOURCE_UNREACHABLE',
    words: '127.0.0.1',
  },
  {
    name: 'a file of this machine that the server asks for out of the blue is never sent',
    behave: afterLogin(socket => socket.write(localInfile)),
    code: 'SOURCE_PROTOCOL',
    words: 'asked for a file',
  },
  {
    name: 'a packet of a length that no answer has is refused, not waited for',
    behave: afterLogin(socket => socket.write(Buffer.from([0xff, 0xff, 0xff, 1]))),
    code: 'SOURCE_PROTOCOL',
    words: '16777215 bytes',
  },
  {
    name: 'an answer that is longer than it says is refused',
    behave: afterLogin(socket => socket.write(Buffer.concat([textResult(1, [['a']]), textResult(1, [['b']])]))),
    code: 'SOURCE_PROTOCOL',
    words: 'more than the answer',
  },
  {
    name: 'a row whose values go over its end is refused',
    behave: afterLogin(socket => {
      const result = textResult(1, [['abc']])
      result[result.indexOf('\u0003abc')] = 250
      socket.write(result)
    }),
    code: 'SOURCE_PROTOCOL',
    words: 'do not fill',
  },
  {
    name: 'a server that hangs up in the middle of an answer cannot be reached',
    behave: afterLogin(socket => socket.end(textResult(1, [['abc']]).subarray(0, 20))),
    code: 'SOURCE_UNREACHABLE',
    words: 'closed the connection',
  },
  {
    name: 'a server that goes silent after the login is given up after the time for a statement',
    behave: afterLogin(() => {}),
    code: 'SOURCE_UNREACHABLE',
    words: '127.0.0.1',
    options: { statementTimeout: '50ms' },
  },
  {
    name: 'a server that cannot encrypt is not talked to in the clear',
    behave: socket => socket.write(greeting()),
    code: 'SOURCE_TLS',
    words: 'secure connection',
    options: { tls: 'verify' },
  },
  {
    name: 'a server that answers the start of encryption with noise is not asked again',
    behave: socket => {
      socket.write(greeting(true))
      socket.once('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    },
    code: 'SOURCE_TLS',
    words: '127.0.0.1',
    options: { tls: 'verify' },
  },
  {
    name: 'an older server is refused by its version',
    behave: (socket, fake) => fake.login(() => socket.write(textResult(2, [['5.5.5-10.1.48-MariaDB', '16777216']]))),
    code: 'SOURCE_VERSION',
    words: '10.5',
  },
]

describe('a hostile or broken server', { timeout: 120_000 }, () => {
  for (const { name, behave, code, words, options } of cases) {
    test(name, async () => {
      const fake = await startFake(behave)
      const adapter = await openMysql(fake.url, { connectTimeout: '300ms', ...options })
      ending.push(() => adapter.close())
      const describing = (adapter.describes as NonNullable<Adapter['describes']>).describe(never)
      const error = await describing.then(
        () => null,
        (reason: unknown) => reason,
      )
      assert.ok(isNaruError(error, code), String(error))
      assert.ok(error.message.includes(words), error.message)
      assert.ok(!inspect(error).includes('hunter2'))
      await fake.stop()
      assert.ok(!fake.received().includes('root:'))
    })
  }
})

async function startFake(behave: Behaviour): Promise<FakeServer> {
  const fake = await startFakeServer(behave)
  ending.push(fake.stop)
  return fake
}
