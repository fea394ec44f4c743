import type { Code } from '../core/errors.ts'

/** What is wrong with the shape of one table, or with the numbers it is followed by, stops that table; any other fault ends the run. */
export const tableFaults: readonly Code[] = [
  'SOURCE_TABLE_GONE',
  'SOURCE_COLUMN_NEW',
  'SOURCE_COLUMN_GONE',
  'SOURCE_TYPE_CHANGED',
  'SOURCE_KEY_CHANGED',
  'APPEND_PART_ROWS',
  'APPEND_UNABLE',
  'VERSION_WENT_BACK',
  'VERSION_REPEATED',
]
