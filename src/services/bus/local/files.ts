import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { systemCodeOf } from '../../../core/errors.ts'
import { syncFolder } from '../../../core/files.ts'
import { encodeHead, segmentName, type SegmentHead } from './format.ts'
import type { FileHandle, Segment } from './segment.ts'

/** The segments of a folder in order, with the sizes of their files. */
export async function listSegments(env: Env, folder: string): Promise<Segment[]> {
  const names = (await env.files.readdir(folder)).filter(name => /^\d{20}\.log$/.test(name)).sort()
  const segments: Segment[] = []
  for (const name of names) {
    const file = path.join(folder, name)
    const bytes = await sizeOf(env, file)
    if (bytes !== null) segments.push({ first: Number(name.slice(0, 20)), file, bytes })
  }
  return segments
}

/** `null` for a file that is gone: who looks beside a writer may meet one that it removes this moment. */
async function sizeOf(env: Env, file: string): Promise<number | null> {
  try {
    return (await env.files.stat(file)).size
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** Makes an empty segment that survives a power cut before anything is written into it. */
export async function createSegment(
  env: Env,
  folder: string,
  head: SegmentHead,
): Promise<{ readonly segment: Segment; readonly handle: FileHandle }> {
  const file = path.join(folder, segmentName(head.first))
  const bytes = encodeHead(head)
  const handle = await env.files.open(file, 'wx+', 0o600)
  try {
    await writeAll(handle, bytes, 0)
    await handle.sync()
    await syncFolder(env, folder)
    return { segment: { first: head.first, file, bytes: bytes.length }, handle }
  } catch (error) {
    await handle.close()
    // Without it the next try would find the name taken.
    await env.files.rm(file, { force: true })
    throw error
  }
}

/** Removes a segment for good; one that is not there is no error. */
export async function removeSegment(env: Env, segment: Segment): Promise<void> {
  await env.files.rm(segment.file, { force: true })
  await syncFolder(env, path.dirname(segment.file))
}

/** Writes all bytes: the system may take fewer at once. */
export async function writeAll(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
}
