import { fail } from '../../../core/errors.ts'
import type { Dialect } from '../../../core/sql.ts'

/** CQL as Cassandra reads it. Rules and repairs never run in a source, so it has no portable functions and makes no tables. */
export const cassandraDialect: Dialect = {
  identBytesMax: 222,
  quote: name => `"${name.replaceAll('"', '""')}"`,
  literal: value => {
    if (value === null) return 'null'
    return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value)
  },
  type: () => refuse('a column type'),
  fn: () => refuse('a row function'),
  tryCast: () => refuse('a cast with rejects'),
}

function refuse(what: string): never {
  throw fail('INTERNAL', { what: `${what} was sent to a Cassandra source` })
}
