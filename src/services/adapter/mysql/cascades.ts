import { ident, sql } from '../../../core/sql.ts'
import type { CatalogTable } from './catalog.ts'
import type { Connection } from './connection.ts'

/** A line of SHOW CREATE TABLE: the name of the key, and what it does to rows of this table. */
const CASCADES = /^\s*CONSTRAINT [`"](.+)[`"] FOREIGN KEY .* ON (?:DELETE|UPDATE) (?:CASCADE|SET NULL)/gm

/**
 * Foreign keys by which a change of another table deletes or changes rows of this one. InnoDB does that below the server: no
 * trigger fires, and the log of rows has nothing of it. Needs SELECT on the table: information_schema shows an account that may
 * only read no keys. None are given to one that may not read the whole table.
 */
export async function cascadesOf(
  connection: Connection,
  { schema, relation, engine }: Pick<CatalogTable, 'schema' | 'relation' | 'engine'>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (engine !== 'InnoDB') return []
  try {
    const [row] = await connection.query(sql`show create table ${ident(schema, relation)}`, signal)
    return [...(row?.[1] ?? '').matchAll(CASCADES)].map(([, name = '']) => name)
  } catch {
    signal.throwIfAborted()
    return [] // what such an account lacks is told as a problem of its own
  }
}

/** What mends it. */
export const cascadesFix =
  'Let the application delete and change those rows itself (on delete restrict on update restrict), or follow the table by the technique full.'
