import { sql } from '../../../../core/sql.ts'
import type { CapturedTable, CaptureProblem } from '../../contract-capture.ts'
import type { TextRow } from '../connection.ts'
import { readPublication, type Inspected } from './publication.ts'
import { createPublication, hasFailover, statement } from './setup.ts'

/** How a fix begins that a standby cannot be given: it takes no writes. */
export const atPrimary = 'At its primary: '

/** A standby decodes its log from here on. */
const STANDBY_VERSION_MIN = 160_000

/** What stands in the way of reading a standby, or of going on at one that takes over. */
export async function standbyProblems(
  given: Inspected,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const [row] = await given.connection.query(sql`select pg_is_in_recovery()`, signal)
  return row?.[0] === 't' ? ofStandby(given, tables, signal) : ofPrimary(given, signal)
}

async function ofStandby(
  given: Inspected,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const { connection, settings } = given
  if (connection.version < STANDBY_VERSION_MIN) {
    const text = 'it is a standby, and those decode no log before PostgreSQL 16'
    return [{ table: null, text, fix: 'Read from the primary.', isFatal: true }]
  }
  const problems: CaptureProblem[] = []
  if ((await readPublication(given, signal)) === null) {
    problems.push({
      table: null,
      text: `it is a standby, and there is no publication "${settings.publication}"`,
      fix: `${atPrimary}${statement(createPublication(settings, tables, 0))}`,
      isFatal: true,
    })
  }
  const [row] = await connection.query(sql`select current_setting('hot_standby_feedback')`, signal)
  if (row?.[0] !== 'on') {
    problems.push({
      table: null,
      text: 'it is a standby without hot_standby_feedback: its primary may remove rows of catalogs that the slot needs, which ends the stream',
      fix: `alter system set hot_standby_feedback = 'on'; select pg_reload_conf();`,
      isFatal: false,
    })
  }
  return problems
}

/** A server without standbys has nobody who takes over. */
async function ofPrimary({ connection, settings }: Inspected, signal: AbortSignal): Promise<readonly CaptureProblem[]> {
  if (!settings.failover || !hasFailover(connection.version)) return []
  const [row] = await connection.query(
    sql`select (select string_agg(slot_name, ', ' order by slot_name) from pg_replication_slots where slot_type = 'physical' and not temporary),
      current_setting('synchronized_standby_slots'), (select failover from pg_replication_slots where slot_name = ${settings.slot})`,
    signal,
  )
  const [standbys, waitedFor, isFailover] = row as TextRow
  if (standbys == null) return []
  const problems: CaptureProblem[] = []
  if (isFailover === 'f') {
    problems.push({
      table: null,
      text: `the replication slot "${settings.slot}" is not copied to standbys: after a failover its position is lost`,
      fix: `While nothing reads it, over a replication connection (psql 'replication=database ...'): alter_replication_slot ${settings.slot} (failover true); or set failover: false`,
      isFatal: false,
    })
  }
  if (waitedFor === '') {
    problems.push({
      table: null,
      text: `the server sends changes before its standbys (${standbys}) have them: after a failover they may be unknown there, and the position is then refused`,
      fix: `With the slots of the standbys that may take over: alter system set synchronized_standby_slots = '${standbys}'; select pg_reload_conf(); or set failover: false`,
      isFatal: false,
    })
  }
  return problems
}
