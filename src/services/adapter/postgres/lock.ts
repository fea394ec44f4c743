import { fail } from '../../../core/errors.ts'
import { joinSql, sql } from '../../../core/sql.ts'
import type { CatalogTable } from './catalog.ts'
import type { Connection } from './connection.ts'
import { columnOf, fromTable } from './filter.ts'

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
  if (readable.length === 0) {
    const problem = 'the account has no SELECT privilege'
    throw fail('SOURCE_DENIED', { source, object: `table "${table.name}"`, problem })
  }
  const columns = joinSql(readable.map(column => columnOf(column.name)))
  // Planning it locks the table and its partitions; unlike LOCK TABLE it needs no right on the columns we do not read.
  await connection.query(sql`select ${columns} from ${fromTable(table)} limit 0`, signal)
  const rewritten = await connection.query(
    sql`
    with recursive part(oid) as (
      select ${table.oid}::oid
      union all select i.inhrelid from pg_inherits i join part on i.inhparent = part.oid)
    select c.relname from pg_class c join part on part.oid = c.oid
    where c.relfilenode <> 0 and c.relfilenode is distinct from pg_relation_filenode(c.oid)
    union all
    -- The name may lead to another table than the one of the view: its rows are younger than the view, so it looks empty.
    select ${table.name} where to_regclass(format('%I.%I', ${table.schema}::text, ${table.relation}::text))::oid
      is distinct from ${table.oid}::oid`,
    signal,
  )
  if (rewritten.length === 0) return
  throw fail('SOURCE_REWRITTEN', { source, table: table.name })
}
