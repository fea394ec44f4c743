import type { Env } from '../../../../core/env.ts'
import { messageOf } from '../../../../core/errors.ts'
import { ident, rawSql, sql, type Ident } from '../../../../core/sql.ts'
import { idPositionOf, type IdsGiven } from '../../id-gaps.ts'
import type { Pruning } from '../../pruner.ts'
import { Connection } from '../connection.ts'
import { withoutSecrets, type Target } from '../target.ts'
import type { TableTechnique } from './names.ts'
import { streamIdent } from './script.ts'

/** Rows of one DELETE. */
const ROWS_MAX = 5_000

/** A table that is pruned, and the column with the number of the change. */
export interface Pruned {
  readonly name: string
  readonly table: Ident
  readonly id: string
}

/** What the position's numbers have given may go. */
export function pruning(
  env: Env,
  target: Target,
  technique: TableTechnique,
  tables: readonly Pruned[],
): Pruning<string> {
  let connection: Connection | null = null
  const remove = async (open: Connection, { table, id }: Pruned, given: IdsGiven, signal: AbortSignal) => {
    for (const { after, upTo } of stretches(given)) {
      for (;;) {
        const { affected } = await open.run(
          sql`delete from ${table} where ${ident(id)} > ${rawSql(String(after))} and ${ident(id)} <= ${rawSql(String(upTo))} limit ${ROWS_MAX}`,
          signal,
        )
        if (affected < BigInt(ROWS_MAX)) break
      }
    }
  }
  return {
    prune: async (position, signal) => {
      if (connection === null) {
        connection = await Connection.open(env, target, 'write', signal)
        // No locks of holes, which transactions that are open will fill.
        await connection.run(sql`set session transaction isolation level read committed`, signal)
      }
      // Noted before anything is gone: who asks for an earlier position later must be refused.
      await connection.run(
        sql`update ${streamIdent(target.database)} set confirmed = ${position} where technique = ${technique}`,
        signal,
      )
      for (const table of tables) {
        const given = idPositionOf(position)?.tables.get(table.name)
        if (given !== undefined) await remove(connection, table, given, signal)
      }
    },
    covers: (wanted, position) => wanted === position,
    destroy: () => {
      connection?.destroy()
      connection = null
    },
    close: async () => connection?.close(),
    textOf: error => withoutSecrets(target, messageOf(error)),
  }
}

/** What lies between the holes: a row in one of them may be of an open transaction, which nobody must wait for. */
function stretches({ max, gaps }: IdsGiven): readonly { readonly after: bigint; readonly upTo: bigint }[] {
  const found = []
  let after = 0n
  for (const { from, to } of gaps) {
    if (from - 1n > after) found.push({ after, upTo: from - 1n })
    after = to
  }
  if (max > after) found.push({ after, upTo: max })
  return found
}
