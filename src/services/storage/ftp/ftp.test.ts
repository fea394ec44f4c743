import assert from 'node:assert/strict'
import net from 'node:net'
import { afterEach, describe, test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import { Secret } from '../../../core/secret.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import type { Storage } from '../contract.ts'
import { openStorage } from './open.ts'

const signal = new AbortController().signal
const ending: (() => void)[] = []

afterEach(() => {
  for (const end of ending.splice(0)) end()
})

describe('a hostile or broken server ends with an error, never with a hang', () => {
  test('nothing listens there', async () => {
    const port = await freePort()
    await rejectsWith('STORAGE_UNREACHABLE', (await open(port)).list('', signal))
  })

  test('a server that never greets', async () => {
    const port = await serve(() => {})
    await rejectsWith('STORAGE_TIMEOUT', (await open(port)).list('', signal))
  })

  test('a server whose banner has no end', async () => {
    const port = await serve(socket => {
      const line = `220-${'x'.repeat(1000)}\r\n`
      const more = (): void => void (!socket.destroyed && socket.write(line, () => setImmediate(more)))
      more()
    })
    await rejectsWith('STORAGE_UNREACHABLE', (await open(port)).list('', signal))
  })

  test('a server that trickles its banner byte by byte', async () => {
    const port = await serve(socket => {
      const timer = setInterval(() => socket.write('2'), 20)
      socket.on('close', () => clearInterval(timer))
    })
    await rejectsWith('STORAGE_TIMEOUT', (await open(port)).list('', signal))
  })

  test('a server that goes silent after the login', async () => {
    const port = await serve(answering({ greetsOnly: true }))
    await rejectsWith('STORAGE_TIMEOUT', (await open(port)).list('', signal))
  })

  test('a transfer that stops in the middle', async () => {
    const port = await serve(answering({ data: socket => void socket.write('the first bytes') }))
    await rejectsWith('STORAGE_TIMEOUT', readAll(await open(port), 'a.csv'))
  })

  test('a transfer that is cut in the middle is not taken for a short file', async () => {
    const port = await serve(answering({ data: socket => socket.end('the first bytes'), lastReply: '426 cut' }))
    await rejectsWith('STORAGE_BROKEN', readAll(await open(port), 'a.csv'))
  })

  test('a listing without end stops at its limit', { timeout: 180_000 }, async () => {
    const port = await serve(
      answering({
        data: socket => {
          const block = '-rw-r--r-- 1 a a 1 Jan 01 00:00 file.csv\r\n'.repeat(2000)
          const more = (): void => void (!socket.destroyed && socket.write(block, () => setImmediate(more)))
          more()
        },
      }),
    )
    await assert.rejects(
      (await open(port, '20s')).list('', signal),
      error => isNaruError(error, 'STORAGE_BROKEN') || isNaruError(error, 'STORAGE_TIMEOUT'),
    )
  })

  test('names that lead outside are refused, the others are listed', async () => {
    const listing = ['../evil.csv', '/etc/evil.csv', '..\\evil.csv', 'good.csv']
      .map(name => `-rw-r--r-- 1 a a 7 Jan 01 00:00 ${name}\r\n`)
      .join('')
    const port = await serve(answering({ data: socket => socket.end(listing), lastReply: '226 done' }))
    const { files, refused } = await (await open(port)).list('', signal)
    assert.deepEqual(
      files.map(file => file.key),
      ['good.csv'],
    )
    assert.deepEqual(refused, ['../evil.csv', '..\\evil.csv', '/etc/evil.csv'])
  })

  test('a data connection to another machine is not made', async () => {
    const asked: string[] = []
    const port = await serve(answering({ passive: '10,255,255,1,4,1', onCommand: verb => asked.push(verb) }))
    await assert.rejects((await open(port)).list('', signal), error => {
      assert.ok(isNaruError(error, 'STORAGE_BROKEN'))
      assert.match(error.message, /another host/)
      return true
    })
    assert.ok(!asked.includes('LIST'))
  })

  test('a data connection that opens and stays silent', async () => {
    const port = await serve(answering({ data: () => {} }))
    await rejectsWith('STORAGE_TIMEOUT', (await open(port)).list('', signal))
    await rejectsWith('STORAGE_TIMEOUT', readAll(await open(port), 'a.csv'))
  })

  test('a server that refuses TLS gets neither user nor password', async () => {
    const asked: string[] = []
    const port = await serve(answering({ onCommand: verb => asked.push(verb), refuseTls: true }))
    await rejectsWith('STORAGE_TLS', (await open(port, '400ms', 'ftps')).list('', signal))
    assert.deepEqual(asked, ['AUTH'])
  })

  test('a server that agrees to TLS and then says nothing, or floods', async () => {
    for (const then of ['silent', 'flood'] as const) {
      const port = await serve(socket => {
        socket.write('220 hello\r\n')
        socket.once('data', () => {
          socket.write('234 go on\r\n')
          const more = (): void =>
            void (!socket.destroyed && socket.write('x'.repeat(10_000), () => setImmediate(more)))
          if (then === 'flood') more()
        })
      })
      await assert.rejects(
        (await open(port, '400ms', 'ftps')).list('', signal),
        error => isNaruError(error, 'STORAGE_TLS') || isNaruError(error, 'STORAGE_TIMEOUT'),
      )
    }
  })

  test('a server that speaks no TLS where it must begin with it', async () => {
    const port = await serve(answering({}))
    await assert.rejects(
      (await open(port, '400ms', 'ftps-implicit')).list('', signal),
      error => isNaruError(error, 'STORAGE_TLS') || isNaruError(error, 'STORAGE_TIMEOUT'),
    )
  })

  test('a wrong password is named without being shown', async () => {
    const port = await serve(answering({ refuseLogin: true }))
    await assert.rejects((await open(port)).list('', signal), error => {
      assert.ok(isNaruError(error, 'STORAGE_LOGIN'))
      assert.match(error.message, /"naru"/)
      assert.doesNotMatch(error.message, /s3cret/)
      return true
    })
  })
})

interface Manners {
  readonly greetsOnly?: boolean
  readonly refuseLogin?: boolean
  readonly data?: (socket: net.Socket) => void
  readonly lastReply?: string
  /** Address of an answer to PASV; EPSV is refused then. */
  readonly passive?: string
  readonly refuseTls?: boolean
  readonly onCommand?: (verb: string) => void
}

/** A small FTP server with the given manners: enough of the protocol for a login and one transfer. */
function answering(manners: Manners): (socket: net.Socket) => void {
  return socket => {
    let dataSocket: Promise<net.Socket> | null = null
    socket.write('220 hello\r\n')
    socket.on('data', text => {
      for (const line of String(text).split('\r\n').filter(Boolean)) void answer(line.split(' ')[0] as string)
    })
    const answer = async (verb: string): Promise<void> => {
      manners.onCommand?.(verb)
      if (manners.greetsOnly === true && verb !== 'OPTS') return
      if (verb === 'USER') socket.write('331 password\r\n')
      else if (verb === 'PASS') {
        socket.write(manners.refuseLogin === true ? '530 s3cret is wrong\r\n' : '230 welcome\r\n')
      } else if (verb === 'FEAT') socket.write('211 none\r\n')
      else if (verb === 'AUTH' && manners.refuseTls === true) socket.write('502 no such thing\r\n')
      else if (verb === 'EPSV' && manners.passive !== undefined) socket.write('500 what\r\n')
      else if (verb === 'PASV') socket.write(`227 Entering Passive Mode (${manners.passive})\r\n`)
      else if (verb === 'EPSV') {
        const opened = await openDataPort()
        dataSocket = opened.socket
        socket.write(`229 Entering Extended Passive Mode (|||${opened.port}|)\r\n`)
      } else if (verb === 'LIST' || verb === 'RETR') {
        socket.write('150 here it comes\r\n')
        manners.data?.(await (dataSocket as Promise<net.Socket>))
        if (manners.lastReply !== undefined) socket.write(`${manners.lastReply}\r\n`)
      } else socket.write('200 ok\r\n')
    }
  }
}

async function openDataPort(): Promise<{ port: number; socket: Promise<net.Socket> }> {
  let connected: (socket: net.Socket) => void = () => {}
  const socket = new Promise<net.Socket>(resolve => (connected = resolve))
  return { port: await serve(it => connected(it)), socket }
}

async function serve(onSocket: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    onSocket(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  ending.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as net.AddressInfo).port
}

async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

async function open(port: number, timeout = '400ms', scheme = 'ftp'): Promise<Storage> {
  const storage = await openStorage({
    usedBy: 'source "partner"',
    options: { url: { kind: 'secret', from: 'env', name: 'PARTNER' }, timeout },
    secret: () => new Secret(`${scheme}://naru:s3cret@127.0.0.1:${port}`),
    configDir: import.meta.dirname,
    env: realEnv(),
  })
  ending.push(() => void storage.close())
  return storage
}

async function readAll(storage: Storage, key: string): Promise<number> {
  let bytes = 0
  for await (const chunk of storage.get(key, 0, signal)) bytes += chunk.length
  return bytes
}
