import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import type { Storage } from '../../storage/contract.ts'
import type { FilesShape, RemoteFile, TakenFile } from '../contract-files.ts'
import { takeFile } from './take.ts'

const signal = new AbortController().signal
const body = Buffer.from(Array.from({ length: 10_000 }, (_, i) => i % 251))
const file: RemoteFile = { name: 'a.csv', bytes: body.length, modifiedMicros: 1_000_000n }
const shape: FilesShape = {
  glob: '*',
  columns: [],
  format: { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] },
  encoding: 'utf-8',
  checksum: 'none',
}
const ending: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

const broken = (): Error => fail('STORAGE_BROKEN', { storage: 'a test', key: 'a.csv', problem: 'cut' })

test('a transfer that breaks goes on behind the last good byte', async () => {
  const asked: number[] = []
  const taken = await take(async function* (from) {
    asked.push(from)
    yield body.subarray(from, from + 3000)
    if (from + 3000 < body.length) throw broken()
  })
  assert.deepEqual(asked, [0, 3000, 6000, 9000])
  assert.equal(taken.contentHash, createHash('sha256').update(body).digest('hex'))
  assert.equal(Buffer.compare(await readFile(taken.localPath), body), 0)
})

test('a transfer that breaks again and again is given up', async () => {
  let asked = 0
  const taking = take(async function* (from) {
    asked++
    yield body.subarray(from, from + 1)
    throw broken()
  })
  await rejectsWith('STORAGE_BROKEN', taking)
  assert.equal(asked, 6)
})

test('a transfer that never began is not tried again in the same run', async () => {
  let asked = 0
  const taking = take(async function* () {
    asked++
    yield* []
    throw broken()
  })
  await rejectsWith('STORAGE_BROKEN', taking)
  assert.equal(asked, 1)
})

test('a file that was replaced while its transfer was broken is not put together from two', async () => {
  const taking = take(
    async function* (from) {
      yield body.subarray(from, from + 3000)
      throw broken()
    },
    { ...file, modifiedMicros: 9_000_000n },
  )
  await rejectsWith('FILE_CHANGED', taking)
})

test('a file without end stops at the size that was listed, and leaves nothing', async () => {
  let given = 0
  const taking = take(async function* () {
    for (;;) {
      given += 1000
      yield body.subarray(0, 1000)
    }
  })
  await rejectsWith('FILE_CHANGED', taking)
  assert.ok(given <= body.length + 1000)
})

async function take(get: (from: number) => AsyncGenerator<Uint8Array>, now: RemoteFile = file): Promise<TakenFile> {
  const spool = await mkdtemp(path.join(os.tmpdir(), 'naru-take-'))
  ending.push(() => rm(spool, { recursive: true, force: true }))
  const storage: Pick<Storage, 'get' | 'stat'> = {
    get: (_key, from) => get(from),
    stat: async key => ({ key, bytes: now.bytes, modifiedMicros: now.modifiedMicros }),
  }
  const folder = { env: realEnv(), storage: storage as Storage, settleMs: 0 }
  try {
    return await takeFile(folder, { file, files: shape, spool, number: 1 }, signal)
  } catch (error) {
    assert.deepEqual(await readdir(spool), [])
    throw error
  }
}
