import { C, SQLT } from './constants.ts'
import type { Handles } from './handles.ts'

const INPUT = 1

/** Binds texts to the `?` of a statement in their order. The buffers must be kept until it has run. */
export function bindTexts(handles: Handles, statement: bigint, values: readonly string[]): Buffer[] {
  return values.flatMap((value, i) => {
    const text = Buffer.from(value, 'utf16le')
    const length = Buffer.alloc(8)
    length.writeBigInt64LE(BigInt(text.length))
    // Some drivers refuse an empty buffer, whatever length they are told.
    const buffer = text.length === 0 ? Buffer.alloc(2) : text
    const size = BigInt(Math.max(1, value.length))
    const { library } = handles
    const result = library.SQLBindParameter(
      statement,
      i + 1,
      INPUT,
      C.WCHAR,
      SQLT.WVARCHAR,
      size,
      0,
      buffer,
      BigInt(buffer.length),
      length,
    )
    handles.checkStatement(result, statement)
    return [buffer, length]
  })
}
