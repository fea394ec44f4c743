import { fail } from '../../../core/errors.ts'
import { decoderFor, type Decoder } from '../../../core/text-decoders.ts'

/** The bytes of a file as UTF-8. */
export interface Utf8Text {
  /** True when the bytes were made from another encoding: then what could not be decoded stands as U+FFFD. */
  readonly transcoded: boolean
  readonly chunks: AsyncIterable<Uint8Array>
}

/**
 * Reads text in `encoding` as UTF-8; a byte-order mark is removed and decides before the declared encoding does.
 * UTF-8 passes as it is, unchecked. Throws `FILE_ENCODING` for a name that is not known.
 */
export async function readUtf8(source: AsyncIterable<Uint8Array>, encoding: string, file: string): Promise<Utf8Text> {
  const decoder = decoderOf(encoding, file)
  const iterator = source[Symbol.asyncIterator]()
  const head = await readHead(iterator)
  const mark = markOf(head)
  const rest = chain(head.subarray(mark?.bytes ?? 0), iterator)
  const actual = mark === null ? decoder : decoderOf(mark.encoding, file)
  if (actual.encoding === 'utf-8') return { transcoded: false, chunks: rest }
  return { transcoded: true, chunks: transcode(rest, actual) }
}

/** The decoder of an encoding by any name of it. Throws `FILE_ENCODING`. */
export function decoderOf(encoding: string, file: string): Decoder {
  try {
    return decoderFor(encoding)
  } catch (error) {
    throw fail('FILE_ENCODING', { file, encoding }, { cause: error })
  }
}

/** The first bytes, at least the three that a mark may take unless the file is shorter. */
async function readHead(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0)
  while (head.length < 3) {
    const next = await iterator.next()
    if (next.done === true) break
    // Copied: the source may use the buffer again for its next chunk.
    head = Buffer.concat([head, next.value])
  }
  return head
}

function markOf(head: Uint8Array): { readonly encoding: string; readonly bytes: number } | null {
  const [a, b, c] = head
  if (a === 0xef && b === 0xbb && c === 0xbf) return { encoding: 'utf-8', bytes: 3 }
  if (a === 0xff && b === 0xfe) return { encoding: 'utf-16le', bytes: 2 }
  if (a === 0xfe && b === 0xff) return { encoding: 'utf-16be', bytes: 2 }
  return null
}

async function* chain(head: Uint8Array, iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
  } finally {
    await iterator.return?.()
  }
}

async function* transcode(chunks: AsyncIterable<Uint8Array>, decoder: Decoder): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk)
    if (text !== '') yield Buffer.from(text)
  }
  const end = decoder.decode()
  if (end !== '') yield Buffer.from(end)
}
