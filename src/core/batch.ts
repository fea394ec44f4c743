import type { ColumnType } from './types.ts'

/**
 * A column batch: the one currency for bulk rows between an adapter and an engine. It may cross a thread
 * (every buffer is transferable) and is never turned into row objects.
 */
export interface ColumnBatch {
  readonly rows: number
  /** In the order of the columns that were asked for. */
  readonly columns: readonly ColumnData[]
}

/**
 * The values of one column. `validity` has one bit for each row, least significant first, 1 = a value, 0 = NULL;
 * `null` means that every row has a value. The bytes of a NULL row are unspecified.
 *
 * Layout by column type, little-endian:
 * - bool: 1 byte. int: 2, 4 or 8. float: 4 or 8.
 * - decimal(p,s): the unscaled integer in 2 bytes (p <= 4), 4 (p <= 9), 8 (p <= 18) or 16 (p <= 38).
 * - date: int32 days since 1970-01-01; the two infinities are the int32 limits, negative one plus 1.
 * - time: int64 microseconds since midnight (24:00 allowed).
 * - timestamp: int64 microseconds since 1970-01-01 UTC; infinity is 2^63-1, -infinity is -(2^63-1).
 * - interval: int32 months, int32 days, int64 microseconds: 16 bytes.
 * - uuid: 16 bytes as text order (most significant first).
 * - text, enum, json (UTF-8) and bytes: `offsets` has rows + 1 entries into `data`.
 */
export type ColumnData =
  | {
      readonly layout: 'fixed'
      readonly width: 1 | 2 | 4 | 8 | 16
      readonly validity: Uint8Array | null
      readonly data: Uint8Array
    }
  | {
      readonly layout: 'bytes'
      readonly validity: Uint8Array | null
      readonly offsets: Uint32Array
      readonly data: Uint8Array
    }

export const INFINITY_DAYS = 2_147_483_647
export const INFINITY_MICROS = 9_223_372_036_854_775_807n

/** Bytes of one value in a `fixed` column, or `null` when the type is laid out as `bytes`. */
export function fixedWidth(type: ColumnType): 1 | 2 | 4 | 8 | 16 | null {
  switch (type.kind) {
    case 'bool':
      return 1
    case 'int':
      return type.bits === 16 ? 2 : type.bits === 32 ? 4 : 8
    case 'float':
      return type.bits === 32 ? 4 : 8
    case 'decimal':
      return type.precision <= 4 ? 2 : type.precision <= 9 ? 4 : type.precision <= 18 ? 8 : 16
    case 'date':
      return 4
    case 'time':
    case 'timestamp':
      return 8
    case 'interval':
    case 'uuid':
      return 16
    case 'text':
    case 'enum':
    case 'json':
    case 'bytes':
      return null
  }
}

/** True when row `row` of a column has a value. */
export function isValid(validity: Uint8Array | null, row: number): boolean {
  return validity === null || ((validity[row >> 3] ?? 0) & (1 << (row & 7))) !== 0
}

/** Bytes that a batch holds, for limits and progress. */
export function batchBytes(batch: ColumnBatch): number {
  let bytes = 0
  for (const column of batch.columns) {
    bytes += column.data.byteLength + (column.validity?.byteLength ?? 0)
    if (column.layout === 'bytes') bytes += column.offsets.byteLength
  }
  return bytes
}

/**
 * The buffers of a batch, each once, which move between threads without a copy. Those that were moved elsewhere are left out. Columns of a
 * decoded slice are views of one buffer: it moves with all that it holds.
 */
export function buffersOf({ columns }: ColumnBatch): ArrayBuffer[] {
  const buffers = columns.flatMap(column => [
    column.data.buffer,
    ...(column.validity === null ? [] : [column.validity.buffer]),
    ...(column.layout === 'bytes' ? [column.offsets.buffer] : []),
  ])
  return [...new Set(buffers as ArrayBuffer[])].filter(buffer => buffer.byteLength > 0)
}
