import type { FileHandle } from 'node:fs/promises'
import type { Env } from '../../../core/env.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { Place } from './keys.ts'
import type { Page } from './pages.ts'

/** Bytes that are read from the file at once. */
const pieceBytes = 1 << 20
/** Before each record: its length, its page and number, and those of the record before it with its key, or zeros. */
const headBytes = 20

/** A record as it was given. */
export interface SpooledRecord {
  readonly bytes: Buffer
  readonly place: Place
  /** Where its key came first, when it came before. */
  readonly before: Place | null
}

/** Writes the records of pages one behind the other, each behind its head. */
export async function writeRecords(env: Env, file: string, pages: AsyncIterable<Page>): Promise<void> {
  const handle = await env.files.open(file, 'wx', 0o600)
  try {
    for await (const { answer, records, number, before } of pages) {
      const heads = Buffer.alloc(records.length * headBytes)
      const pieces = records.flatMap(({ start, end }, i) => {
        const head = heads.subarray(i * headBytes, (i + 1) * headBytes)
        const { page, index } = before[i] ?? { page: 0, index: 0 }
        for (const [at, value] of [end - start, number, i + 1, page, index].entries()) head.writeUInt32LE(value, at * 4)
        return [head, answer.body.subarray(start, end)]
      })
      await noteDiskFull(file, () => writeAll(handle, Buffer.concat(pieces)))
    }
  } finally {
    await handle.close()
  }
}

async function writeAll(handle: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at)).bytesWritten
}

/** The records of a file, some at a time: each call gives those that lie whole in the piece that was read. */
export async function* readRecords(env: Env, file: string): AsyncGenerator<readonly SpooledRecord[]> {
  const handle = await env.files.open(file, 'r')
  try {
    let rest: Buffer = Buffer.alloc(0)
    for (;;) {
      const length = rest.length < headBytes ? 0 : rest.readUInt32LE(0) + headBytes - rest.length
      const wanted = Math.max(pieceBytes, length)
      const piece = Buffer.allocUnsafe(wanted)
      const { bytesRead } = await handle.read(piece, 0, wanted)
      if (bytesRead === 0) return
      const bytes = Buffer.concat([rest, piece.subarray(0, bytesRead)])
      const { records, used } = wholeRecords(bytes)
      rest = bytes.subarray(used)
      if (records.length > 0) yield records
    }
  } finally {
    await handle.close()
  }
}

function wholeRecords(bytes: Buffer): { readonly records: readonly SpooledRecord[]; readonly used: number } {
  const records: SpooledRecord[] = []
  let at = 0
  while (at + headBytes <= bytes.length) {
    const end = at + headBytes + bytes.readUInt32LE(at)
    if (end > bytes.length) break
    const placeAt = (from: number): Place => ({ page: bytes.readUInt32LE(from), index: bytes.readUInt32LE(from + 4) })
    const before = placeAt(at + 12)
    records.push({
      bytes: bytes.subarray(at + headBytes, end),
      place: placeAt(at + 4),
      before: before.page === 0 ? null : before,
    })
    at = end
  }
  return { records, used: at }
}
