import type { BatchShape } from '../wire/batch-builder.ts'
import { badValueText } from './bad-value.ts'
import { columnWriter, type TextCheck } from './column-writer.ts'

/** What a `batchBuilder` needs to collect rows of a binary COPY. */
export function batchShape(given: Pick<BatchShape, 'columns' | 'key' | 'pool'>, checkText: TextCheck): BatchShape {
  const types = given.columns.map(({ type }) => type)
  return { ...given, badValueText, writer: (c, room) => columnWriter({ type: types[c]!, checkText, ...room }) }
}
