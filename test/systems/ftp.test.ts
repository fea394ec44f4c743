import assert from 'node:assert/strict'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { realEnv } from '../../src/core/env.ts'
import { Secret } from '../../src/core/secret.ts'
import { checkPlanted, plantableInLines } from '../../src/services/storage/conformance-names.ts'
import { storagePromises } from '../../src/services/storage/conformance.ts'
import type { Storage } from '../../src/services/storage/contract.ts'
import { openStorage } from '../../src/services/storage/registry.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { startVsftpd, type Vsftpd } from '../servers/vsftpd.ts'

const signal = new AbortController().signal
const servers: Partial<Record<'none' | 'explicit' | 'implicit', Vsftpd>> = {}
const schemes = { none: 'ftp', explicit: 'ftps', implicit: 'ftps-implicit' } as const
const open: Storage[] = []

beforeAll(async () => {
  for (const tls of ['none', 'explicit', 'implicit'] as const) servers[tls] = await startVsftpd(tls)
})
afterAll(async () => {
  for (const server of Object.values(servers)) await server.stop()
})
afterEach(async () => {
  for (const storage of open.splice(0)) await storage.close()
})

interface Given {
  readonly scheme?: string
  readonly ca?: string | null
  readonly password?: string
  readonly host?: string
  readonly nameEncoding?: string
}

async function openOn(server: Vsftpd, box: string, given: Given = {}): Promise<Storage> {
  const { scheme = 'ftp', host = '127.0.0.1', password = server.password } = given
  const secrets: Record<string, string> = {
    URL: `${scheme}://${server.user}:${encodeURIComponent(password)}@${host}:${server.port}/${box}`,
    CA: given.ca ?? server.certificate,
  }
  const secret = (name: string): object => ({ kind: 'secret', from: 'env', name })
  const storage = await openStorage('ftp', {
    usedBy: 'source "partner"',
    options: {
      url: secret('URL'),
      ...(given.ca === null ? {} : { ca: secret('CA') }),
      ...(given.nameEncoding === undefined ? {} : { nameEncoding: given.nameEncoding }),
      timeout: '10s',
    },
    secret: ref => new Secret(secrets[ref.name] as string),
    configDir: import.meta.dirname,
    env: realEnv(),
  })
  open.push(storage)
  return storage
}

function serverFor(tls: keyof typeof schemes): Vsftpd {
  return servers[tls] as Vsftpd
}

for (const tls of ['none', 'explicit', 'implicit'] as const) {
  describe(`storage ftp keeps the contract on vsftpd, TLS ${tls}`, () => {
    for (const promise of storagePromises) {
      test(promise.name, async () => {
        const server = serverFor(tls)
        const storage = await openOn(server, server.makeBox().remote, { scheme: schemes[tls] })
        if (promise.when?.(storage) === false) return
        await promise.check(storage)
      })
    }
  })
}

describe('a connection that is not safe is none', () => {
  test('a certificate that no known authority signed', async () => {
    const server = serverFor('explicit')
    await rejectsWith('STORAGE_TLS', (await openOn(server, '', { scheme: 'ftps', ca: null })).list('', signal))
    const implicit = serverFor('implicit')
    await rejectsWith(
      'STORAGE_TLS',
      (await openOn(implicit, '', { scheme: 'ftps-implicit', ca: null })).list('', signal),
    )
  })

  test('a certificate of another host', async () => {
    const storage = await openOn(serverFor('explicit'), '', { scheme: 'ftps', host: 'localhost' })
    await rejectsWith('STORAGE_TLS', storage.list('', signal))
  })

  test('a server without TLS is not spoken to in the clear', async () => {
    await rejectsWith('STORAGE_TLS', (await openOn(serverFor('none'), '', { scheme: 'ftps' })).list('', signal))
  })

  test('a server that demands TLS refuses a plain login', async () => {
    await rejectsWith('STORAGE_LOGIN', (await openOn(serverFor('explicit'), '')).list('', signal))
  })

  test('a wrong password is refused over TLS too', async () => {
    const storage = await openOn(serverFor('explicit'), '', { scheme: 'ftps', password: 'wrong' })
    await rejectsWith('STORAGE_LOGIN', storage.list('', signal))
  })
})

describe('names in the encoding of the server', () => {
  // 인천.csv in code page 949, and a name that is no text in it.
  const korean = Buffer.from('c0ced7b52e637376', 'hex')
  const broken = Buffer.from('c020ff2e637376', 'hex')

  test('are read and written as they are declared', async () => {
    const server = serverFor('none')
    const box = server.makeBox()
    const at = (name: Buffer): Buffer => Buffer.concat([Buffer.from(`${box.local}/`), name])
    await writeFile(at(korean), 'a')
    await writeFile(at(broken), 'b')
    const storage = await openOn(server, box.remote, { nameEncoding: 'cp949' })
    const { files, refused } = await storage.list('', signal)
    const name = files[0]?.key as string
    assert.match(name, /^인.\.csv$/)
    assert.equal(files.length, 1)
    assert.equal(refused.length, 1)
    assert.equal((await storage.stat(name, signal)).bytes, 1)
    await storage.put('똠방각하.csv', (async function* () {})(), signal)
    assert.deepEqual((await storage.list('', signal)).files.map(file => file.key).sort(), ['똠방각하.csv', name])
    await rejectsWith('PATH_OUTSIDE', (async () => storage.stat('😀.csv', signal))())
  })

  test('folders too: they are entered, read, written and created under their names', async () => {
    for (const tls of ['none', 'explicit'] as const) {
      const server = serverFor(tls)
      const box = server.makeBox()
      // 한글 in code page 949, as the name of a folder.
      const folder = Buffer.concat([Buffer.from(`${box.local}/`), Buffer.from('c7d1b1db', 'hex')])
      await mkdir(folder)
      await chmod(folder, 0o777)
      await writeFile(Buffer.concat([folder, Buffer.from('/'), korean]), 'in a folder')
      const storage = await openOn(server, box.remote, { nameEncoding: 'euc-kr', scheme: schemes[tls] })
      const { files, refused } = await storage.list('', signal, it => it === '한글')
      assert.deepEqual(refused, [])
      assert.equal(files.length, 1)
      assert.equal(await textOf(storage, files[0]?.key as string), 'in a folder')
      await storage.put('새 폴더/주문.csv', bodyOf('x,y'), signal)
      assert.equal(await textOf(storage, '새 폴더/주문.csv'), 'x,y')
    }
  })

  test('that are no UTF-8 are refused where UTF-8 is declared', async () => {
    const server = serverFor('none')
    const box = server.makeBox()
    await writeFile(Buffer.concat([Buffer.from(`${box.local}/`), korean]), 'a')
    const { files, refused } = await (await openOn(server, box.remote)).list('', signal)
    assert.deepEqual(files, [])
    assert.equal(refused.length, 1)
  })
})

test('a link to a file is a file; one to a folder, or that leads out, is refused and not followed', async () => {
  const server = serverFor('none')
  const box = server.makeBox()
  await writeFile(path.join(box.local, 'a.csv'), 'a')
  await mkdir(path.join(box.local, 'sub'))
  await symlink('a.csv', path.join(box.local, 'link.csv'))
  await symlink('sub', path.join(box.local, 'folder'))
  await symlink('..', path.join(box.local, 'up'))
  await symlink('/etc/passwd', path.join(box.local, 'out.csv'))
  const entered: string[] = []
  const { files, refused } = await (await openOn(server, box.remote)).list('', signal, it => entered.push(it) > 0)
  assert.deepEqual(
    files.map(file => file.key),
    ['a.csv', 'link.csv'],
  )
  assert.deepEqual([...refused].sort(), ['folder', 'out.csv', 'up'])
  assert.deepEqual(entered, ['sub'])
})

test('a file that is being put is in no listing before it is whole, and a broken put leaves none', async () => {
  const server = serverFor('explicit')
  const box = server.makeBox()
  const storage = await openOn(server, box.remote, { scheme: 'ftps' })
  const seen: (readonly string[])[] = []
  const body = (async function* () {
    yield Buffer.alloc(100_000, 'a')
    seen.push((await storage.list('', signal)).files.map(file => file.key))
    yield Buffer.from('end')
  })()
  await storage.put('a.csv', body, signal)
  assert.deepEqual(seen, [[]])
  assert.equal((await storage.stat('a.csv', signal)).bytes, 100_003)
})

test('hostile names that lie in the folder are listed as refused, the others as files', async () => {
  const server = serverFor('none')
  const box = server.makeBox()
  for (const { name } of plantableInLines) await writeFile(path.join(box.local, name), 'x')
  await checkPlanted(await openOn(server, box.remote), plantableInLines, signal)
})

async function* bodyOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

async function textOf(storage: Storage, key: string): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of storage.get(key, 0, signal)) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}
