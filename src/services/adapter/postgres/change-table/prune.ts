import { messageOf } from '../../../../core/errors.ts'
import { ident, sql, type Ident } from '../../../../core/sql.ts'
import type { Env } from '../../../../core/env.ts'
import type { Pruning } from '../../pruner.ts'
import { Connection } from '../connection.ts'
import { withoutSecrets, type Target } from '../target.ts'
import { streamTable } from './names.ts'
import { comparePositions, type Position } from './position.ts'
import type { TableTechnique } from './script.ts'

/** Rows of one DELETE. */
const ROWS_MAX = 5_000

/** A table that is pruned, and the column with the number of the transaction. */
export interface Pruned {
  readonly table: Ident
  readonly xid: string
}

/** Everything that the position's view has seen may go. Within a window that is what was given before it. */
export function pruning(
  env: Env,
  target: Target,
  technique: TableTechnique,
  tables: readonly Pruned[],
): Pruning<Position> {
  let connection: Connection | null = null
  return {
    prune: async ({ seen }, signal) => {
      connection ??= await Connection.open(env, target, 'write', signal)
      // Noted before anything is gone: who asks for an earlier position later must be refused.
      await connection.query(
        sql`update ${streamTable} set pruned = ${seen.text}::pg_snapshot where technique = ${technique}`,
        signal,
      )
      for (const { table, xid } of tables) {
        for (;;) {
          const deleted = await connection.execute(
            sql`
            delete from ${table} where ctid = any (array(
              select c.ctid from ${table} c where c.${ident(xid)} < ${String(seen.xmax)}::xid8
                and pg_visible_in_snapshot(c.${ident(xid)}, ${seen.text}::pg_snapshot) limit ${ROWS_MAX}))`,
            signal,
          )
          if (deleted < BigInt(ROWS_MAX)) break
        }
      }
    },
    covers: (wanted, position) => comparePositions(position, wanted) <= 0,
    destroy: () => {
      connection?.destroy()
      connection = null
    },
    close: async () => connection?.close(),
    textOf: error => withoutSecrets(target, messageOf(error)),
  }
}
