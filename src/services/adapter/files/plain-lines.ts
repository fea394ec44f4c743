import type { Env } from '../../../core/env.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { FileHandle } from 'node:fs/promises'
import type { PlainLines } from '../contract.ts'
import { doubled, escaped, LF, plain, type Fields } from './csv-scan.ts'

/** Bytes of one file of plain lines: enough for every thread of an engine, little enough for a disk. */
export const plainBytes = 128 << 20

const blockBytes = 1 << 20

/** Longest row that goes this way: engines limit a line, some at 2 MB. */
const rowBytesMax = 1 << 20

/** Separates fields of plain lines: no file of text has reason to hold it. */
const SEPARATOR = 31

/** Writes rows as plain lines, which an engine reads with all its threads, into files that follow each other. */
export class PlainWriter {
  readonly #env: Env
  readonly #path: (number: number) => string
  readonly #nulls: readonly Buffer[]
  readonly #block: Buffer
  #used = 0
  #files = 0
  #handle: FileHandle | null = null
  #written = 0
  #rows = 0

  /** `path` gives the name of the nth file. */
  constructor(
    env: Env,
    given: {
      readonly path: (number: number) => string
      readonly nulls: readonly string[]
    },
  ) {
    this.#env = env
    this.#path = given.path
    this.#nulls = given.nulls.map(text => Buffer.from(text))
    this.#block = Buffer.allocUnsafe(blockBytes + rowBytesMax + 64)
  }

  /** True when the block is to be written before the next row. */
  get isBlockFull(): boolean {
    return this.#used >= blockBytes
  }

  /** True when the file is long enough to be handed on. */
  get isFileFull(): boolean {
    return this.#written >= plainBytes
  }

  get rows(): number {
    return this.#rows
  }

  /** Adds a row; false, and nothing added, for one that plain lines cannot say: then it goes another way. */
  add(bytes: Uint8Array, fields: Fields, sources: Int32Array, line: number): boolean {
    if ((fields.ends[fields.count - 1] as number) - (fields.starts[0] as number) > rowBytesMax) return false
    const block = this.#block
    let to = this.#used
    for (let c = 0; c < sources.length; c++) {
      const field = sources[c] as number
      const start = fields.starts[field] as number
      const end = fields.ends[field] as number
      const mark = fields.marks[field] as number
      if (mark !== plain && (mark >= doubled || mark === escaped || start === end)) return false
      if (mark === plain && this.#nulls.length > 0 && this.#isNull(bytes, start, end)) {
        block[to++] = SEPARATOR
        continue
      }
      for (let at = start; at < end; at++) {
        const byte = bytes[at] as number
        if (byte === SEPARATOR || byte === LF || byte === 13) return false
        block[to++] = byte
      }
      block[to++] = SEPARATOR
    }
    to += block.write(String(line), to, 'latin1')
    block[to++] = LF
    this.#used = to
    this.#rows++
    return true
  }

  #isNull(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#nulls.some(text => text.length === end - start && text.compare(bytes, start, end) === 0)
  }

  /** Writes the block to the file. */
  async flush(): Promise<void> {
    if (this.#used === 0) return
    const path = this.#path(this.#files)
    await noteDiskFull(path, async () => {
      this.#handle ??= await this.#env.files.open(path, 'w', 0o600)
      await this.#handle.writeFile(this.#block.subarray(0, this.#used))
    })
    this.#written += this.#used
    this.#used = 0
  }

  /** Ends the present file and gives it; the next row begins another. Whoever takes it removes it. */
  async take(): Promise<PlainLines> {
    await this.flush()
    await this.#handle?.close()
    const taken = {
      localPath: this.#path(this.#files),
      rows: this.#rows,
      bytes: this.#written,
      delimiter: String.fromCharCode(SEPARATOR),
    }
    this.#handle = null
    this.#files++
    this.#written = 0
    this.#rows = 0
    return taken
  }

  /** Lets go of a file that nobody took. Never throws. */
  async close(): Promise<void> {
    await this.#handle?.close().catch(() => undefined)
    this.#handle = null
  }
}
