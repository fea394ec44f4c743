import { LF } from './csv-scan.ts'

/** Bytes taken at a time, beside the longest line. */
const windowBytes = 1 << 20

/** Characters that are kept of a bad line. */
export const contentChars = 1000

/** Whole lines, each with its LF (the last of a file may lack it), or one that is over the limit. */
export type LineBlock =
  | { readonly kind: 'lines'; readonly bytes: Buffer; readonly line: number }
  | { readonly kind: 'long'; readonly line: number; readonly bytes: number; readonly content: string }

/** Cuts bytes into blocks of whole lines, in memory of about the longest line. A block may be used until the next. */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  maxLineBytes: number,
  signal: AbortSignal,
): AsyncGenerator<LineBlock> {
  const window = Buffer.allocUnsafe(maxLineBytes + windowBytes)
  let held = 0
  let line = 1
  let long: { line: number; bytes: number; content: string } | null = null
  for await (const chunk of chunks) {
    signal.throwIfAborted()
    for (let at = 0; at < chunk.length;) {
      const take = Math.min(chunk.length - at, window.length - held)
      window.set(chunk.subarray(at, at + take), held)
      at += take
      held += take
      let from = 0
      if (long !== null) {
        const end = window.subarray(0, held).indexOf(LF)
        long.bytes += end < 0 ? held : end
        from = end < 0 ? held : end + 1
        if (end >= 0) {
          yield { kind: 'long', ...long }
          long = null
          line++
        }
      }
      const last = window.subarray(0, held).lastIndexOf(LF) + 1
      if (last > from) {
        yield { kind: 'lines', bytes: window.subarray(from, last), line }
        line += countLines(window.subarray(from, last))
        from = last
      }
      window.copyWithin(0, from, held)
      held -= from
      if (held > maxLineBytes) {
        long = { line, bytes: held, content: window.toString('utf8', 0, contentChars * 4).slice(0, contentChars) }
        held = 0
      }
    }
  }
  if (long !== null) yield { kind: 'long', ...long, bytes: long.bytes + held }
  else if (held > 0) yield { kind: 'lines', bytes: window.subarray(0, held), line }
}

function countLines(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) count++
  return count
}
