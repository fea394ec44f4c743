import { status, statusOf, type Session } from './session.ts'

/** Bytes of one request: what every server must take. */
const requestBytes = 32 * 1024

/** Requests that are under way at once: with 50 ms to the server this is 10 MB/s. */
const requestsMax = 16

interface Reading {
  readonly key: string
  readonly handle: Buffer
  readonly from: number
}

/** The bytes of an open file from `from` on, several requests ahead of the reader and never more. */
export async function* readFrom(session: Session, file: Reading, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const ahead: { at: number; bytes: Promise<Buffer> }[] = []
  let next = file.from
  const ask = (at: number, length: number): { at: number; bytes: Promise<Buffer> } => {
    const bytes = readOne(session, file, { at, length }, signal)
    // Awaited when its turn comes; a reader that stops before that never gets there.
    bytes.catch(() => undefined)
    return { at, bytes }
  }
  for (;;) {
    while (ahead.length < requestsMax) {
      ahead.push(ask(next, requestBytes))
      next += requestBytes
    }
    const { at, bytes } = ahead.shift() as (typeof ahead)[0]
    const got = await bytes
    if (got.length === 0) return
    yield got
    // A server may give less than it was asked for, also in the middle of a file.
    if (got.length < requestBytes) {
      ahead.length = 0
      next = at + got.length
    }
  }
}

function readOne(
  session: Session,
  { key, handle }: Reading,
  { at, length }: { readonly at: number; readonly length: number },
  signal: AbortSignal,
): Promise<Buffer> {
  return session.call<Buffer>(key, 'the next bytes', signal, (sftp, done) => {
    sftp.read(handle, Buffer.allocUnsafe(length), 0, length, at, (error, count, buffer) => {
      if (statusOf(error) === status.eof) done(undefined, Buffer.alloc(0))
      else done(error, error ? Buffer.alloc(0) : buffer.subarray(0, count))
    })
  })
}

/** Writes a body to an open file and makes it durable where the server can; `requestsMax` requests are under way. */
export async function writeAll(
  session: Session,
  file: { readonly key: string; readonly handle: Buffer; readonly body: AsyncIterable<Uint8Array> },
  signal: AbortSignal,
): Promise<void> {
  const ahead: Promise<void>[] = []
  let at = 0
  for await (const chunk of file.body) {
    for (let start = 0; start < chunk.length; start += requestBytes) {
      // Copied: the giver may use its buffer again while the request is under way.
      const piece = Buffer.from(chunk.subarray(start, start + requestBytes))
      const position = at
      const written = session.call<void>(file.key, 'an upload', signal, (sftp, done) =>
        sftp.write(file.handle, piece, 0, piece.length, position, error => done(error, undefined)),
      )
      written.catch(() => undefined)
      ahead.push(written)
      at += piece.length
      if (ahead.length >= requestsMax) await ahead.shift()
    }
  }
  await Promise.all(ahead)
  await session.call<void>(file.key, 'an upload', signal, (sftp, done) => {
    try {
      sftp.ext_openssh_fsync(file.handle, error => done(error, undefined))
    } catch {
      done(undefined, undefined) // not offered by this server: durable when the server makes it so
    }
  })
}
