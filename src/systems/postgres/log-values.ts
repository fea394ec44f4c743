import type { ColumnType } from '../../core/types.ts'
import type { ColumnWriter } from '../wire/column-writer.ts'
import { columnWriter, type WriterNeeds } from './column-writer.ts'
import { convertedWriter } from './converted-writer.ts'
import { numericText } from './numeric-text.ts'
import { inetText, textWriter } from './text-writer.ts'
import { readAs, type NativeType } from './types.ts'

/** What becomes of the bytes of a value before its writer has them. */
export const touch = {
  none: 0,
  /** The first byte is a version. */
  skipVersion: 1,
  /** Blanks at its end are no part of it: a cast to text leaves them out. */
  trim: 2,
} as const

/** How the values of a native column are read from the transaction log, so that they equal those of a load. */
export interface LogColumn {
  readonly type: ColumnType
  readonly touch: number
  readonly writer: (needs: WriterNeeds) => ColumnWriter
}

const JSONB = 3802
const NUMERIC = 1700
const BPCHAR = 1042
const INET = 869

/** `null` where the binary form is not known: then the whole stream must come as text. */
export function readLogAs(native: NativeType, isBinary: boolean): LogColumn | null {
  const { type, asText } = readAs(native)
  if (native.oid === BPCHAR) return { type, touch: touch.trim, writer: columnWriter }
  if (!isBinary) {
    const writer = native.oid === INET ? (needs: WriterNeeds) => convertedWriter(needs, inetText) : textWriter
    return { type, touch: touch.none, writer }
  }
  if (!asText) return { type, touch: touch.none, writer: columnWriter }
  if (native.oid === JSONB) return { type, touch: touch.skipVersion, writer: columnWriter }
  if (native.oid === NUMERIC) return { type, touch: touch.none, writer: needs => convertedWriter(needs, numericText) }
  return null
}
