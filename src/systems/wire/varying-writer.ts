import type { ColumnWriter, Decoder, WriterRoom } from './column-writer.ts'
import { viewed, type Viewed } from './copy-value.ts'
import { newValidity, type Validity } from './validity.ts'

/** Where values of varying length are written, one behind the other. */
export interface Varying {
  readonly validity: Validity
  /** Where each row's value begins; a decoder sets `offsets[row + 1]` to the end of row `row`. */
  readonly offsets: Uint32Array
  /** Bytes written so far. */
  used: number
  /** Where to write, with room for `more` bytes behind `used`; what was given before may have moved. */
  reserve(more: number): Viewed
}

/** The writer of a column of varying length; `decoderOf` is given what it fills. */
export function varyingWriter(
  { capacity, pool, bytesExpected }: WriterRoom,
  decoderOf: (out: Varying) => Decoder,
): ColumnWriter {
  const offsets = new Uint32Array(pool.take((capacity + 1) * 4), 0, capacity + 1)
  const validity = newValidity(capacity)
  let data = viewed(pool.take(bytesExpected))
  offsets[0] = 0
  const out: Varying = {
    validity,
    offsets,
    used: 0,
    reserve: more => {
      const { length, buffer } = data.bytes
      if (out.used + more <= length) return data
      const grown = viewed(pool.take(Math.max(out.used + more, length * 2)))
      grown.bytes.set(data.bytes.subarray(0, out.used))
      pool.give([buffer as ArrayBuffer])
      data = grown
      return data
    },
  }
  return {
    get bytes() {
      return out.used
    },
    append: decoderOf(out),
    cut: at => {
      out.used = offsets[at] as number
      validity.cut(at)
    },
    finish: rows => ({
      layout: 'bytes',
      validity: validity.finish(rows),
      offsets: offsets.subarray(0, rows + 1),
      data: data.bytes.subarray(0, out.used),
    }),
  }
}
