import { sql } from '../../../../core/sql.ts'
import type { CaptureLag } from '../../contract-capture.ts'
import type { Connection } from '../connection.ts'
import { fileNumber, type LogPosition } from './position.ts'

/** A file is told to be near its end when it has lived for this share of what the server keeps. */
const NEAR_SHARE = 0.8

/** Bytes between a position and the end of the log, and whether the server is about to remove what we need. */
export async function lagBehind(connection: Connection, at: LogPosition, signal: AbortSignal): Promise<CaptureLag> {
  const files = await connection.query(sql`show binary logs`, signal)
  const needed = at.since?.file ?? at.file
  let bytes = 0n
  for (const [file, size] of files) {
    const ahead = fileNumber(file as string) - fileNumber(at.file)
    if (ahead === 0) bytes += BigInt(Math.max(0, Number(size) - at.offset))
    else if (ahead > 0) bytes += BigInt(size as string)
  }
  const isThere = files.some(([file]) => file === needed)
  const trouble = isThere
    ? await nearEnd(connection, at, signal)
    : `the server has removed ${needed}, which is not read`
  return { bytes, bytesLeft: null, trouble }
}

/** The server removes whole files by the time of their last write, never the one that it writes. */
async function nearEnd(connection: Connection, at: LogPosition, signal: AbortSignal): Promise<string | null> {
  const [row] = await connection.query(sql`select @@global.expire_logs_days * 86400, unix_timestamp()`, signal)
  const keepSeconds = Number(row?.[0] ?? 0)
  const age = Number(row?.[1] ?? 0) - at.born
  if (keepSeconds === 0 || at.born === 0 || age < keepSeconds * NEAR_SHARE) return null
  const [status] = await connection.query(sql`show master status`, signal)
  if (status?.[0] === (at.since?.file ?? at.file)) return null
  return `${at.file} was begun ${Math.round(age / 3600)} h ago, and the server removes files after ${Math.round(keepSeconds / 3600)} h (binlog_expire_logs_seconds)`
}
