import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import net from 'node:net'
import { afterEach, describe, test } from 'vitest'
import ssh2, { type Connection, type SFTPWrapper } from 'ssh2'
import { realEnv } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import { Secret } from '../../../core/secret.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import type { Storage } from '../contract.ts'
import { fingerprintOf, knownKeys } from './host-keys.ts'
import { openStorage } from './open.ts'

const signal = new AbortController().signal
const ending: (() => void)[] = []
const hostKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs1', format: 'pem' })

afterEach(() => {
  for (const end of ending.splice(0)) end()
})

describe('a hostile or broken server ends with an error, never with a hang', () => {
  test('nothing listens there', async () => {
    const port = await serve(() => {})
    ending.pop()?.()
    await rejectsWith('STORAGE_UNREACHABLE', open(port).list('', signal))
  })

  test('a server that never greets', async () => {
    await rejectsWith('STORAGE_TIMEOUT', open(await serve(() => {})).list('', signal))
  })

  test('a server whose banner has no end, in one line or in many', async () => {
    for (const text of ['x'.repeat(1000), `${'x'.repeat(1000)}\r\n`]) {
      const port = await serve(socket => {
        const more = (): void => void (!socket.destroyed && socket.write(text, () => setImmediate(more)))
        more()
      })
      await assert.rejects(
        open(port).list('', signal),
        error => isNaruError(error, 'STORAGE_UNREACHABLE') || isNaruError(error, 'STORAGE_TIMEOUT'),
      )
    }
  })

  test('a server that trickles its banner byte by byte', async () => {
    const port = await serve(socket => {
      const timer = setInterval(() => socket.write('S'), 20)
      socket.on('close', () => clearInterval(timer))
    })
    await rejectsWith('STORAGE_TIMEOUT', open(port).list('', signal))
  })

  test('a packet that says it has four gigabytes', async () => {
    const port = await serveRaw(channel => channel.write(Buffer.from('ffffffff02', 'hex')))
    await rejectsWith('STORAGE_UNREACHABLE', open(port).list('', signal))
  })

  test('a server that goes silent after the login', async () => {
    await rejectsWith(
      'STORAGE_TIMEOUT',
      open(await serveSftp(sftp => void sftp.on('OPENDIR', () => {}))).list('', signal),
    )
  })

  test('a connection that is cut in the middle of a question', async () => {
    const port = await serveSftp((sftp, connection) => sftp.on('OPENDIR', () => connection.end()))
    await rejectsWith('STORAGE_BROKEN', open(port).list('', signal))
  })

  test('names that lead outside are refused, the others are listed', async () => {
    let given = false
    const names = ['../evil.csv', '/etc/evil.csv', '..\\evil.csv', 'good.csv', '..', '.']
    const attrs = { mode: 0o100_644, uid: 0, gid: 0, size: 1, atime: 0, mtime: 0 }
    const port = await serveSftp(sftp => {
      sftp.on('OPENDIR', id => sftp.handle(id, Buffer.from('h')))
      sftp.on('READDIR', id => {
        if (given) return sftp.status(id, 1)
        given = true
        sftp.name(
          id,
          names.map(filename => ({ filename, longname: '', attrs })),
        )
      })
      sftp.on('CLOSE', id => sftp.status(id, 0))
    })
    const { files, refused } = await open(port).list('', signal)
    assert.deepEqual(
      files.map(file => file.key),
      ['good.csv'],
    )
    assert.deepEqual(refused, ['../evil.csv', '..\\evil.csv', '/etc/evil.csv'])
  })

  test('more bytes than were asked for are not taken for those behind', async () => {
    const port = await serveSftp(sftp => {
      sftp.on('STAT', id => sftp.attrs(id, { mode: 0o100_644, uid: 0, gid: 0, size: 9, atime: 0, mtime: 0 }))
      sftp.on('OPEN', id => sftp.handle(id, Buffer.from('h')))
      sftp.on('READ', id => sftp.data(id, Buffer.alloc(200_000)))
      sftp.on('CLOSE', id => sftp.status(id, 0))
    })
    for await (const chunk of open(port).get('a.csv', 0, signal)) {
      assert.ok(chunk.length <= 32 * 1024)
      break
    }
  })

  test('a server that gives less than it was asked for is read whole', async () => {
    const body = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251))
    const port = await serveSftp(sftp => {
      sftp.on('STAT', id => sftp.attrs(id, { mode: 0o100_644, uid: 0, gid: 0, size: body.length, atime: 0, mtime: 0 }))
      sftp.on('OPEN', id => sftp.handle(id, Buffer.from('h')))
      sftp.on('READ', (id, _handle, at, length) => {
        const part = body.subarray(at, at + Math.min(length, 7_001))
        if (part.length === 0) sftp.status(id, 1)
        else sftp.data(id, part)
      })
      sftp.on('CLOSE', id => sftp.status(id, 0))
    })
    assert.equal(Buffer.compare(await readAll(open(port), 'a.csv'), body), 0)
  })

  test('a wrong password is named without being shown', async () => {
    const port = await serveSftp(() => {}, 'another')
    await assert.rejects(open(port).list('', signal), error => {
      assert.match(String(error), /refused user "naru"/)
      assert.doesNotMatch(String(error), /s3cret/)
      return true
    })
  })

  test('a server whose key nobody vouched for gets no password', async () => {
    const port = await serveSftp(() => assert.fail('it got in'))
    await rejectsWith('STORAGE_HOST_KEY', open(port, '5s', `SHA256:${'A'.repeat(43)}`).list('', signal))
  })
})

test('known_hosts is read as ssh reads it', () => {
  const text = [
    '# comment',
    'plain.example ssh-ed25519 AAAA',
    'a.example,10.0.0.1 ssh-rsa BBBB extra words',
    '[b.example]:2222 ssh-ed25519 CCCC',
    '|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-ed25519 DDDD',
    '@revoked plain.example ssh-rsa AAAA',
    '@cert-authority *.example ssh-rsa EEEE',
    'plain.example ecdsa-sha2-nistp256 FFFF',
  ].join('\n')
  const keys = (host: string, port = 22): readonly string[] => knownKeys(text, host, port).map(it => it.key)
  assert.deepEqual(keys('plain.example'), ['FFFF'])
  assert.deepEqual(keys('10.0.0.1'), ['BBBB'])
  assert.deepEqual(keys('b.example', 2222), ['CCCC'])
  assert.deepEqual(keys('b.example'), [])
  assert.deepEqual(keys('192.168.1.61'), ['DDDD'])
  assert.deepEqual(keys('other.example'), [])
})

function open(port: number, timeout = '1s', expected = ourFingerprint()): Storage {
  let storage: Storage | undefined
  const opening = openStorage({
    usedBy: 'source "partner"',
    options: { url: { kind: 'secret', from: 'env', name: 'PARTNER' }, timeout, hostKey: expected },
    secret: () => new Secret(`sftp://naru:s3cret@127.0.0.1:${port}/in`),
    configDir: import.meta.dirname,
    env: realEnv(),
  }).then(it => (storage = it))
  ending.push(() => void storage?.close())
  // Opening connects nothing: the first call waits for it.
  return new Proxy({} as Storage, {
    get: (_, name: keyof Storage) =>
      name === 'get'
        ? async function* (...args: Parameters<Storage['get']>) {
            yield* (await opening).get(...args)
          }
        : async (...args: never[]) => ((await opening)[name] as (...given: never[]) => unknown)(...args),
  })
}

function ourFingerprint(): string {
  const key = ssh2.utils.parseKey(hostKey)
  if (key instanceof Error) throw key
  return fingerprintOf((Array.isArray(key) ? key[0] : key).getPublicSSH() as Buffer)
}

async function readAll(storage: Storage, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of storage.get(key, 0, signal)) chunks.push(chunk)
  return Buffer.concat(chunks)
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

/** A server that lets the right password in and does what it is told in a session of files. */
async function serveSftp(
  onSftp: (sftp: SFTPWrapper, connection: Connection) => void,
  password = 's3cret',
): Promise<number> {
  return serveSsh(password, (connection, session) => {
    session.on('sftp', accept => onSftp(accept(), connection))
  })
}

/** A server that answers the question for files with bytes of its own. */
async function serveRaw(onChannel: (channel: NodeJS.WritableStream) => void): Promise<number> {
  return serveSsh('s3cret', (_, session) => {
    session.on('subsystem', accept => onChannel(accept()))
  })
}

async function serveSsh(
  password: string,
  onSession: (connection: Connection, session: ssh2.Session) => void,
): Promise<number> {
  const server = new ssh2.Server({ hostKeys: [hostKey] }, connection => {
    ending.push(() => connection.end())
    connection.on('error', () => {})
    connection.on('authentication', it =>
      it.method === 'password' && it.password === password ? it.accept() : it.reject(['password']),
    )
    connection.on('ready', () => connection.on('session', accept => onSession(connection, accept())))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  ending.push(() => server.close())
  return (server.address() as net.AddressInfo).port
}
