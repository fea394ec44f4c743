import assert from 'node:assert/strict'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import * as sdk from '@aws-sdk/client-s3'
import { realEnv } from '../../src/core/env.ts'
import { isNaruError } from '../../src/core/errors.ts'
import { Secret } from '../../src/core/secret.ts'
import { storagePromises } from '../../src/services/storage/conformance.ts'
import type { Storage } from '../../src/services/storage/contract.ts'
import { openStorage } from '../../src/services/storage/registry.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { startMinio, type Minio } from '../servers/minio.ts'

const signal = new AbortController().signal
let minio: Minio
let client: sdk.S3Client
let buckets = 0
const open: Storage[] = []

beforeAll(async () => {
  minio = await startMinio()
  const { endpoint, accessKeyId, secretAccessKey } = minio
  const credentials = { accessKeyId, secretAccessKey }
  client = new sdk.S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials })
})
afterAll(async () => {
  client?.destroy()
  await minio?.stop()
})
afterEach(async () => {
  for (const storage of open.splice(0)) await storage.close()
})

async function newBucket(): Promise<string> {
  const bucket = `naru-${++buckets}`
  await client.send(new sdk.CreateBucketCommand({ Bucket: bucket }))
  return bucket
}

async function openOn(
  path: string,
  given: { readonly secretKey?: string; readonly options?: object } = {},
): Promise<Storage> {
  const secrets: Record<string, string> = {
    URL: `s3://${path}`,
    ID: minio.accessKeyId,
    KEY: given.secretKey ?? minio.secretAccessKey,
  }
  const secret = (name: string): object => ({ kind: 'secret', from: 'env', name })
  const storage = await openStorage('s3', {
    usedBy: 'source "lake"',
    options: {
      url: secret('URL'),
      endpoint: minio.endpoint,
      accessKeyId: secret('ID'),
      secretAccessKey: secret('KEY'),
      partBytes: 5 * 1024 * 1024,
      ...given.options,
    },
    secret: ref => new Secret(secrets[ref.name] as string),
    configDir: import.meta.dirname,
    env: realEnv(),
  })
  open.push(storage)
  return storage
}

for (const [where, path] of [
  ['a bucket', ''],
  ['a prefix of a bucket', '/in/한 b'],
] as const) {
  describe(`storage s3 keeps the contract on MinIO, in ${where}`, () => {
    for (const promise of storagePromises) {
      test(promise.name, async () => {
        const storage = await openOn(`${await newBucket()}${path}`)
        if (promise.when?.(storage) === false) return
        await promise.check(storage)
      })
    }
  })
}

test('uploads that a killed process left are found and removed, and only those below the prefix', async () => {
  const bucket = await newBucket()
  const begin = (Key: string): Promise<unknown> =>
    client.send(new sdk.CreateMultipartUploadCommand({ Bucket: bucket, Key }))
  await begin('in/big 1.bin')
  await begin('in/sub/big2.bin')
  await begin('other/big3.bin')
  const storage = await openOn(`${bucket}/in`)
  assert.deepEqual((await storage.list('', signal, () => true)).files, [])
  assert.deepEqual(await storage.removeAbandoned?.(3_600_000, signal), [])
  assert.deepEqual([...((await storage.removeAbandoned?.(0, signal)) ?? [])].sort(), ['big 1.bin', 'sub/big2.bin'])
  assert.deepEqual(await storage.removeAbandoned?.(0, signal), [])
  assert.deepEqual(await (await openOn(bucket)).removeAbandoned?.(0, signal), ['other/big3.bin'])
})

test('a listing of many pages is whole', async () => {
  const bucket = await newBucket()
  const keys = Array.from({ length: 2_300 }, (_, i) => `dt=${i % 7}/part-${String(i).padStart(4, '0')}.csv`)
  for (let at = 0; at < keys.length; at += 50) {
    await Promise.all(
      keys.slice(at, at + 50).map(Key => client.send(new sdk.PutObjectCommand({ Bucket: bucket, Key, Body: 'x' }))),
    )
  }
  const storage = await openOn(bucket)
  const { files } = await storage.list('', signal, () => true)
  assert.deepEqual(
    files.map(file => file.key),
    keys.toSorted(),
  )
  const some = await storage.list('', signal, folder => folder === 'dt=3')
  assert.equal(some.files.length, keys.filter(key => key.startsWith('dt=3')).length)
})

test('a wrong secret key, and a bucket that is not there, are named without the key being shown', async () => {
  const storage = await openOn(await newBucket(), { secretKey: 'another secret' })
  await assert.rejects(storage.list('', signal), error => {
    assert.ok(isNaruError(error, 'STORAGE_LOGIN'), String(error))
    assert.match(error.message, /naru-test/)
    assert.doesNotMatch(error.message, /another secret/)
    return true
  })
  await rejectsWith('STORAGE_NOT_FOUND', (await openOn('no-such-bucket')).list('', signal))
})
