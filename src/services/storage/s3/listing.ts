import type { ListMultipartUploadsCommandOutput, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import { fail } from '../../../core/errors.ts'
import type { Listing } from '../contract.ts'
import { isSafeKey } from '../key.ts'
import { Listed, listedMax } from '../walk.ts'
import type { Bucket } from './bucket.ts'

interface Asked {
  readonly folder: string
  readonly enter: ((folder: string) => boolean) | undefined
}

/**
 * A folder is what keys share up to a `/`. With `enter` all keys below it are listed in one go, 1,000 with each request,
 * and those of folders that are not entered are left out: asking for each folder would take a request for each.
 */
export async function listObjects(bucket: Bucket, { folder, enter }: Asked, signal: AbortSignal): Promise<Listing> {
  const { usedBy, prefix, driver } = bucket.server
  const below = folder === '' ? prefix : `${prefix}${folder}/`
  const listed = new Listed(usedBy, folder)
  const isEntered = enter === undefined ? null : entered(folder, enter)
  let isEmpty = true
  let token: string | undefined
  do {
    const command = new driver.ListObjectsV2Command({
      Bucket: bucket.server.bucket,
      Prefix: below,
      EncodingType: 'url',
      ...(enter === undefined ? { Delimiter: '/' } : {}),
      ...(token === undefined ? {} : { ContinuationToken: token }),
    })
    const page = await bucket.send(folder, command, signal, { what: 'a listing' })
    if ((page.KeyCount ?? 0) > 0 || (page.Contents?.length ?? 0) > 0) isEmpty = false
    const found = { files: [] as Listing['files'][number][], refused: [] as string[] }
    for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
      const key = keyOf(Key, prefix)
      // Consoles make such objects to show an empty folder.
      if (key === null || key === '' || key.endsWith('/')) continue
      if (!isSafeKey(key)) found.refused.push(key)
      else if (isEntered === null || isEntered(key)) {
        found.files.push({ key, bytes: Size, modifiedMicros: secondsMicros(LastModified) })
      }
    }
    for (const { Prefix = '' } of page.CommonPrefixes ?? []) {
      const key = keyOf(Prefix, prefix)
      if (key !== null && !isSafeKey(key.replace(/\/$/, ''))) found.refused.push(key)
    }
    listed.add(found)
    token = nextOf(bucket, folder, page, token)
  } while (token !== undefined)
  if (isEmpty && folder !== '') throw fail('STORAGE_NOT_FOUND', { storage: usedBy, key: folder })
  return listed.listing()
}

/** The next page; a store that gives the same one again would never end. */
function nextOf(
  bucket: Bucket,
  folder: string,
  page: ListObjectsV2CommandOutput,
  token: string | undefined,
): string | undefined {
  const next = page.IsTruncated === true ? page.NextContinuationToken : undefined
  if (next === undefined || next !== token) return next
  const problem = 'the store gives the same page of the listing again'
  throw fail('STORAGE_BROKEN', { storage: bucket.server.usedBy, key: folder, problem })
}

/** True for a key all of whose folders below `folder` are entered; each folder is asked about once. */
function entered(folder: string, enter: (folder: string) => boolean): (key: string) => boolean {
  const known = new Map<string, boolean>([[folder, true]])
  const ask = (it: string): boolean => {
    const before = known.get(it)
    if (before !== undefined) return before
    const answer = ask(it.slice(0, Math.max(it.lastIndexOf('/'), 0))) && enter(it)
    known.set(it, answer)
    return answer
  }
  return key => ask(key.slice(0, Math.max(key.lastIndexOf('/'), 0)))
}

export interface AbandonedUpload {
  readonly key: string
  readonly name: string
  readonly id: string
  readonly begunMs: bigint
}

interface Marker {
  readonly KeyMarker?: string
  readonly UploadIdMarker?: string
}

/** Uploads in parts that were begun and not ended, below the prefix. Some stores list them for the whole bucket only. */
export async function listUploads(bucket: Bucket, signal: AbortSignal): Promise<readonly AbandonedUpload[]> {
  const { driver, prefix, usedBy } = bucket.server
  const found: AbandonedUpload[] = []
  let next: Marker | undefined = {}
  while (next !== undefined) {
    const command = new driver.ListMultipartUploadsCommand({
      Bucket: bucket.server.bucket,
      EncodingType: 'url',
      ...next,
    })
    const page: ListMultipartUploadsCommandOutput = await bucket.send('', command, signal, {
      what: 'a listing of uploads',
    })
    for (const { Key = '', UploadId, Initiated } of page.Uploads ?? []) {
      const key = keyOf(Key, prefix)
      if (key === null || UploadId === undefined || Initiated === undefined) continue
      found.push({ key, name: `${prefix}${key}`, id: UploadId, begunMs: BigInt(Initiated.getTime()) })
    }
    if (found.length > listedMax) throw fail('STORAGE_TOO_MANY', { storage: usedBy, folder: '', names: listedMax })
    next = undefined
    if (page.IsTruncated === true && page.NextKeyMarker !== undefined) {
      next = { KeyMarker: decode(page.NextKeyMarker) ?? '', UploadIdMarker: page.NextUploadIdMarker ?? '' }
    }
  }
  return found
}

/** The key below the prefix, from the form in which listings carry keys that XML cannot; `null` outside of it. */
function keyOf(encoded: string, prefix: string): string | null {
  const name = decode(encoded) ?? encoded
  return name.startsWith(prefix) ? name.slice(prefix.length) : null
}

function decode(encoded: string): string | null {
  try {
    return decodeURIComponent(encoded.replaceAll('+', ' '))
  } catch {
    return null // no percent-encoding of UTF-8: shown as it came
  }
}

/** Headers tell whole seconds, listings more: both are given as seconds, so that they compare. */
export function secondsMicros(date: Date | undefined): bigint | null {
  return date === undefined ? null : BigInt(Math.floor(date.getTime() / 1000)) * 1_000_000n
}
