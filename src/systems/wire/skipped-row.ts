import type { RowReject } from '../../core/reject.ts'
import type { ColumnDef } from '../../core/types.ts'
import { keyOf, type BadRow, type BatchShape } from './batch-builder.ts'

/** Bytes of each value that are kept of a row that is skipped: enough for its key and for a look at the rest. */
export const HEAD_BYTES = 1024

/** What is left of a row that was too large to take. */
export interface SkippedRow {
  readonly bytes: number
  readonly values: readonly SkippedValue[]
}

export interface SkippedValue {
  /** Length of the value; -1 is NULL. */
  readonly length: number
  /** Its first bytes. */
  readonly head: Buffer
}

/** The reject of a row with a value that its type cannot hold. */
export function badReject({ column, key, bytes, content }: BadRow): RowReject {
  const detail = `the value of "${column}" does not fit its type`
  return { reason: 'VALUE_NOT_IN_TYPE', detail, key, line: null, bytes, content }
}

/** The reject of a row over the limit: it names the largest value and shows how that begins. */
export function oversizedReject({ bytes, values }: SkippedRow, shape: BatchShape, rowBytesMax: number): RowReject {
  const lengths = values.map(value => value.length)
  const largest = lengths.indexOf(Math.max(...lengths))
  const column = shape.columns[largest] as ColumnDef
  const head = values[largest]?.head ?? Buffer.alloc(0)
  const key = keyOf(shape, place => {
    const value = values[place]
    return value === undefined || value.length < 0 ? null : value.head
  })
  return {
    reason: 'VALUE_TOO_LARGE',
    detail: `the row has ${bytes} bytes, ${lengths[largest]} of them in "${column.name}"; the limit is ${rowBytesMax}`,
    key,
    line: null,
    bytes,
    content: column.type.kind === 'bytes' ? `\\x${head.toString('hex')}` : head.toString('utf8'),
  }
}
