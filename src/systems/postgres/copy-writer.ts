import type { ColumnBatch, ColumnData } from '../../core/batch.ts'
import type { ColumnDef } from '../../core/types.ts'
import { bufferPool, type BufferPool } from '../../core/buffer-pool.ts'
import type { ValueEncoder } from './value-encoder.ts'
import { valueEncoder } from './value-encoders.ts'

/** A value that PostgreSQL has no place for. Nothing of its batch was given. */
export class UnfitValue extends Error {
  readonly column: string
  /** Row of the batch, from 0. */
  readonly row: number

  constructor(column: string, row: number, problem: string) {
    super(problem)
    this.column = column
    this.row = row
  }
}

/**
 * Turns column batches into the bytes of `COPY … FROM STDIN (FORMAT binary)`. Every piece is one CopyData message, frame
 * included, so that it goes to the socket as it is.
 */
export interface CopyWriter {
  /** What stands before the first row. */
  header(): Buffer
  /**
   * Whole rows in pieces of about `PIECE_BYTES`; a larger row is a piece of its own. The batch may be used again when the
   * last piece was asked for. Throws `UnfitValue` before the first piece, unless the batch was looked through before.
   */
  pieces(batch: ColumnBatch, how?: { readonly isChecked: boolean }): Iterable<Buffer>
  /** What stands behind the last row. */
  trailer(): Buffer
}

/** Bytes of a piece: large enough that the call of the socket costs nothing, small enough to be sent soon. */
export const PIECE_BYTES = 512 * 1024
/** Rows that are laid out together: their places stay in the processor's cache. */
const ROWS_MAX = 2048

const FRAME_BYTES = 5
const DATA = 0x64 // 'd': CopyData
const COUNT_BYTES = 2
const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')

/** `pool` gives the memory of the pieces; whoever has sent one gives it back, or leaves it to the garbage collector. */
export function copyWriter(columns: readonly ColumnDef[], pool: BufferPool = bufferPool()): CopyWriter {
  const encoders = columns.map(({ type }) => valueEncoder(type, ROWS_MAX))
  /** Bytes of each row, then the place where its next value goes. */
  const places = new Int32Array(ROWS_MAX)
  return {
    header: () => framed(Buffer.concat([signature, Buffer.alloc(8)])),
    trailer: () => framed(Buffer.from([0xff, 0xff])),
    pieces: function* (batch, how) {
      if (how?.isChecked !== true) checkValues(columns, encoders, batch)
      for (let from = 0; from < batch.rows;) {
        const limit = Math.min(ROWS_MAX, batch.rows - from)
        const rows = measureRows(encoders, batch, places, { from, rows: limit })
        const bytes = placeRows(places, rows)
        const piece = Buffer.from(pool.take(bytes), 0, bytes)
        fill(piece, encoders, batch, { places, from, rows })
        yield piece
        from += rows
      }
    },
  }
}

/** One message of CopyData. */
function framed(body: Buffer): Buffer {
  const piece = Buffer.alloc(FRAME_BYTES + body.length)
  writeFrame(piece)
  body.copy(piece, FRAME_BYTES)
  return piece
}

function writeFrame(piece: Buffer): void {
  piece[0] = DATA
  piece.writeUInt32BE(piece.length - 1, 1)
}

function checkValues(columns: readonly ColumnDef[], encoders: readonly ValueEncoder[], batch: ColumnBatch): void {
  for (const [c, encoder] of encoders.entries()) {
    const unfit = encoder.check(batch.columns[c] as ColumnData, 0, batch.rows)
    if (unfit !== null) throw new UnfitValue((columns[c] as ColumnDef).name, unfit.row, unfit.problem)
  }
}

/** Puts the bytes of each row into `places`; gives how many rows make a piece, at least one. */
function measureRows(
  encoders: readonly ValueEncoder[],
  batch: ColumnBatch,
  places: Int32Array,
  { from, rows }: { readonly from: number; readonly rows: number },
): number {
  places.fill(COUNT_BYTES + 4 * encoders.length, 0, rows)
  for (const [c, encoder] of encoders.entries()) encoder.measure(batch.columns[c] as ColumnData, from, rows, places)
  let bytes = places[0] as number
  for (let row = 1; row < rows; row++) {
    bytes += places[row] as number
    if (bytes > PIECE_BYTES) return row
  }
  return rows
}

/** Turns the bytes of rows into where they begin; gives the bytes of all with the frame. */
function placeRows(places: Int32Array, rows: number): number {
  let at = FRAME_BYTES
  for (let row = 0; row < rows; row++) {
    const bytes = places[row] as number
    places[row] = at
    at += bytes
  }
  return at
}

function fill(
  piece: Buffer,
  encoders: readonly ValueEncoder[],
  batch: ColumnBatch,
  { places, from, rows }: { readonly places: Int32Array; readonly from: number; readonly rows: number },
): void {
  writeFrame(piece)
  const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength)
  for (let row = 0; row < rows; row++) {
    view.setInt16(places[row] as number, encoders.length)
    places[row] = (places[row] as number) + COUNT_BYTES
  }
  for (const [c, encoder] of encoders.entries()) {
    encoder.write(batch.columns[c] as ColumnData, from, rows, { piece, view, places })
  }
}
