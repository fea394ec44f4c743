import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { Connection } from './connection.ts'

/**
 * M9: how far back a transaction may still commit rows, read before the view is taken.
 *
 * A row that is not in the view comes from a transaction that was open when the view was taken, or began later. The
 * clock is read first, then the sessions, then the prepared transactions: what was open at the clock's time and is open
 * still is seen in one of the two, and what begins later is stamped later than the clock. `null` when the server cannot
 * tell:
 * - a session of another account whose start the server hides (the account lacks `pg_read_all_stats`);
 * - a session that reports nothing (`track_activities` is off for it);
 * - a prepared transaction: the server knows when it was prepared, not when it began;
 * - a subscription in this database: its rows carry the stamps of another server;
 * - a standby: the writers are on another server.
 */
export async function readHorizon(connection: Connection, signal: AbortSignal): Promise<bigint | null> {
  const read = async (statement: Sql): Promise<readonly (string | null)[]> =>
    (await connection.query(statement, signal))[0] ?? []
  const [clock] = await read(sql`select ${clockMicros}`)
  const [oldest, unknown, isAhead] = await read(sessions)
  const [prepared] = await read(sql`
    select count(*) from pg_prepared_xacts where database = current_database()`)
  if (unknown !== 'f' || prepared !== '0') return null
  if (isAhead === 't') return 0n
  const [fromClock, fromSessions] = [BigInt(clock as string) - REPORT_MICROS, oldest == null ? null : BigInt(oldest)]
  return fromSessions !== null && fromSessions < fromClock ? fromSessions : fromClock
}

/** The source's clock in microseconds since 1970. */
export const clockMicros: Sql = rawSql('(extract(epoch from clock_timestamp()) * 1000000)::bigint')

/**
 * A session takes the time of its transaction a moment before it reports it. In between it looks idle, so the horizon
 * stays this far behind the clock. Rows stamped in these seconds are read twice, which costs nothing but their reading.
 */
const REPORT_MICROS = 5_000_000n

const sessions = sql`
  select (extract(epoch from min(xact_start)) * 1000000)::bigint,
    pg_is_in_recovery() or coalesce(bool_or(
      query = '<insufficient privilege>' or state = 'disabled' or backend_type like 'logical replication%'), false),
    -- It began before the clock was put back: what it stamps now may be of any time since.
    coalesce(bool_or(xact_start > clock_timestamp()), false)
  from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid()
    and coalesce(backend_type, '') not in ('autovacuum worker', 'walsender')`
