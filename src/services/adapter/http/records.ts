import type { FileHandle } from 'node:fs/promises'
import type { Env } from '../../../core/env.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { Page } from './pages.ts'

/** Bytes that are read from the file at once. */
const pieceBytes = 1 << 20

/** Writes the records of pages one behind the other, each behind its length in four bytes. Gives how many there are. */
export async function writeRecords(env: Env, file: string, pages: AsyncIterable<Page>): Promise<void> {
  const handle = await env.files.open(file, 'wx', 0o600)
  try {
    for await (const { answer, records } of pages) {
      const lengths = Buffer.alloc(records.length * 4)
      const pieces = records.flatMap(({ start, end }, i) => {
        lengths.writeUInt32LE(end - start, i * 4)
        return [lengths.subarray(i * 4, i * 4 + 4), answer.body.subarray(start, end)]
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
export async function* readRecords(env: Env, file: string): AsyncGenerator<readonly Buffer[]> {
  const handle = await env.files.open(file, 'r')
  try {
    let rest: Buffer = Buffer.alloc(0)
    for (;;) {
      const wanted = rest.length < 4 ? pieceBytes : Math.max(pieceBytes, rest.readUInt32LE(0) + 4 - rest.length)
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

function wholeRecords(bytes: Buffer): { readonly records: readonly Buffer[]; readonly used: number } {
  const records: Buffer[] = []
  let at = 0
  while (at + 4 <= bytes.length) {
    const end = at + 4 + bytes.readUInt32LE(at)
    if (end > bytes.length) break
    records.push(bytes.subarray(at + 4, end))
    at = end
  }
  return { records, used: at }
}
