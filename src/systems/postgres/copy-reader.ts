import { blockRows, layOver, newBlock, type Block } from '../wire/block.ts'
import type { SkippedRow } from '../wire/skipped-row.ts'
import { OversizedRow } from './oversized-row.ts'

/** What a `CopyReader` finds in the stream. */
export interface CopyEvents {
  /** Complete rows; the block is used again after the call. */
  rows(block: Block): void
  skipped(row: SkippedRow): void
  /** The server ended the statement with an error. */
  failed(error: ServerError): void
  /** The server is ready for the next statement; nothing more comes. */
  ready(): void
}

/** An error as the server words it, with the five characters of SQLSTATE. */
export interface ServerError {
  readonly code: string
  readonly message: string
}

const DATA = 0x64 // 'd': CopyData, from a server always one row
const ERROR = 0x45 // 'E'
const READY = 0x5a // 'Z'
/** Messages that carry nothing we need: CopyOutResponse, CopyDone, CommandComplete, ParameterStatus, Notice, Notification. */
const IGNORED: ReadonlySet<number> = new Set(Buffer.from('HcCSNA'))
/** Longest message that is no row. A server that sends more is broken, or no PostgreSQL. */
const CONTROL_BYTES_MAX = 1024 * 1024
/** A row up to this size waits with the rest of its piece; a larger one gets a buffer of its own, filled once. */
const CARRY_BYTES_MAX = 256 * 1024
const FRAME_BYTES = 5

/**
 * Finds the rows in the bytes of `COPY … TO STDOUT (FORMAT binary)` as they come from the socket, split anywhere.
 * A row over the limit is skipped as it passes by and never held.
 */
export class CopyReader {
  readonly #block: Block
  readonly #blockRows: number
  readonly #rowBytesMax: number
  readonly #on: CopyEvents
  /** The start of a message whose rest has not come yet. */
  #carry: Buffer | null = null
  #large: { readonly frame: Buffer; filled: number } | null = null
  #skipping: OversizedRow | null = null
  #headerSeen = false

  constructor(columns: number, rowBytesMax: number, on: CopyEvents) {
    this.#block = newBlock(columns)
    this.#blockRows = blockRows(columns)
    this.#rowBytesMax = rowBytesMax
    this.#on = on
  }

  /** Works through one piece of the stream. Throws on bytes that are not what the protocol says. */
  push(chunk: Buffer): void {
    const bytes = this.#carry === null ? chunk : Buffer.concat([this.#carry, chunk])
    this.#carry = null
    let at = this.#skip(bytes, this.#fill(bytes))
    layOver(this.#block, bytes)
    while (at + FRAME_BYTES <= bytes.length) {
      const kind = bytes[at] as number
      const end = at + 1 + bytes.readUInt32BE(at + 1)
      if (kind !== DATA) checkControl(kind, end - at)
      else if (end - at > this.#rowBytesMax) {
        this.#give()
        this.#skipping = new OversizedRow(end - at - FRAME_BYTES, !this.#headerSeen)
        this.#headerSeen = true
        at = this.#skip(bytes, at + FRAME_BYTES)
        continue
      }
      if (end > bytes.length) break
      if (kind === DATA) this.#takeRow(at + FRAME_BYTES, end)
      else this.#control(kind, bytes.subarray(at + FRAME_BYTES, end))
      at = end
    }
    this.#give()
    this.#keep(bytes, at)
  }

  #give(): void {
    if (this.#block.rows > 0) this.#on.rows(this.#block)
    this.#block.rows = 0
  }

  #keep(bytes: Buffer, at: number): void {
    const left = bytes.length - at
    const frameBytes = left < FRAME_BYTES ? 0 : 1 + bytes.readUInt32BE(at + 1)
    if (frameBytes > CARRY_BYTES_MAX) {
      this.#large = { frame: Buffer.allocUnsafeSlow(frameBytes), filled: left }
      bytes.copy(this.#large.frame, 0, at)
    } else if (left > 0) this.#carry = bytes.subarray(at)
  }

  /** Continues a row with a buffer of its own; gives where the piece goes on after it. */
  #fill(chunk: Buffer): number {
    const large = this.#large
    if (large === null) return 0
    const taken = chunk.copy(large.frame, large.filled)
    large.filled += taken
    if (large.filled === large.frame.length) {
      this.#large = null
      layOver(this.#block, large.frame)
      this.#takeRow(FRAME_BYTES, large.frame.length)
      this.#give()
    }
    return taken
  }

  #skip(bytes: Buffer, at: number): number {
    if (this.#skipping === null) return at
    const taken = this.#skipping.push(bytes.subarray(at))
    const row = this.#skipping.result()
    if (row !== null) {
      this.#skipping = null
      this.#on.skipped(row)
    }
    return at + taken
  }

  /** Notes where the values of one row lie. */
  #takeRow(start: number, end: number): void {
    const { view, columns, positions, lengths } = this.#block
    let at = start
    if (!this.#headerSeen) {
      at += headerBytes(view, at)
      this.#headerSeen = true
      if (at === end) return
    }
    const count = view.getInt16(at)
    at += 2
    if (count === -1) return // the end of the data
    if (count !== columns) throw new Error(`the server sent a row of ${count} values where ${columns} belong`)
    let cell = this.#block.rows * columns
    for (let c = 0; c < columns; c++, cell++) {
      if (at + 4 > end) break
      const length = view.getInt32(at)
      at += 4
      positions[cell] = at
      lengths[cell] = length
      if (length > 0) at += length
    }
    if (at !== end || cell % columns !== 0) throw new Error('the server sent a row that its values do not fill')
    this.#block.rows++
    if (this.#block.rows === this.#blockRows) this.#give()
  }

  #control(kind: number, body: Buffer): void {
    this.#give()
    if (kind === ERROR) this.#on.failed(serverError(body))
    else if (kind === READY) this.#on.ready()
  }
}

function checkControl(kind: number, bytes: number): void {
  const known = kind === ERROR || kind === READY || IGNORED.has(kind)
  if (known && bytes >= FRAME_BYTES && bytes <= CONTROL_BYTES_MAX) return
  throw new Error(`the server sent a message of type ${kind} with ${bytes} bytes`)
}

/** Length of what stands before the first row: eleven fixed bytes, flags, and an extension of a stated length. */
function headerBytes(view: DataView, at: number): number {
  return 19 + view.getInt32(at + 15)
}

/** Parses an ErrorResponse: fields of one letter and a text that ends with a zero byte. */
export function serverError(body: Buffer): ServerError {
  const fields = new Map<string, string>()
  for (const field of body.toString('utf8').split('\0')) {
    if (field !== '') fields.set(field.charAt(0), field.slice(1))
  }
  return { code: fields.get('C') ?? '', message: fields.get('M') ?? 'the server gave no reason' }
}
