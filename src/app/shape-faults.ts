import type { Code } from '../core/errors.ts'

/** What is wrong with the shape of one table stops that table; any other fault ends the run. */
export const shapeFaults: readonly Code[] = [
  'SOURCE_TABLE_GONE',
  'SOURCE_COLUMN_NEW',
  'SOURCE_COLUMN_GONE',
  'SOURCE_TYPE_CHANGED',
  'SOURCE_KEY_CHANGED',
]
