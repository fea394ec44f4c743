import { fail, isNaruError, messageOf } from '../../../core/errors.ts'
import { httpStatusOf, type Bucket } from './bucket.ts'

/** Parts of one upload that the protocol allows. */
const partsMax = 10_000

/** Parts that are sent at the same time. */
const partsAtOnce = 2

/** An upload has this many times the limit of an answer: a part of 8 MiB goes over a line of 30 kB/s. */
const uploadPatience = 10

/** How often a conditional put is tried again when the store says that another one is under way. */
const conflictsMax = 10

/** What is sent, and where to. */
interface Upload {
  readonly key: string
  readonly name: string
  readonly body: AsyncIterable<Uint8Array>
  /** Only when there is no object of that name: the store sees to it when the last byte is there. */
  readonly ifAbsent: boolean
  /** Also where the body fits into one part. */
  readonly inParts?: boolean
}

/**
 * Sends a body: in one piece when it fits into one part, otherwise in parts, of which nothing is visible until the last
 * answer. A body that breaks takes its parts back; those of a killed process stay, see `removeAbandoned`.
 */
export async function upload(bucket: Bucket, object: Upload, signal: AbortSignal): Promise<void> {
  const parts = cut(object.body, bucket.server.partBytes)[Symbol.asyncIterator]()
  const first = await parts.next()
  const second = first.done === true ? first : await parts.next()
  const head = [first, second].flatMap(part => (part.done === true ? [] : [part.value]))
  if (second.done === true && object.inParts !== true)
    return putWhole(bucket, object, head[0] ?? Buffer.alloc(0), signal)
  const { key, name, ifAbsent } = object
  const { driver } = bucket.server
  const at = { Bucket: bucket.server.bucket, Key: name }
  const begun = await bucket.send(key, new driver.CreateMultipartUploadCommand(at), signal, { what: 'a new upload' })
  const id = { ...at, UploadId: begun.UploadId }
  try {
    const sent = await sendParts(bucket, { key, id }, head, parts, signal)
    const complete = { ...id, MultipartUpload: { Parts: sent }, ...conditionOf(ifAbsent) }
    const how = { what: 'the end of an upload', ms: bucket.server.timeoutMs * uploadPatience, once: ifAbsent }
    await bucket.send(key, new driver.CompleteMultipartUploadCommand(complete), signal, how)
  } catch (error) {
    await takeBack(bucket, key, id, error)
  }
}

function conditionOf(ifAbsent: boolean): { readonly IfNoneMatch?: '*' } {
  return ifAbsent ? { IfNoneMatch: '*' } : {}
}

async function putWhole(
  bucket: Bucket,
  { key, name, ifAbsent }: Pick<Upload, 'key' | 'name' | 'ifAbsent'>,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const { driver, timeoutMs, env } = bucket.server
  const put = { Bucket: bucket.server.bucket, Key: name, Body: body, ContentLength: body.length }
  const how = { what: 'an upload', ms: timeoutMs * uploadPatience, once: ifAbsent }
  for (let conflicts = 0; ; conflicts++) {
    try {
      await bucket.send(key, new driver.PutObjectCommand({ ...put, ...conditionOf(ifAbsent) }), signal, how)
      return
    } catch (error) {
      // 409: another put of this key is under way, and nobody has won yet.
      const isConflict = isNaruError(error, 'STORAGE_BROKEN') && httpStatusOf(error.cause) === 409
      if (!isConflict || conflicts === conflictsMax) throw error
      await env.clock.sleep(50 * (conflicts + 1), signal)
    }
  }
}

interface UploadId {
  readonly Bucket: string
  readonly Key: string
  readonly UploadId: string | undefined
}

async function sendParts(
  bucket: Bucket,
  { key, id }: { readonly key: string; readonly id: UploadId },
  head: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
  signal: AbortSignal,
): Promise<{ PartNumber: number; ETag: string | undefined }[]> {
  const { driver, timeoutMs, partBytes } = bucket.server
  const ahead: Promise<{ PartNumber: number; ETag: string | undefined }>[] = []
  const sent: { PartNumber: number; ETag: string | undefined }[] = []
  const give = async (part: Uint8Array): Promise<void> => {
    const PartNumber = sent.length + ahead.length + 1
    if (PartNumber > partsMax)
      throw fail('PUT_TOO_LARGE', { key, bytes: partBytes * PartNumber, max: partBytes * partsMax })
    const command = new driver.UploadPartCommand({ ...id, PartNumber, Body: part, ContentLength: part.length })
    const how = { what: 'an upload', ms: timeoutMs * uploadPatience }
    const answer = bucket.send(key, command, signal, how).then(({ ETag }) => ({ PartNumber, ETag }))
    answer.catch(() => undefined) // heard when its turn comes, or never after another failed
    ahead.push(answer)
    if (ahead.length >= partsAtOnce) sent.push(await (ahead.shift() as (typeof ahead)[0]))
  }
  try {
    for (const part of head) await give(part)
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) await give(next.value)
    while (ahead.length > 0) sent.push(await (ahead.shift() as (typeof ahead)[0]))
    return sent
  } catch (error) {
    // Nothing may arrive after the upload is taken back: it would stay, and be paid for.
    await Promise.allSettled(ahead)
    throw error
  }
}

/** Removes what was sent, also after a cancelled put, and throws the error that ended it. */
async function takeBack(bucket: Bucket, key: string, id: UploadId, error: unknown): Promise<never> {
  const command = new bucket.server.driver.AbortMultipartUploadCommand(id)
  try {
    await bucket.send(key, command, new AbortController().signal, { what: 'the end of a broken upload' })
  } catch (second) {
    const problem = `${messageOf(error)}; its parts stay in the store until they are removed as abandoned`
    throw fail('STORAGE_BROKEN', { storage: bucket.server.usedBy, key, problem }, { cause: second })
  }
  throw error
}

/** Cuts a body into parts of exactly `bytes`, the last one shorter. */
async function* cut(body: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let part = Buffer.allocUnsafe(bytes)
  let filled = 0
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, at + bytes - filled)
      part.set(piece, filled)
      filled += piece.length
      at += piece.length
      if (filled === bytes) {
        yield part
        part = Buffer.allocUnsafe(bytes)
        filled = 0
      }
    }
  }
  if (filled > 0) yield part.subarray(0, filled)
}
