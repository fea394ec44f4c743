import { fail } from '../../../core/errors.ts'
import { joinSql, sql } from '../../../core/sql.ts'
import { typeText, type ColumnType } from '../../../core/types.ts'
import type { TableShape } from '../contract.ts'
import type { CatalogTable } from './catalog.ts'
import type { Connection } from './connection.ts'
import { columnOf, fromTable } from './filter.ts'

/** Compares what the config says with what is there. */
export function compareShape(
  shape: TableShape,
  table: CatalogTable,
  source: string,
): { readonly unknownColumns: readonly string[]; readonly rowsEstimate: number | null } {
  for (const { name, type } of shape.columns) {
    const found = table.columns.find(column => column.name === name)
    if (found === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: shape.remote, column: name })
    if (!found.readable) throw denied(source, `column "${name}" of table "${shape.remote}"`)
    if (!holds(type, found.type)) {
      const expected = typeText(type)
      throw fail('SOURCE_TYPE_CHANGED', {
        source,
        table: shape.remote,
        column: name,
        expected,
        found: found.nativeType,
      })
    }
  }
  const known = new Set(shape.columns.map(column => column.name))
  const unknownColumns = table.columns.filter(column => column.readable && !known.has(column.name))
  return { unknownColumns: unknownColumns.map(column => column.name), rowsEstimate: table.rowsEstimate }
}

function denied(source: string, object: string): Error {
  return fail('SOURCE_DENIED', { source, object, problem: 'the account has no SELECT privilege' })
}

/** True when every value of `found` is one of `expected` in the same layout. An enum may lose values, not gain them. */
function holds(expected: ColumnType, found: ColumnType): boolean {
  if (expected.kind === 'enum' && found.kind === 'enum') {
    return found.values.every(value => expected.values.includes(value))
  }
  return typeText(expected) === typeText(found)
}

/**
 * Holds the table as it is until the view is closed, and proves that the account may read its columns. A table that was
 * truncated or rewritten between the view and the lock would look empty in the view, so that is an error.
 */
export async function lockTable(
  connection: Connection,
  table: CatalogTable,
  source: string,
  signal: AbortSignal,
): Promise<void> {
  const readable = table.columns.filter(column => column.readable)
  if (readable.length === 0) throw denied(source, `table "${table.name}"`)
  const columns = joinSql(readable.map(column => columnOf(column.name)))
  // Planning it locks the table and its partitions; unlike LOCK TABLE it needs no right on the columns we do not read.
  await connection.query(sql`select ${columns} from ${fromTable(table)} limit 0`, signal)
  const rewritten = await connection.query(
    sql`
    with recursive part(oid) as (
      select ${table.oid}::oid
      union all select i.inhrelid from pg_inherits i join part on i.inhparent = part.oid)
    select c.relname from pg_class c join part on part.oid = c.oid
    where c.relfilenode <> 0 and c.relfilenode is distinct from pg_relation_filenode(c.oid)`,
    signal,
  )
  if (rewritten.length === 0) return
  const problem = 'it was truncated or rewritten after the view was taken'
  throw fail('SOURCE_READ', { source, table: table.name, problem })
}
