import path from 'node:path'
import type { Env } from '../../../../core/env.ts'
import { noteDiskFull } from '../../../../core/spool.ts'

/** Bytes of one piece: what is read and written at once. */
const PIECE_BYTES = 256 * 1024

interface Buffered {
  /** Pieces in memory, behind those in the file. */
  pieces: { readonly bytes: Buffer; filled: number }[]
  /** Lengths of the pieces in the file. */
  readonly written: number[]
  readonly aborted: Set<number>
  readBytes: number
}

/** What came of transactions that are not committed yet, in memory up to a limit and in files beyond it. */
export class BufferedTransactions {
  readonly #env: Env
  readonly #dir: string
  readonly #bytesMax: number
  readonly #byXid = new Map<number, Buffered>()
  #bytes = 0

  constructor(env: Env, dir: string, bytesMax: number) {
    this.#env = env
    this.#dir = dir
    this.#bytesMax = bytesMax
  }

  /** Empties the folder: what an earlier stream left is of no use. */
  async open(): Promise<void> {
    const { files } = this.#env
    await files.mkdir(this.#dir, { recursive: true, mode: 0o700 })
    for (const name of await files.readdir(this.#dir)) await files.rm(path.join(this.#dir, name), { recursive: true })
  }

  begin(xid: number): void {
    if (!this.#byXid.has(xid)) this.#byXid.set(xid, { pieces: [], written: [], aborted: new Set(), readBytes: 0 })
  }

  /** Keeps a copy of a message; true when `spill` is due. */
  add(xid: number, message: Buffer): boolean {
    const buffered = this.#byXid.get(xid) as Buffered
    let last = buffered.pieces.at(-1)
    if (last === undefined || last.filled + message.length > last.bytes.length) {
      last = { bytes: Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, message.length)), filled: 0 }
      buffered.pieces.push(last)
      this.#bytes += last.bytes.length
    }
    message.copy(last.bytes, last.filled)
    last.filled += message.length
    return this.#bytes > this.#bytesMax
  }

  /** A part of a transaction is gone, or all of it. */
  abort(xid: number, part: number): void {
    const buffered = this.#byXid.get(xid)
    if (buffered === undefined) return
    buffered.aborted.add(part)
    // Its file is left to `spill`, `next` and `close`: here nothing may be waited for.
    if (part === xid) this.#forget(buffered)
  }

  aborted(xid: number): ReadonlySet<number> {
    return this.#byXid.get(xid)?.aborted ?? new Set()
  }

  /** Writes the largest transactions to files until half of the memory is free, and removes files of those that are gone. */
  async spill(): Promise<void> {
    await this.#sweep()
    for (const [xid, buffered] of [...this.#byXid].toSorted((a, b) => memoryOf(b[1]) - memoryOf(a[1]))) {
      if (this.#bytes <= this.#bytesMax / 2) return
      const file = this.#file(xid)
      await noteDiskFull(file, async () => {
        const handle = await this.#env.files.open(file, 'a', 0o600)
        try {
          for (const { bytes, filled } of buffered.pieces) {
            await handle.writeFile(bytes.subarray(0, filled))
            buffered.written.push(filled)
          }
        } finally {
          await handle.close()
        }
      })
      this.#forget(buffered)
    }
  }

  /** The next piece of a transaction that is replayed; `null` at its end, and then nothing of it is left. */
  async next(xid: number): Promise<Buffer | null> {
    const buffered = this.#byXid.get(xid)
    const length = buffered?.written.shift()
    if (buffered !== undefined && length !== undefined) return this.#read(xid, buffered, length)
    const piece = buffered?.pieces.shift()
    if (piece !== undefined) {
      this.#bytes -= piece.bytes.length
      return piece.bytes.subarray(0, piece.filled)
    }
    await this.#drop(xid)
    return null
  }

  async close(): Promise<void> {
    for (const xid of this.#byXid.keys()) await this.#drop(xid)
  }

  async #read(xid: number, buffered: Buffered, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length)
    const handle = await this.#env.files.open(this.#file(xid), 'r')
    try {
      const { bytesRead } = await handle.read(bytes, 0, length, buffered.readBytes)
      if (bytesRead !== length) throw new Error(`${this.#file(xid)} was cut off by somebody else`)
      buffered.readBytes += length
      return bytes
    } finally {
      await handle.close()
    }
  }

  async #sweep(): Promise<void> {
    for (const [xid, { aborted }] of this.#byXid) if (aborted.has(xid)) await this.#drop(xid)
  }

  async #drop(xid: number): Promise<void> {
    const buffered = this.#byXid.get(xid)
    if (buffered === undefined) return
    this.#forget(buffered)
    this.#byXid.delete(xid)
    await this.#env.files.rm(this.#file(xid), { force: true })
  }

  #forget(buffered: Buffered): void {
    this.#bytes -= memoryOf(buffered)
    buffered.pieces = []
  }

  #file(xid: number): string {
    return path.join(this.#dir, `${xid}.changes`)
  }
}

function memoryOf({ pieces }: Buffered): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes.length, 0)
}
