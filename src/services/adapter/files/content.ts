import { Readable } from 'node:stream'
import zlib from 'node:zlib'
import type { Decompress } from 'fzstd'
import { isNaruError } from '../../../core/errors.ts'
import { damaged, reasonOf } from './faults.ts'
import { expansionLimit } from './limits.ts'
import type { Packed } from './packed.ts'
import { zipMembers } from './zip.ts'

/** Bytes that one read of a taken file takes. */
const readBytes = 1 << 20

/** Bytes given to the zstd decoder at once: a block of 4 bytes may stand for 128 KiB, so that these give 32 MiB at most. */
const zstdBytes = 1 << 10

/** The bytes of a file, or of one member of an archive, as they are when nothing packs them any more. */
export interface Content {
  readonly name: string
  readonly chunks: AsyncIterable<Uint8Array>
  /** Where these very bytes lie in a file; `null` when they come out of a packed one. */
  readonly localPath: string | null
}

/**
 * Unpacks a file by what it is, not by what it is called: gzip, zstd, zip, or nothing. Each content must be read to its
 * end before the next. A chunk may be used until the next one is asked for. Throws `FILE_DAMAGED`, `FILE_LIMIT`,
 * `FILE_MEMBER`, `DRIVER_MISSING`.
 */
export async function* contentsOf(packed: Packed): AsyncGenerator<Content> {
  const { file } = packed
  const count = expansionLimit(file, packed.bytes, packed.limits)
  switch (await packingOf(packed)) {
    case 'gzip':
      yield { name: file, chunks: counted(unzip(packed), count), localPath: null }
      return
    case 'zstd': {
      const zstd = await packed.drivers.zstd()
      yield { name: file, chunks: counted(unpackZstd(packed, zstd.Decompress), count), localPath: null }
      return
    }
    case 'zip':
      for await (const member of zipMembers(packed, await packed.drivers.zip())) {
        yield { name: `${file}/${member.name}`, chunks: counted(member.chunks, count), localPath: null }
      }
      return
    case null:
      yield { name: file, chunks: bytesOf(packed), localPath: packed.localPath }
  }
}

const magics = { gzip: '1f8b', zstd: '28b52ffd', zip: '504b0304', 'empty zip': '504b0506' } as const
const endings = { '.gz': 'gzip', '.gzip': 'gzip', '.zst': 'zstd', '.zstd': 'zstd', '.zip': 'zip' } as const

async function packingOf({ env, localPath, file }: Packed): Promise<'gzip' | 'zstd' | 'zip' | null> {
  const handle = await env.files.open(localPath, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0)
    const head = buffer.toString('hex', 0, bytesRead)
    const found = Object.entries(magics).find(([, magic]) => head.startsWith(magic))?.[0]
    const packing = found === 'empty zip' ? 'zip' : ((found ?? null) as 'gzip' | 'zstd' | 'zip' | null)
    const said = Object.entries(endings).find(([ending]) => file.toLowerCase().endsWith(ending))?.[1]
    if (said !== undefined && packing !== said) throw damaged(file, `it is called ${said} and is none`)
    return packing
  } finally {
    await handle.close()
  }
}

/** The bytes of a local file, in one buffer that is filled again and again. */
export async function* bytesOf({ env, localPath }: Pick<Packed, 'env' | 'localPath'>): AsyncGenerator<Uint8Array> {
  const handle = await env.files.open(localPath, 'r')
  try {
    const buffer = Buffer.allocUnsafe(readBytes)
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, readBytes, null)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

async function* counted(chunks: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    count(chunk.length)
    yield chunk
  }
}

async function* unzip(packed: Packed): AsyncGenerator<Uint8Array> {
  const gunzip = zlib.createGunzip({ chunkSize: 256 << 10 })
  // Each chunk is copied: the stream keeps it while the file's buffer is filled again.
  const source = Readable.from(copies(bytesOf(packed)))
  source.on('error', error => gunzip.destroy(error)).pipe(gunzip)
  try {
    yield* gunzip as AsyncIterable<Uint8Array>
    if (gunzip.bytesWritten < packed.bytes) await assertPadding(packed, gunzip.bytesWritten)
  } catch (error) {
    throw isNaruError(error) ? error : damaged(packed.file, `its gzip data is broken (${reasonOf(error)})`, error)
  } finally {
    source.destroy()
    gunzip.destroy()
  }
}

/** Behind the last gzip member there may be zeros, as tapes have them, and nothing else: it would be lost silently. */
async function assertPadding(packed: Packed, from: number): Promise<void> {
  const handle = await packed.env.files.open(packed.localPath, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, from)
    if (buffer.subarray(0, bytesRead).some(byte => byte !== 0)) {
      throw damaged(packed.file, `${packed.bytes - from} bytes behind its gzip data are none`)
    }
  } finally {
    await handle.close()
  }
}

async function* copies(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) yield Buffer.from(chunk)
}

async function* unpackZstd(packed: Packed, Decoder: typeof Decompress): AsyncGenerator<Uint8Array> {
  let out: Uint8Array[] = []
  const decoder = new Decoder(data => void out.push(data))
  try {
    for await (const chunk of bytesOf(packed)) {
      for (let at = 0; at < chunk.length; at += zstdBytes) {
        decoder.push(chunk.slice(at, at + zstdBytes))
        yield* out
        out = []
      }
    }
    decoder.push(new Uint8Array(0), true)
    yield* out
  } catch (error) {
    throw isNaruError(error) ? error : damaged(packed.file, `its zstd data is broken (${reasonOf(error)})`, error)
  }
}
