import { fail } from '../../../core/errors.ts'
import { sql, type Sql } from '../../../core/sql.ts'
import type { CaptureTechnique } from '../contract-capture.ts'
import type { Connection } from './connection.ts'
import type { Target } from './target.ts'

/** Holds the stream of a technique while the session lives. Throws `CAPTURE_HELD`. */
export async function takeLock(
  connection: Connection,
  technique: CaptureTechnique,
  { source, database }: Target,
  signal: AbortSignal,
): Promise<void> {
  const name = lockName(technique, database)
  const [row] = await connection.query(sql`select get_lock(${name}, 0)`, signal)
  if (row?.[0] === '1') return
  const [holder] = await connection.query(
    sql`select concat('session ', id, ' of ', user, ' from ', host) from information_schema.processlist where id = is_used_lock(${name})`,
    signal,
  )
  throw fail('CAPTURE_HELD', { source, technique, holder: holder?.[0] ?? 'a session that has ended meanwhile' })
}

/** The name of that lock, in SQL: the server takes 64 letters. */
export function lockName(technique: CaptureTechnique, database: string): Sql {
  return sql`left(concat('naru ', ${technique}, ' ', ${database}), 64)`
}
