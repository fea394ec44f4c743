import { fail, type NaruError } from '../../../../core/errors.ts'
import { rawSql, sql } from '../../../../core/sql.ts'
import type { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { heartbeatPrefix } from './decoder.ts'
import { lsnText, parseLsn, type LogPosition } from './position.ts'
import type { LogSettings } from './settings.ts'

/** What the server says of itself, of the slot and of the publication. */
export interface ServerState {
  readonly system: string
  readonly timeline: number
  /** The end of its log now. */
  readonly head: bigint
  /** Up to where its log is on its disk: a stream is given no more. */
  readonly flushed: bigint
  readonly isStandby: boolean
  /** Object id of the publication; 0 when there is none. */
  readonly publication: number
  readonly slot: SlotState | null
  /** After so many milliseconds without a word from us the server ends a stream; 0 is never. */
  readonly senderTimeoutMs: number
}

export interface SlotState {
  readonly plugin: string
  readonly database: string
  /** The process that reads it. */
  readonly activePid: string | null
  readonly confirmed: bigint | null
  readonly status: string | null
  readonly safeBytes: bigint | null
  /** Bytes of log that it holds. */
  readonly keptBytes: bigint | null
  /** Bytes of log that were not confirmed. */
  readonly behindBytes: bigint | null
}

/**
 * The end of the log. At the start of a page the server counts the page's own header, which no record ends behind; a
 * stream would wait there for ever.
 */
const head = rawSql(`case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else
  pg_current_wal_insert_lsn() end`)

const flushed = rawSql(`case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else
  pg_current_wal_flush_lsn() end`)

const timeline = rawSql(`case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
  else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end`)

/** One look at everything that a stream stands on. */
export async function readServer(
  connection: Connection,
  { slot, publication }: LogSettings,
  signal?: AbortSignal,
): Promise<ServerState> {
  const [row] = await connection.query(
    sql`
    select (select system_identifier from pg_control_system()), ${timeline}, ${head}, ${flushed}, pg_is_in_recovery(),
      coalesce((select oid from pg_publication where pubname = ${publication}), 0),
      (select setting from pg_settings where name = 'wal_sender_timeout'),
      current_setting('wal_block_size'), pg_size_bytes(current_setting('wal_segment_size')),
      s.plugin, s.database, s.active_pid, s.confirmed_flush_lsn, s.wal_status, s.safe_wal_size,
      pg_wal_lsn_diff(${head}, s.restart_lsn)::bigint, pg_wal_lsn_diff(${head}, s.confirmed_flush_lsn)::bigint, s.slot_name
    from (values (1)) as one(n) left join pg_replication_slots s on s.slot_name = ${slot}`,
    signal,
  )
  const [system, line, end, onDisk, standby, published, timeout, block, segment, ...ofSlot] = row as readonly string[]
  return {
    system: system as string,
    timeline: Number(line),
    head: withoutHeader(parseLsn(end as string), BigInt(block as string), BigInt(segment as string)),
    flushed: parseLsn(onDisk as string),
    isStandby: standby === 't',
    publication: Number(published),
    senderTimeoutMs: Number(timeout),
    slot: slotOf(ofSlot),
  }
}

/** Written into the log, so that the server has something to send; with it what was written before comes to its disk. */
export const heartbeat = sql`select pg_logical_emit_message(false, ${heartbeatPrefix}, '')`

function slotOf(row: readonly (string | null)[]): SlotState | null {
  const [plugin, database, activePid, confirmed, status, safe, kept, behind, name] = row
  if (name == null) return null
  const bytes = (text: string | null | undefined): bigint | null => (text == null ? null : BigInt(text))
  return {
    plugin: plugin ?? '',
    database: database ?? '',
    activePid: activePid ?? null,
    confirmed: confirmed == null ? null : parseLsn(confirmed),
    status: status ?? null,
    safeBytes: bytes(safe),
    keptBytes: bytes(kept),
    behindBytes: bytes(behind),
  }
}

const PAGE_HEADER = 24n
const SEGMENT_HEADER = 40n

function withoutHeader(lsn: bigint, block: bigint, segment: bigint): bigint {
  if (lsn % segment === SEGMENT_HEADER) return lsn - SEGMENT_HEADER
  return lsn % block === PAGE_HEADER && lsn % segment !== PAGE_HEADER ? lsn - PAGE_HEADER : lsn
}

/** `POSITION_LOST`: what is missed, from where to where. */
export function lost({ source }: Pick<Target, 'source'>, problem: string): NaruError {
  return fail('POSITION_LOST', { source, technique: 'log', problem })
}

/**
 * Throws `POSITION_LOST` when the stream cannot go on exactly behind `from`, whatever was done to the server. A slot never
 * gives what lies before the place that it was confirmed up to: one that was made anew, or that somebody else read, is
 * further than we are.
 */
export function assertReachable(
  from: LogPosition,
  state: ServerState,
  { settings, target }: { readonly settings: LogSettings; readonly target: Target },
): void {
  const at = lsnText(from.lsn)
  const { slot } = state
  const name = `the replication slot "${settings.slot}"`
  if (from.system !== state.system) {
    throw lost(
      target,
      `the position is of the server ${from.system}; this one is ${state.system}: it was set up or upgraded anew`,
    )
  }
  if (slot === null) {
    throw lost(target, `${name} is gone; changes from ${at} to ${lsnText(state.head)} may be missed`)
  }
  if (slot.status === 'lost' || slot.confirmed === null) {
    throw lost(
      target,
      `the server has thrown away log that ${name} still needed (wal_status lost); changes from ${at} to ${lsnText(state.head)} may be missed`,
    )
  }
  if (slot.confirmed > from.lsn) {
    throw lost(
      target,
      `${name} begins at ${lsnText(slot.confirmed)}: it was made anew, or somebody else has read it; changes from ${at} to there may be missed`,
    )
  }
  if (state.publication !== from.publication) {
    throw lost(
      target,
      `the publication "${settings.publication}" is gone or was made anew; changes from ${at} to ${lsnText(state.head)} may be missed`,
    )
  }
  if (from.timeline === state.timeline && from.lsn > state.head && !state.isStandby) {
    throw lost(
      target,
      `the log of the server ends at ${lsnText(state.head)}, before ${at}: it was restored from an older copy`,
    )
  }
}

/**
 * After a failover or a restore the server has another history. It is ours as long as it branched off behind `from`: the new
 * server has everything that we have seen.
 */
export function assertSameHistory(
  from: LogPosition,
  state: ServerState,
  { history, target }: { readonly history: string; readonly target: Target },
): void {
  const branch = history
    .split('\n')
    .map(line => /^\s*(\d+)\s+([\dA-F]+\/[\dA-F]+)/i.exec(line))
    .find(match => Number(match?.[1]) === from.timeline)
  const [, , text] = branch ?? []
  if (text !== undefined && parseLsn(text) >= from.lsn) return
  const problem = text === undefined ? 'has no common history with it' : `left its history at ${text}`
  throw lost(
    target,
    `the position ${lsnText(from.lsn)} is of timeline ${from.timeline}; the server is on ${state.timeline}, which ${problem}`,
  )
}

/** `CAPTURE_HELD` with what the server tells of the process that reads the slot. */
export async function inUseBy(
  connection: Connection,
  { settings, target }: { readonly settings: LogSettings; readonly target: Target },
): Promise<NaruError> {
  const [row] = await connection.query(sql`
    select s.active_pid, a.application_name, a.client_addr, a.backend_start
    from pg_replication_slots s left join pg_stat_activity a on a.pid = s.active_pid where s.slot_name = ${settings.slot}`)
  const [pid, application, address, since] = row ?? []
  const who = [
    pid == null ? 'another process' : `process ${pid} of the server`,
    application == null || application === '' ? null : `application "${application}"`,
    address == null ? null : `from ${address}`,
    since == null ? null : `since ${since}`,
  ].filter(it => it !== null)
  const holder = `${who.join(', ')} reads the replication slot "${settings.slot}"`
  return fail('CAPTURE_HELD', { source: target.source, technique: 'log', holder })
}
