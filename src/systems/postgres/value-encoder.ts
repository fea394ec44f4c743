import type { ColumnData } from '../../core/batch.ts'

/** A piece that is being filled, and where the next value of each of its rows goes. */
export interface Piece {
  readonly piece: Buffer
  readonly view: DataView
  readonly places: Int32Array
}

/** Writes the values of one column in the binary form of their type, each behind its length. */
export interface ValueEncoder {
  /** The first value from row `from` on that PostgreSQL does not hold, `null` when it holds all. */
  check(column: ColumnData, from: number, rows: number): { readonly row: number; readonly problem: string } | null
  /** Adds the bytes of each value, without its length, to `sizes`. */
  measure(column: ColumnData, from: number, rows: number, sizes: Int32Array): void
  /** Writes the values that were measured last, or the first of them, and moves the places behind them. */
  write(column: ColumnData, from: number, rows: number, to: Piece): void
}

/** Writes the length that stands for NULL; gives the place behind it. */
export function putNull(view: DataView, at: number): number {
  view.setInt32(at, -1)
  return at + 4
}

export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}
