import type { BatchShape } from '../wire/batch-builder.ts'
import { badValueText } from './bad-value.ts'
import { columnWriter, type ZeroDates } from './column-writer.ts'
import type { WireColumn } from './protocol.ts'

/** What a `batchBuilder` needs to collect binary rows, of which the server sends `wires`. */
export function batchShape(
  given: Pick<BatchShape, 'columns' | 'key' | 'pool'>,
  wires: readonly WireColumn[],
  zeroDates: ZeroDates,
): BatchShape {
  const types = given.columns.map(({ type }) => type)
  const writer: BatchShape['writer'] = (c, room) =>
    columnWriter({ type: types[c]!, wire: wires[c]!, zeroDates, ...room })
  return { ...given, badValueText, writer }
}
