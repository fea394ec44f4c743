import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, test } from 'vitest'
import { realEnv } from '../../core/env.ts'
import { Secret } from '../../core/secret.ts'
import { startFtp } from '../../testing/servers/ftp.ts'
import { checkPlanted, hostileNames, plantableInLines, plantableNames } from './conformance-names.ts'
import { storagePromises } from './conformance.ts'
import type { Storage } from './contract.ts'
import { openStorage } from './registry.ts'

const signal = new AbortController().signal
const ending: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

const rows: readonly { readonly kind: string; readonly open: (folder: string) => Promise<Storage> }[] = [
  { kind: 'local', open: folder => openStorage('local', given({ folder })) },
  { kind: 'ftp', open: openFtp },
]

for (const { kind, open } of rows) {
  describe(`storage ${kind} keeps the contract`, () => {
    for (const promise of storagePromises) {
      test(promise.name, async () => {
        const storage = await open(await makeFolder())
        ending.push(() => storage.close())
        if (promise.when?.(storage) === false) return
        await promise.check(storage)
      })
    }
  })
}

for (const { kind, open } of rows) {
  test(`${kind}: hostile names that lie in the folder are listed as refused, the others as files`, async () => {
    const folder = await makeFolder()
    const planted = kind === 'ftp' ? plantableInLines : plantableNames
    for (const { name } of planted) await writeFile(path.join(folder, name), 'x')
    const storage = await open(folder)
    ending.push(() => storage.close())
    await checkPlanted(storage, planted, signal)
  })
}

test('the table of names covers more than sixty', () => {
  assert.ok(hostileNames.length >= 60)
  assert.equal(new Set(hostileNames.map(it => it.name)).size, hostileNames.length)
})

test('local: a link that leads out of the folder is refused, one that stays inside is a file', async () => {
  const folder = await makeFolder()
  const root = path.join(folder, 'root')
  await mkdir(root)
  await writeFile(path.join(folder, 'outside.csv'), 'secret')
  await writeFile(path.join(root, 'inside.csv'), 'fine')
  await symlink(path.join(folder, 'outside.csv'), path.join(root, 'out.csv'))
  await symlink('inside.csv', path.join(root, 'in.csv'))
  const storage = await openStorage('local', given({ folder: root }))
  const { files, refused } = await storage.list('', signal)
  assert.deepEqual(
    files.map(file => file.key),
    ['in.csv', 'inside.csv'],
  )
  assert.deepEqual(refused, ['out.csv'])
})

test('ftp: a connection that the server cut while idle is replaced', async () => {
  const folder = await makeFolder()
  await writeFile(path.join(folder, 'a.csv'), 'x')
  const cut: (() => void)[] = []
  const storage = await openFtp(folder, socket => cut.push(() => socket.destroy()))
  ending.push(() => storage.close())
  assert.equal((await storage.stat('a.csv', signal)).bytes, 1)
  for (const end of cut.splice(0)) end()
  assert.equal((await storage.stat('a.csv', signal)).bytes, 1)
})

/** A real FTP server on loopback; `onSocket` sees each control connection, through a relay in front of it. */
async function openFtp(folder: string, onSocket?: (socket: net.Socket) => void): Promise<Storage> {
  const server = await startFtp({ root: folder, user: 'u', password: 'p' })
  ending.push(() => server.stop())
  const port = onSocket === undefined ? server.port : await relay(server.port, onSocket)
  return openStorage('ftp', given({ url: { kind: 'secret', from: 'env', name: 'URL' } }, `ftp://u:p@127.0.0.1:${port}`))
}

async function relay(to: number, onSocket: (socket: net.Socket) => void): Promise<number> {
  const server = net.createServer(near => {
    const far = net.connect(to, '127.0.0.1')
    for (const socket of [near, far]) socket.on('error', () => {})
    near.pipe(far).pipe(near)
    near.on('close', () => far.destroy())
    onSocket(near)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  ending.push(() => new Promise(resolve => server.close(resolve)))
  return (server.address() as net.AddressInfo).port
}

function given(options: Record<string, unknown>, secret = ''): Parameters<typeof openStorage>[1] {
  return {
    usedBy: 'source "partner"',
    options,
    secret: () => new Secret(secret),
    configDir: import.meta.dirname,
    env: realEnv(),
  }
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-storage-'))
  ending.push(() => rm(folder, { recursive: true, force: true }))
  return folder
}
