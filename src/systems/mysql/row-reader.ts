import { blockRows, layOver, newBlock, type Block } from '../wire/block.ts'
import type { SkippedRow } from '../wire/skipped-row.ts'
import { addRow } from './binary-row.ts'
import { OversizedRow } from './oversized-row.ts'
import {
  FRAME_BYTES,
  FRAME_BYTES_MAX,
  HEADER,
  lengthAt,
  serverError,
  wireBytes,
  wireColumn,
  type ServerError,
  type WireColumn,
  ProtocolError,
} from './protocol.ts'

/** What a `RowReader` finds in the stream. */
export interface RowEvents {
  /** The columns of the result, before its first row. */
  columns(columns: readonly WireColumn[]): void
  /** Complete rows; the block is used again after the call. */
  rows(block: Block): void
  skipped(row: SkippedRow): void
  /** The statement has ended, well or with the server's error; nothing more comes. */
  ended(error: ServerError | null): void
}

/** Longest packet that is no row. A server that sends more is broken, or no MySQL. */
const CONTROL_BYTES_MAX = 1024 * 1024
const COLUMNS_MAX = 4096
/** A row up to this size waits with the rest of its piece; a larger one gets a buffer of its own. */
const CARRY_BYTES_MAX = 256 * 1024
/** An end packet is shorter than this; a row with the same first byte is not. */
const END_BYTES_MAX = 9

type State = 'head' | 'columns' | 'columns end' | 'rows' | 'over'

/**
 * Finds the rows in the answer to an executed statement as it comes from the socket, split anywhere. A row over the
 * limit is skipped as it passes by and never held.
 */
export class RowReader {
  readonly #rowBytesMax: number
  readonly #on: RowEvents
  #state: State = 'head'
  #columns: WireColumn[] = []
  #columnCount = 0
  #widths = new Uint8Array(0)
  #block: Block = newBlock(1)
  #blockRows = 1
  /** The start of a packet whose rest has not come yet. */
  #carry: Buffer | null = null
  #long: LongRow | null = null

  constructor(rowBytesMax: number, on: RowEvents) {
    this.#rowBytesMax = rowBytesMax
    this.#on = on
  }

  /** Works through one piece of the stream. Throws on bytes that are not what the protocol says. */
  push(chunk: Buffer): void {
    const bytes = this.#carry === null ? chunk : Buffer.concat([this.#carry, chunk])
    this.#carry = null
    let at = 0
    layOver(this.#block, bytes)
    while (at < bytes.length) {
      if (this.#long !== null) {
        at = this.#continue(this.#long, bytes, at)
        continue
      }
      if (at + FRAME_BYTES > bytes.length) break
      const length = bytes.readUIntLE(at, 3)
      if (this.#state === 'rows' && (length > CARRY_BYTES_MAX || length > this.#rowBytesMax)) {
        this.#give()
        this.#long = new LongRow(this.#widths, this.#rowBytesMax)
        continue
      }
      if (length > CONTROL_BYTES_MAX) throw new ProtocolError(`the server sent a message of ${length} bytes`)
      const end = at + FRAME_BYTES + length
      if (end > bytes.length) break
      this.#packet(bytes, at + FRAME_BYTES, end)
      at = end
    }
    this.#give()
    if (at < bytes.length) this.#carry = bytes.subarray(at)
  }

  #packet(bytes: Buffer, start: number, end: number): void {
    const first = bytes[start] ?? HEADER.ok
    if (this.#state === 'rows' && first === HEADER.ok) {
      addRow(this.#block, this.#widths, start, end)
      if (this.#block.rows === this.#blockRows) this.#give()
      return
    }
    const body = bytes.subarray(start, end)
    if (first === HEADER.error) return this.#end(serverError(body))
    switch (this.#state) {
      case 'head':
        return this.#head(body)
      case 'columns':
        this.#columns.push(wireColumn(body))
        if (this.#columns.length === this.#columnCount) this.#state = 'columns end'
        return
      case 'columns end':
        return this.#begin(body, bytes)
      case 'rows':
        if (first === HEADER.end && body.length < END_BYTES_MAX) return this.#end(null)
        throw new ProtocolError('the server sent a row that is none')
      case 'over':
        throw new ProtocolError('the server sent more than the answer')
    }
  }

  #head(body: Buffer): void {
    if (body[0] === HEADER.localInfile) throw new LocalInfileAsked()
    this.#columnCount = body.length === 0 ? 0 : Number(lengthAt(body, 0).value)
    if (this.#columnCount === 0 || this.#columnCount > COLUMNS_MAX) {
      throw new ProtocolError(`the server answered a query with ${this.#columnCount} columns`)
    }
    this.#state = 'columns'
  }

  #begin(body: Buffer, bytes: Buffer): void {
    if (body[0] !== HEADER.end || body.length >= END_BYTES_MAX)
      throw new ProtocolError('the columns of a result have no end')
    this.#widths = Uint8Array.from(this.#columns, ({ type }) => wireBytes(type))
    this.#block = newBlock(this.#columnCount)
    this.#blockRows = blockRows(this.#columnCount)
    layOver(this.#block, bytes)
    this.#on.columns(this.#columns)
    this.#state = 'rows'
  }

  #end(error: ServerError | null): void {
    this.#give()
    this.#state = 'over'
    this.#on.ended(error)
  }

  #give(): void {
    if (this.#block.rows > 0) this.#on.rows(this.#block)
    this.#block.rows = 0
  }

  #continue(long: LongRow, bytes: Buffer, at: number): number {
    const taken = long.push(bytes, at)
    if (!long.isWhole) return taken
    this.#long = null
    const row = long.result()
    if (Buffer.isBuffer(row)) {
      layOver(this.#block, row)
      addRow(this.#block, this.#widths, 0, row.length)
      this.#give()
      layOver(this.#block, bytes)
    } else this.#on.skipped(row)
    return taken
  }
}

/** A server may ask a client for one of its files: never, because no statement of ours loads one. */
export class LocalInfileAsked extends ProtocolError {
  constructor() {
    super('the server asked for a file of this machine, which it never gets')
  }
}

/** A row that comes in many pieces, or in several packets: gathered up to the limit, looked over beyond it. */
class LongRow {
  readonly #widths: Uint8Array
  readonly #bytesMax: number
  #gathered: Buffer = Buffer.alloc(0)
  #filled = 0
  #skipping: OversizedRow | null = null
  /** Frame of the next packet, as far as it has come. */
  readonly #frame = Buffer.alloc(FRAME_BYTES)
  #frameFilled = 0
  #packetLeft = 0
  #isLast = false
  isWhole = false

  constructor(widths: Uint8Array, bytesMax: number) {
    this.#widths = widths
    this.#bytesMax = bytesMax
  }

  /** Takes its bytes from a piece at `at`; gives where the piece goes on after it. */
  push(bytes: Buffer, at: number): number {
    let next = at
    while (next < bytes.length && !this.isWhole) {
      if (this.#packetLeft === 0) {
        const taken = bytes.copy(this.#frame, this.#frameFilled, next, next + FRAME_BYTES - this.#frameFilled)
        next += taken
        this.#frameFilled += taken
        if (this.#frameFilled === FRAME_BYTES) this.#beginPacket()
        continue
      }
      const piece = bytes.subarray(next, next + this.#packetLeft)
      this.#take(piece)
      next += piece.length
      this.#packetLeft -= piece.length
      if (this.#packetLeft === 0 && this.#isLast) this.isWhole = true
    }
    return next
  }

  result(): Buffer | SkippedRow {
    return this.#skipping === null ? this.#gathered.subarray(0, this.#filled) : this.#skipping.result()
  }

  #beginPacket(): void {
    const length = this.#frame.readUIntLE(0, 3)
    this.#frameFilled = 0
    this.#packetLeft = length
    this.#isLast = length < FRAME_BYTES_MAX
    if (length === 0) this.isWhole = true
    const total = this.#filled + length
    if (this.#skipping !== null) return
    if (total > this.#bytesMax) {
      this.#skipping = new OversizedRow(this.#widths)
      this.#skipping.push(this.#gathered.subarray(0, this.#filled))
      this.#gathered = Buffer.alloc(0)
      return
    }
    const grown = Buffer.allocUnsafeSlow(total)
    this.#gathered.copy(grown, 0, 0, this.#filled)
    this.#gathered = grown
  }

  #take(piece: Buffer): void {
    if (this.#skipping !== null) return this.#skipping.push(piece)
    this.#filled += piece.copy(this.#gathered, this.#filled)
  }
}
