import type { ColumnData } from '../../core/batch.ts'
import type { BufferPool } from '../../core/buffer-pool.ts'
import type { Block } from './block.ts'
import { newValidity, type Validity } from './validity.ts'

/**
 * Decodes column `index` of the block's rows `from` to `to` into the batch at row `at`. Calls `bad` with each row whose
 * value the type cannot hold. Throws when the bytes are not of the expected type.
 */
export type Decoder = (
  block: Block,
  index: number,
  rows: { readonly from: number; readonly to: number; readonly at: number },
  bad: (row: number) => void,
) => void

/** A column of a batch that is being filled from blocks. */
export interface ColumnWriter {
  readonly append: Decoder
  /** Forgets what was written at row `at` and after it. */
  cut(at: number): void
  /** Bytes written so far for values of varying length. */
  readonly bytes: number
  /** Hands over the first `rows` rows; the writer cannot be used after. */
  finish(rows: number): ColumnData
}

/** What a writer has to fill. */
export interface WriterRoom {
  /** Rows that it has room for. */
  readonly capacity: number
  readonly pool: BufferPool
  /** Bytes that the values of the last batch took: what to make room for. */
  readonly bytesExpected: number
}

/** The writer of a type whose values all have `width` bytes; `decoderOf` is given the buffer that it fills. */
export function fixedWriter(
  width: 1 | 2 | 4 | 8 | 16,
  { capacity, pool }: WriterRoom,
  decoderOf: (buffer: ArrayBuffer, validity: Validity) => Decoder,
): ColumnWriter {
  const validity = newValidity(capacity)
  const data = new Uint8Array(pool.take(capacity * width))
  return {
    bytes: 0,
    append: decoderOf(data.buffer, validity),
    cut: at => validity.cut(at),
    finish: rows => ({ layout: 'fixed', width, validity: validity.finish(rows), data: data.subarray(0, rows * width) }),
  }
}
