import { fail } from '../../../core/errors.ts'
import type { Dialect } from '../../../core/sql.ts'

/** SQL as SQLite reads it. Rules and repairs never run in a source, so it has no portable functions and makes no tables. */
export const sqliteDialect: Dialect = {
  // SQLite keeps names of any length; this is the longest statement that it reads.
  identBytesMax: 1_000_000,
  quote: name => `"${name.replaceAll('"', '""')}"`,
  literal,
  type: () => refuse('a column type'),
  fn: () => refuse('a row function'),
  tryCast: () => refuse('a cast with rejects'),
}

function literal(value: string | number | bigint | boolean | null): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : value > 0 ? '9e999' : '-9e999'
  if (typeof value === 'bigint') return String(value)
  // The statement ends at a NUL, so a text with one is written in hexadecimal.
  if (value.includes('\0')) return `cast(x'${Buffer.from(value).toString('hex')}' as text)`
  return `'${value.replaceAll("'", "''")}'`
}

function refuse(what: string): never {
  throw fail('INTERNAL', { what: `${what} was sent to a SQLite source` })
}
