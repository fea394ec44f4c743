import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { listSegments, removeSegment, writeAll } from './files.ts'
import { HEAD_BYTES, RECORD_BYTES } from './format.ts'
import { SegmentReader, type FileHandle, type Found, type Segment } from './segment.ts'

/** What is in a folder of segments, with the end made sound. */
export interface Recovered {
  readonly segments: Segment[]
  /** The file to append to; `null` when the next append begins another. */
  readonly active: { readonly handle: FileHandle; readonly salt: number } | null
  /** Number of the newest message, and of the one to append next: numbers that a broken write may have used are not used again. */
  readonly newest: number
  readonly next: number
  /** Where the newest message lies that can be read. */
  readonly last: { readonly segment: Segment; readonly at: number; readonly bytes: number } | null
  /** Bytes of a broken write that were cut off. */
  readonly cut: { readonly segment: Segment; readonly bytes: number } | null
}

/** Reads at once while the last segment is checked. */
const STEP_BYTES = 4 * 1024 * 1024

/** What is in a folder of segments, as it is. */
interface Looked extends Omit<Recovered, 'active' | 'cut'> {
  /** Files that were being made when the power went: their heads were never on disk, so nothing was written into them. */
  readonly unborn: readonly Segment[]
  /** Where the last segment ends, without what a broken write left behind it; `null` when it cannot be read at all. */
  readonly end: End | null
  /** Bytes of a broken write, or of one that goes on in another process. */
  readonly cutBytes: number
}

/** Finds where the log ends, reading its last segment only. Changes nothing, so it may be done beside a writer. */
export async function lookAt(env: Env, topic: string, folder: string): Promise<Looked> {
  const segments = await listSegments(env, folder)
  const unborn = await takeUnborn(env, topic, segments)
  const segment = segments.at(-1)
  if (segment === undefined) return { segments, unborn, newest: -1, next: 0, last: null, end: null, cutBytes: 0 }
  const before = segments.slice(0, -1)
  const end = await findEnd(env, topic, segment)
  if (end === null) {
    // Its numbers are skipped, and the next append begins another.
    const next = numberBehind(segment.first, segment.bytes - HEAD_BYTES)
    const last = await lastBefore(env, topic, before)
    return { segments, unborn, newest: next - 1, next, last, end, cutBytes: 0 }
  }
  const cutBytes = segment.bytes - end.at
  segment.bytes = end.at
  const newest = end.last?.head.number ?? end.follows
  const next = cutBytes === 0 ? Math.max(newest + 1, segment.first) : numberBehind(newest + 1, cutBytes)
  const last = end.last === null ? await lastBefore(env, topic, before) : placeOf(segment, end.last)
  return { segments, unborn, newest, next, last, end, cutBytes }
}

/** Finds where the log ends and makes that sound: cuts off what a broken write left there. */
export async function recover(env: Env, topic: string, folder: string): Promise<Recovered> {
  const { unborn, end, cutBytes, ...found } = await lookAt(env, topic, folder)
  for (const segment of unborn) await removeSegment(env, segment)
  const segment = found.segments.at(-1)
  if (segment === undefined || end === null) return { ...found, active: null, cut: null }
  const handle = await env.files.open(segment.file, 'r+')
  await makeDurable(handle, end)
  if (cutBytes === 0) return { ...found, active: { handle, salt: end.salt }, cut: null }
  await handle.close()
  return { ...found, active: null, cut: { segment, bytes: cutBytes } }
}

/** Takes the files without a head off the end of the list, the newest first. */
async function takeUnborn(env: Env, topic: string, segments: Segment[]): Promise<readonly Segment[]> {
  const unborn: Segment[] = []
  for (let last = segments.at(-1); last !== undefined && last.bytes <= HEAD_BYTES; last = segments.at(-1)) {
    const reader = await SegmentReader.open(env, topic, last.file)
    await reader?.close()
    if (reader !== null && reader.head !== null) break
    unborn.push(last)
    segments.pop()
  }
  return unborn
}

interface End {
  /** Byte behind the last record that counts. */
  readonly at: number
  readonly follows: number
  readonly salt: number
  readonly last: Found | null
}

/** `null` when the head of the segment cannot be read. */
async function findEnd(env: Env, topic: string, { file, bytes: end }: Segment): Promise<End | null> {
  const reader = await SegmentReader.open(env, topic, file)
  try {
    if (reader === null || reader.head === null) return null
    const { first, follows, salt } = reader.head
    const numbers = { from: first, until: Number.MAX_SAFE_INTEGER }
    let last: Found | null = null
    let doubt: { readonly at: number; readonly last: Found | null } | null = null
    for (let at = HEAD_BYTES; at < end;) {
      const { found, next } = await reader.read(at, end, STEP_BYTES)
      if (found.length === 0) {
        doubt ??= { at, last }
        at = await reader.search(next > at ? next : at + 8, end, numbers)
        continue
      }
      // A write begins only when the one before it is on disk: damage before its begin is no broken write.
      const begun = Math.max(...found.map(it => it.at - it.head.sinceWrite))
      if (doubt !== null && begun > doubt.at) doubt = null
      last = found.at(-1) as Found
      at = next
    }
    if (doubt !== null) return { at: doubt.at, follows, salt, last: doubt.last }
    return { at: end, follows, salt, last }
  } finally {
    await reader?.close()
  }
}

/**
 * The last write may have been killed before its sync, or its sync may have failed: what can be read then is in memory
 * only, perhaps marked as written. So its bytes are written once more.
 */
async function makeDurable(handle: FileHandle, { at: end, last }: End): Promise<void> {
  await handle.truncate(end)
  const begin = last === null ? end : last.at - last.head.sinceWrite
  for (let at = begin; at < end; at += STEP_BYTES) {
    const bytes = Buffer.allocUnsafeSlow(Math.min(STEP_BYTES, end - at))
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, at)
    await writeAll(handle, bytes.subarray(0, bytesRead), at)
  }
  await handle.sync()
}

/** Behind every number that so many bytes of records may have had. */
function numberBehind(number: number, bytes: number): number {
  return number + Math.ceil(bytes / RECORD_BYTES) + 1
}

async function lastBefore(env: Env, topic: string, segments: readonly Segment[]): Promise<Recovered['last']> {
  for (const segment of segments.toReversed()) {
    const end = await findEnd(env, topic, segment)
    if (end !== null && end.last !== null) return placeOf(segment, end.last)
  }
  return null
}

function placeOf(segment: Segment, { at, head }: Found): NonNullable<Recovered['last']> {
  return { segment, at, bytes: head.bytes }
}

/** The name of a segment's file, for people. */
export function nameOf(segment: Segment): string {
  return path.basename(segment.file)
}
