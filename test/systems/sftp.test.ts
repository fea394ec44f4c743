import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { realEnv, type Env } from '../../src/core/env.ts'
import { isNaruError } from '../../src/core/errors.ts'
import { Secret } from '../../src/core/secret.ts'
import { checkPlanted, plantableNames } from '../../src/services/storage/conformance-names.ts'
import { storagePromises } from '../../src/services/storage/conformance.ts'
import type { Storage } from '../../src/services/storage/contract.ts'
import { openStorage } from '../../src/services/storage/registry.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { startSshd, type Sshd } from '../servers/sshd.ts'
import { makeFolder } from '../servers/server.ts'

const signal = new AbortController().signal
let sshd: Sshd
const open: Storage[] = []

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd.stop())
afterEach(async () => {
  for (const storage of open.splice(0)) await storage.close()
})

interface Given {
  readonly key?: 'privateKey' | 'lockedKey'
  readonly passphrase?: string
  readonly hostKey?: string | null
  readonly user?: string
  readonly env?: Env
}

async function openOn(folder: string, given: Given = {}): Promise<Storage> {
  const secrets: Record<string, string> = {
    URL: `sftp://${given.user ?? sshd.user}@127.0.0.1:${sshd.port}${folder}`,
    KEY: sshd[given.key ?? 'privateKey'],
    PASSPHRASE: given.passphrase ?? '',
  }
  const secret = (name: string): object => ({ kind: 'secret', from: 'env', name })
  const storage = await openStorage('sftp', {
    usedBy: 'source "partner"',
    options: {
      url: secret('URL'),
      privateKey: secret('KEY'),
      ...(given.passphrase === undefined ? {} : { passphrase: secret('PASSPHRASE') }),
      ...(given.hostKey === null ? {} : { hostKey: given.hostKey ?? sshd.hostKey }),
      timeout: '10s',
    },
    secret: ref => new Secret(secrets[ref.name] as string),
    configDir: import.meta.dirname,
    env: given.env ?? realEnv(),
  })
  open.push(storage)
  return storage
}

describe('storage sftp keeps the contract on OpenSSH', () => {
  for (const promise of storagePromises) {
    test(promise.name, async () => {
      const storage = await openOn(makeFolder('sftp'))
      if (promise.when?.(storage) === false) return
      await promise.check(storage)
    })
  }
})

test('a server whose key nobody vouched for is refused with the fingerprint to put in', async () => {
  const env = { ...realEnv(), variables: { HOME: makeFolder('home') } }
  const storage = await openOn(makeFolder('sftp'), { hostKey: null, env })
  await assert.rejects(storage.list('', signal), error => {
    assert.ok(isNaruError(error, 'STORAGE_HOST_KEY'), String(error))
    assert.ok(error.fix.includes(`hostKey: '${sshd.hostKey}'`))
    return true
  })
})

test('a server with another key than the one named is refused', async () => {
  const storage = await openOn(makeFolder('sftp'), { hostKey: `SHA256:${'A'.repeat(43)}` })
  await rejectsWith('STORAGE_HOST_KEY', storage.list('', signal))
})

test('a server that stands in known_hosts is believed', async () => {
  const home = makeFolder('home')
  await mkdir(path.join(home, '.ssh'))
  await writeFile(path.join(home, '.ssh', 'known_hosts'), `# ours\nother ssh-rsa AAAA\n${sshd.knownHosts}`)
  const storage = await openOn(makeFolder('sftp'), { hostKey: null, env: { ...realEnv(), variables: { HOME: home } } })
  assert.deepEqual((await storage.list('', signal)).files, [])
})

test('a private key under a passphrase opens with it, and only with it', async () => {
  const folder = makeFolder('sftp')
  const right = await openOn(folder, { key: 'lockedKey', passphrase: 'open sesame' })
  assert.deepEqual((await right.list('', signal)).files, [])
  for (const passphrase of ['wrong', undefined]) {
    const wrong = await openOn(folder, { key: 'lockedKey', ...(passphrase === undefined ? {} : { passphrase }) })
    await rejectsWith('STORAGE_LOGIN', wrong.list('', signal))
  }
})

test('a user whom the server does not let in is named', async () => {
  await assert.rejects((await openOn(makeFolder('sftp'), { user: 'nobody-here' })).list('', signal), error => {
    assert.ok(isNaruError(error, 'STORAGE_LOGIN'), String(error))
    assert.match(error.message, /nobody-here/)
    return true
  })
})

test('a link to a file is a file, one to a folder is refused', async () => {
  const folder = makeFolder('sftp')
  await writeFile(path.join(folder, 'a.csv'), 'a')
  await symlink('a.csv', path.join(folder, 'link.csv'))
  await symlink('..', path.join(folder, 'up'))
  const { files, refused } = await (await openOn(folder)).list('', signal, () => true)
  assert.deepEqual(
    files.map(file => file.key),
    ['a.csv', 'link.csv'],
  )
  assert.deepEqual(refused, ['up'])
})

test('names that are no UTF-8 are listed as refused', async () => {
  const folder = makeFolder('sftp')
  await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xc0, 0xce, 0x2e, 0x63])]), 'a')
  const { files, refused } = await (await openOn(folder)).list('', signal)
  assert.deepEqual(files, [])
  assert.equal(refused.length, 1)
})

test('hostile names that lie in the folder are listed as refused, the others as files', async () => {
  const folder = makeFolder('sftp')
  for (const { name } of plantableNames) await writeFile(path.join(folder, name), 'x')
  await checkPlanted(await openOn(folder), plantableNames, signal)
})
