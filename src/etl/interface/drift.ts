import { fail } from '../../core/errors.ts'
import { typeText, type ColumnType } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { TableNow } from '../../services/adapter/contract.ts'

/**
 * Compares what the config says of a table with what the source has now; gives the columns that the config does not
 * know. Throws `SOURCE_COLUMN_GONE`, `SOURCE_TYPE_CHANGED` or `SOURCE_DENIED`.
 */
export function compareShape(table: SourceTableDef, now: TableNow): readonly string[] {
  const { source, remote } = table
  for (const { name, type } of table.columns) {
    if (now.denied.includes(name)) {
      const problem = 'the account has no SELECT privilege'
      throw fail('SOURCE_DENIED', { source, object: `column "${name}" of table "${remote}"`, problem })
    }
    const found = now.columns.find(column => column.name === name)
    if (found === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: remote, column: name })
    if (!holds(type, found.type)) {
      const native = found.nativeType === '' ? 'without a type' : found.nativeType
      const types = { expected: typeText(type), found: `${native} (${typeText(found.type)})` }
      throw fail('SOURCE_TYPE_CHANGED', { source, table: remote, column: name, ...types })
    }
  }
  const known = new Set(table.columns.map(column => column.name))
  return now.columns.map(column => column.name).filter(name => !known.has(name))
}

/** True when every value of `found` is one of `expected` in the same layout. An enum may lose values, not gain them. */
function holds(expected: ColumnType, found: ColumnType): boolean {
  if (expected.kind === 'enum' && found.kind === 'enum') {
    return found.values.every(value => expected.values.includes(value))
  }
  return typeText(expected) === typeText(found)
}
