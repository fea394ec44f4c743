import { sql, type Sql } from '../core/sql.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { ChangeSet } from './context.ts'
import { equalKeys, stagingNames } from './tables.ts'

/** The staged rows that a change set speaks of, as a query: all of them, or those of its keys. Deleted keys have none. */
export function changedRows(table: SourceTableDef, changes: ChangeSet): Sql {
  const { image } = stagingNames(table)
  if (changes.scope === 'all' || changes.keys === null) return sql`select s.* from ${image} s`
  if (changes.rows !== undefined) return sql`select s.* from ${changes.rows} s`
  return sql`select s.* from ${image} s join ${changes.keys} k on ${equalKeys('s', 'k', table.key)}`
}
