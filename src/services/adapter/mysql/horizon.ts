import { systemCodeOf } from '../../../core/errors.ts'
import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { Connection } from './connection.ts'

/** The server's clock in microseconds since 1970. The session is in UTC, so its time has no other offset. */
export const clockMicros: Sql = rawSql(`timestampdiff(microsecond, timestamp'1970-01-01 00:00:00', sysdate(6))`)

/**
 * A statement takes its time a moment before the server lists it, and the lists have whole seconds. So the horizon stays
 * this far behind; rows stamped in these seconds are read twice, which costs nothing but their reading.
 */
const REPORT_MICROS = 5_000_000n

/**
 * M9: how far back a transaction may still commit rows, read before the view is taken. The clock is read first, then
 * the open transactions, then the running statements: one that waits for a lock on a table has its time already and no
 * transaction yet. `null` when the server cannot tell:
 * - the account lacks PROCESS and so sees only itself;
 * - a transaction without a session: prepared, and found again after a restart, which hides when it began;
 * - a replica or a cluster: its rows carry the stamps of other servers.
 */
export async function readHorizon(connection: Connection, signal: AbortSignal): Promise<bigint | null> {
  const read = async (statement: Sql): Promise<readonly (string | null)[]> =>
    (await connection.query(statement, signal))[0] ?? []
  try {
    const [clock] = await read(sql`select ${clockMicros}`)
    const [oldest, orphans, isAhead] = await read(transactions)
    const [longest, foreign] = await read(statements)
    if (orphans !== '0' || foreign !== '0') return null
    // It began before the clock was put back: what it stamps now may be of any time since.
    if (isAhead !== '0') return 0n
    const now = BigInt(clock as string)
    const starts = [now, ...(oldest == null ? [] : [BigInt(oldest)]), now - BigInt(longest ?? '0') * 1_000_000n]
    return starts.reduce((a, b) => (a < b ? a : b)) - REPORT_MICROS
  } catch (error) {
    if (systemCodeOf(error) === '1227') return null
    throw error
  }
}

/** Starts are told in the zone of the server's machine. In the hour that clocks are put back, the earlier reading counts. */
const started = rawSql(`least(convert_tz(trx_started, 'SYSTEM', '+00:00'),
  convert_tz(trx_started - interval 1 day, 'SYSTEM', '+00:00') + interval 1 day)`)

const transactions = sql`
  select timestampdiff(microsecond, timestamp'1970-01-01 00:00:00', min(${started})),
    coalesce(sum(trx_mysql_thread_id = 0), 0), coalesce(sum(${started} > sysdate(6)), 0)
  from information_schema.innodb_trx`

const statements = sql`
  select max(if(command not in ('Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID'), time, 0)),
    coalesce(sum(user = 'system user' and command <> 'Daemon'), 0)
  from information_schema.processlist`
