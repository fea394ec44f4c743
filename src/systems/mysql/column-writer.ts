import { ProtocolError } from './protocol.ts'
import { fixedWidth, type ColumnData } from '../../core/batch.ts'
import type { BufferPool } from '../../core/buffer-pool.ts'
import { typeText, type ColumnType } from '../../core/types.ts'
import { bytesWriter } from './bytes-writer.ts'
import { fixedDecoder } from './fixed-decoders.ts'
import type { Block } from './block.ts'
import type { WireColumn } from './protocol.ts'
import { newValidity } from './validity.ts'

/** Decodes column `index` of the block's rows `from` to `to` into the batch at row `at`. Calls `bad` with each row whose value the type cannot hold. */
export type Decoder = (
  block: Block,
  index: number,
  rows: { readonly from: number; readonly to: number; readonly at: number },
  bad: (row: number) => void,
) => void

/** A column of a batch that is being filled from blocks. */
export interface ColumnWriter {
  /** Throws when the bytes are not of the expected type. */
  readonly append: Decoder
  /** Forgets what was written at row `at` and after it. */
  cut(at: number): void
  /** Bytes written so far for values of varying length. */
  readonly bytes: number
  /** Hands over the first `rows` rows; the writer cannot be used after. */
  finish(rows: number): ColumnData
}

/** How the zeros that stand for dates are taken: as values that no type holds, or as NULL because the user said so. */
export type ZeroDates = 'reject' | 'null'

/** What a writer is made with. */
export interface WriterNeeds {
  readonly type: ColumnType
  readonly wire: WireColumn
  readonly zeroDates: ZeroDates
  /** Rows that it has room for. */
  readonly capacity: number
  readonly pool: BufferPool
  /** Bytes that the values of the last batch took: what to make room for. */
  readonly bytesExpected: number
}

export function columnWriter(needs: WriterNeeds): ColumnWriter {
  const { type, capacity, pool } = needs
  const width = fixedWidth(type)
  if (width === null) return bytesWriter(needs)
  const validity = newValidity(capacity)
  const data = new Uint8Array(pool.take(capacity * width))
  const append = fixedDecoder(needs, data.buffer, validity)
  if (append === null) throw new ProtocolError(`the server sent wire type ${needs.wire.type} for ${typeText(type)}`)
  return {
    bytes: 0,
    append,
    cut: at => validity.cut(at),
    finish: rows => ({ layout: 'fixed', width, validity: validity.finish(rows), data: data.subarray(0, rows * width) }),
  }
}
