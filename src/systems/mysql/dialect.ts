import { fail } from '../../core/errors.ts'
import type { Dialect } from '../../core/sql.ts'
import type { ColumnType } from '../../core/types.ts'

/** SQL as MySQL and MariaDB read it in a session of ours. Rules and repairs never run in a source, so it has no portable functions. */
export const mysqlDialect: Dialect = {
  // 64 letters, which the server checks itself: it refuses a longer name and cuts none.
  identBytesMax: 256,
  quote: name => `\`${name.replaceAll('`', '``')}\``,
  literal,
  type: type => exactTypeName(type) ?? 'longtext',
  fn: () => {
    throw fail('INTERNAL', { what: 'a row function was sent to a MySQL source' })
  },
  tryCast: () => {
    throw fail('INTERNAL', { what: 'a cast with rejects was sent to a MySQL source' })
  },
}

const escapes: Readonly<Record<string, string>> = {
  '\0': '\\0',
  '\n': '\\n',
  '\r': '\\r',
  '\u001a': '\\Z',
  "'": "''",
  '\\': '\\\\',
}

/** Sessions of ours read a backslash as an escape, whatever the server's own setting. */
function literal(value: string | number | bigint | boolean | null): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (typeof value !== 'string') return String(value)
  // oxlint-disable-next-line no-control-regex -- these are the characters that must not stand in a statement
  return `'${value.replace(/[\0\n\r\u001a'\\]/g, letter => escapes[letter] as string)}'`
}

/** Text that keeps its letters, its case and its trailing spaces apart. */
const EXACT_TEXT = 'longtext character set utf8mb4 collate utf8mb4_bin'

/** The type that holds every value of `type` exactly, finite ones where it knows no infinity; `null` when there is none. */
export function exactTypeName(type: ColumnType): string | null {
  switch (type.kind) {
    case 'bool':
      return 'bit(1)'
    case 'int':
      return type.bits === 16 ? 'smallint' : type.bits === 32 ? 'int' : 'bigint'
    case 'decimal':
      return type.scale <= 30 ? `decimal(${type.precision},${type.scale})` : null
    case 'float':
      return type.bits === 32 ? 'float' : 'double'
    case 'text':
    case 'enum':
    case 'json': // a JSON column of MySQL writes numbers anew: 1.00 becomes 1.0
      return EXACT_TEXT
    case 'bytes':
      return 'longblob'
    case 'uuid':
      return 'char(36) character set ascii collate ascii_bin'
    case 'date':
      return 'date'
    case 'time':
      return 'time(6)'
    case 'timestamp': // TIMESTAMP is the only one that is an instant; it ends in 2038 and refuses what is later
      return type.zoned ? 'timestamp(6)' : 'datetime(6)'
    case 'interval':
      return null
  }
}
