import { withDeadline } from '../../../core/env.ts'
import { fail, isNaruError } from '../../../core/errors.ts'
import { durationMs, loadDriver, readOptions } from '../../../core/implementation.ts'
import type { Secret, SecretRef } from '../../../core/secret.ts'
import { watch } from '../body.ts'
import type { Listing, OpenStorage, Storage, StorageOpening, Stored } from '../contract.ts'
import { checkKey, puttingKey } from '../key.ts'
import { Bucket, httpStatusOf, type Driver, type Server } from './bucket.ts'
import { s3 } from './index.ts'
import { listObjects, listUploads, secondsMicros } from './listing.ts'
import { upload } from './upload.ts'

/** Opens a prefix of a bucket; the connection is made by the first call. */
export const openStorage: OpenStorage = async given => {
  const driver = await loadDriver<Driver>('@aws-sdk/client-s3', {
    service: 'storage',
    kind: 's3',
    from: given.configDir,
    own: () => import('@aws-sdk/client-s3'),
  })
  return new S3Storage(new Bucket(readServer(given, driver)))
}

function readServer(given: StorageOpening, driver: Driver): Server {
  const { usedBy } = given
  const options = readOptions(s3.options, given.options, usedBy)
  const url = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(
    given.secret(options.url, `${usedBy}, option "url"`).reveal(),
  )
  const invalid = (option: string, problem: string): Error => fail('OPTION_INVALID', { where: usedBy, option, problem })
  if (url === null) throw invalid('url', 'must hold an address such as s3://bucket/folder')
  if (options.endpoint !== undefined && !/^https?:\/\//.test(options.endpoint)) {
    throw invalid('endpoint', 'must be an address such as https://store.example.com:9000')
  }
  if ((options.accessKeyId === undefined) !== (options.secretAccessKey === undefined)) {
    throw invalid('accessKeyId', 'and "secretAccessKey" must be given together')
  }
  const folder = (url[2] ?? '').replace(/\/+$/, '')
  if (folder !== '') checkKey(folder, `s3://${url[1]}`)
  const reveal = (name: string, ref: SecretRef | undefined): Secret | undefined =>
    ref === undefined ? undefined : given.secret(ref, `${usedBy}, option "${name}"`)
  return {
    env: given.env,
    driver,
    usedBy,
    bucket: url[1] as string,
    prefix: folder === '' ? '' : `${folder}/`,
    endpoint: options.endpoint,
    region: options.region,
    pathStyle: options.pathStyle,
    accessKeyId: reveal('accessKeyId', options.accessKeyId),
    secretAccessKey: reveal('secretAccessKey', options.secretAccessKey),
    sessionToken: reveal('sessionToken', options.sessionToken),
    ca: reveal('ca', options.ca)?.reveal(),
    partBytes: options.partBytes,
    timeoutMs: durationMs(options.timeout ?? '30s') ?? 30_000,
  }
}

class S3Storage implements Storage {
  readonly kind = 's3'
  readonly #bucket: Bucket
  /** The store was seen to keep the condition of a put. */
  #keepsConditions = false

  constructor(bucket: Bucket) {
    this.#bucket = bucket
  }

  async list(folder: string, signal: AbortSignal, enter?: (folder: string) => boolean): Promise<Listing> {
    if (folder !== '') this.#check(folder)
    return listObjects(this.#bucket, { folder, enter }, signal)
  }

  async stat(key: string, signal: AbortSignal): Promise<Stored> {
    const command = new this.#bucket.server.driver.HeadObjectCommand(this.#at(key))
    const head = await this.#bucket.send(key, command, signal, { what: 'a question for the size' })
    return { key, bytes: head.ContentLength ?? 0, modifiedMicros: secondsMicros(head.LastModified) ?? 0n }
  }

  async *get(key: string, from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { env, timeoutMs, driver, usedBy } = this.#bucket.server
    const what = 'the next bytes'
    const command = new driver.GetObjectCommand({ ...this.#at(key), ...(from > 0 ? { Range: `bytes=${from}-` } : {}) })
    const answer = await this.#bucket.send(key, command, signal, { what }).catch((error: unknown) => {
      // There are no bytes behind the last one, which the protocol calls an error.
      if (isNaruError(error, 'STORAGE_BROKEN') && httpStatusOf(error.cause) === 416) return null
      throw error
    })
    if (answer === null) return
    const body = answer.Body as unknown as AsyncIterable<Uint8Array> & { destroy(): void }
    const chunks = body[Symbol.asyncIterator]()
    let bytes = 0
    try {
      for (;;) {
        const next = await withDeadline(env, { what, ms: timeoutMs, signal }, () => chunks.next())
        if (next.done === true) break
        bytes += next.value.length
        yield next.value
      }
    } catch (error) {
      signal.throwIfAborted()
      throw this.#bucket.translate(error, key, what)
    } finally {
      body.destroy()
    }
    if (answer.ContentLength !== undefined && bytes !== answer.ContentLength) {
      const problem = `${bytes} bytes came of ${answer.ContentLength}`
      throw fail('STORAGE_BROKEN', { storage: usedBy, key, problem })
    }
  }

  put(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored> {
    return this.#put(key, body, signal, false)
  }

  async putIfAbsent(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored> {
    await this.#proveConditions(key, signal)
    return this.#put(key, body, signal, true)
  }

  async #put(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal, ifAbsent: boolean): Promise<Stored> {
    const { Key: name } = this.#at(key)
    const watched = watch(body)
    try {
      signal.throwIfAborted()
      await upload(this.#bucket, { key, name, body: watched.body, ifAbsent }, signal)
    } catch (error) {
      throw watched.failure() ?? error
    }
    return this.stat(key, signal)
  }

  /**
   * Some stores take the condition and do not keep it: a hidden object is put twice, whole and in parts, and the second
   * put must be refused. Nothing of the user's is at stake when it is not.
   */
  async #proveConditions(key: string, signal: AbortSignal): Promise<void> {
    if (this.#keepsConditions) return
    const { env, usedBy } = this.#bucket.server
    const probe = puttingKey(key, env.random.uuid())
    const { Key: name } = this.#at(probe)
    const put = (inParts: boolean): Promise<void> =>
      upload(this.#bucket, { key: probe, name, body: oneByte(), ifAbsent: true, inParts }, signal)
    try {
      await put(false)
      for (const inParts of [false, true]) {
        const isKept = await put(inParts).then(
          () => false,
          (error: unknown) => isNaruError(error, 'STORAGE_EXISTS') || Promise.reject(error as Error),
        )
        if (!isKept) throw fail('STORAGE_UNCONDITIONAL', { storage: usedBy, address: this.#bucket.address() })
      }
      this.#keepsConditions = true
    } finally {
      await this.remove(probe, new AbortController().signal).catch(() => undefined)
    }
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    const command = new this.#bucket.server.driver.DeleteObjectCommand(this.#at(key))
    try {
      await this.#bucket.send(key, command, signal, { what: 'a removal' })
    } catch (error) {
      if (!isNaruError(error, 'STORAGE_NOT_FOUND')) throw error
    }
  }

  async removeAbandoned(olderThanMs: number, signal: AbortSignal): Promise<readonly string[]> {
    const { driver, bucket, env } = this.#bucket.server
    const before = env.clock.nowMicros() / 1000n - BigInt(olderThanMs)
    const removed: string[] = []
    for (const { key, name, id, begunMs } of await listUploads(this.#bucket, signal)) {
      if (begunMs > before) continue
      const command = new driver.AbortMultipartUploadCommand({ Bucket: bucket, Key: name, UploadId: id })
      try {
        await this.#bucket.send(key, command, signal, { what: 'the removal of an abandoned upload' })
        removed.push(key)
      } catch (error) {
        if (!isNaruError(error, 'STORAGE_NOT_FOUND')) throw error // ended by somebody else meanwhile
      }
    }
    return removed
  }

  async close(): Promise<void> {
    this.#bucket.close()
  }

  #at(key: string): { readonly Bucket: string; readonly Key: string } {
    this.#check(key)
    return { Bucket: this.#bucket.server.bucket, Key: `${this.#bucket.server.prefix}${key}` }
  }

  #check(key: string): void {
    this.#bucket.refuseClosed()
    checkKey(key, `s3://${this.#bucket.server.bucket}/${this.#bucket.server.prefix}`)
  }
}

async function* oneByte(): AsyncIterable<Uint8Array> {
  yield Buffer.from('0')
}
