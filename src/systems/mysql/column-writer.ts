import { fixedWidth } from '../../core/batch.ts'
import { typeText, type ColumnType } from '../../core/types.ts'
import { fixedWriter, type ColumnWriter, type WriterRoom } from '../wire/column-writer.ts'
import { bytesWriter } from './bytes-writer.ts'
import { fixedDecoder } from './fixed-decoders.ts'
import { ProtocolError, type WireColumn } from './protocol.ts'

/** How the zeros that stand for dates are taken: as values that no type holds, or as NULL because the user said so. */
export type ZeroDates = 'reject' | 'null'

/** What a writer is made with. */
export interface WriterNeeds extends WriterRoom {
  readonly type: ColumnType
  readonly wire: WireColumn
  readonly zeroDates: ZeroDates
}

/** The writer of a column that comes in binary rows. Throws when the server sends another wire type than belongs to it. */
export function columnWriter(needs: WriterNeeds): ColumnWriter {
  const { type, wire } = needs
  const width = fixedWidth(type)
  if (width === null) return bytesWriter(needs)
  return fixedWriter(width, needs, (buffer, validity) => {
    const decoder = fixedDecoder(needs, buffer, validity)
    if (decoder === null) throw new ProtocolError(`the server sent wire type ${wire.type} for ${typeText(type)}`)
    return decoder
  })
}
