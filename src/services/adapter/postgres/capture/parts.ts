import { sql } from '../../../../core/sql.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import type { Connection } from '../connection.ts'
import { columnsHeld, identityColumns } from './replica-identity.ts'
import { sourceIdent } from '../source-name.ts'
import { statement } from './setup.ts'

/** What of a table the log tells as something else, or not at all: what it is, and what helps. */
export interface PartFault {
  readonly text: string
  readonly fix: string
}

/**
 * A table whose rows partly lie in others. Rows of tables that inherit from it are read with it, but the log has them as
 * rows of those. Rows of partitions come as rows of the table, though each partition has a replica identity of its own,
 * which decides what comes of an old row. `null` when all is well.
 */
export async function partFault(
  connection: Connection,
  { remote, key }: Pick<CapturedTable, 'remote' | 'key'>,
  oid: number,
  signal?: AbortSignal,
): Promise<PartFault | null> {
  const rows = await connection.query(
    sql`
    with recursive part as (
      select inhrelid from pg_inherits where inhparent = ${oid}::oid
      union all select i.inhrelid from pg_inherits i join part on i.inhparent = part.inhrelid)
    select n.nspname || '.' || c.relname, c.relispartition, c.relreplident, ${identityColumns}
    from part join pg_class c on c.oid = part.inhrelid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' order by 1`,
    signal,
  )
  for (const [name, isPartition, identity, columns] of rows) {
    if (isPartition !== 't') return inherited(remote, name as string)
    const held = columnsHeld(columns)
    if (identity === 'f' || (key.length > 0 && key.every(it => held.includes(it)))) continue
    const what = held.length === 0 ? 'nothing' : held.join(', ')
    return {
      text: `the replica identity of its partition "${name}" holds ${what}, and old rows must be known by ${key.length === 0 ? 'all columns' : key.join(', ')}`,
      fix: statement(sql`alter table ${sourceIdent(name as string)} replica identity full`),
    }
  }
  return null
}

function inherited(remote: string, child: string): PartFault {
  return {
    text: `"${child}" inherits from it: a read of "${remote}" has its rows, and the log has them as rows of "${child}"`,
    fix: 'Use the change technique full or timestamp for it, or make it a partitioned table.',
  }
}
