import { sql } from '../../../../core/sql.ts'
import type { CaptureLag } from '../../contract-capture.ts'
import type { Connection } from '../connection.ts'
import { fileNumber, type LogPosition } from './position.ts'

/** A file is told to be near its end when it has lived for this share of what the server keeps. */
const NEAR_SHARE = 0.8

interface LogFile {
  readonly name: string
  readonly bytes: bigint
}

/**
 * Bytes between a position and the end of the log, and how far the server is from removing what we need: it keeps its log by
 * its own rules, whoever reads it, so here a reader is overtaken instead of a disk filled.
 */
export async function lagBehind(connection: Connection, at: LogPosition, signal: AbortSignal): Promise<CaptureLag> {
  const files = (await connection.query(sql`show binary logs`, signal)).map(([name, size]): LogFile => ({
    name: name as string,
    bytes: BigInt(size as string),
  }))
  const needed = at.since?.file ?? at.file
  const behind = files.filter(({ name }) => fileNumber(name) > fileNumber(at.file))
  const current = files.find(({ name }) => name === at.file)
  const rest = current === undefined ? 0n : current.bytes - BigInt(at.offset)
  const bytes = sumOf(behind) + (rest > 0n ? rest : 0n)
  const index = files.findIndex(({ name }) => name === needed)
  if (index < 0) {
    return {
      bytes,
      bytesLeft: null,
      trouble: `the server has removed ${needed}, which is not read`,
      isLost: true,
      kept: null,
    }
  }
  const limits = await readLimits(connection, signal)
  const bytesLeft = limits.bytesMax === 0n ? null : limits.bytesMax - sumOf(files.slice(index))
  const secondsLeft = index === files.length - 1 || at.born === 0 ? null : limits.secondsLeft(at.born)
  return {
    bytes,
    bytesLeft: bytesLeft === null || bytesLeft > 0n ? bytesLeft : 0n,
    trouble: troubleOf(needed, secondsLeft, limits.keepSeconds),
    // The log is kept for everybody, and no reader makes it longer.
    kept: null,
    room: roomOf(index, files, { needed, secondsLeft }),
  }
}

interface Limits {
  /** 0 is for ever. */
  readonly keepSeconds: number
  /** Bytes of all files before the oldest is removed; 0 is without a limit, and always so before MariaDB 11.4. */
  readonly bytesMax: bigint
  /** Until a file that was begun then is removed, at the earliest; `null` when it is not. */
  secondsLeft(bornSeconds: number): number | null
}

async function readLimits(connection: Connection, signal: AbortSignal): Promise<Limits> {
  const [row] = await connection.query(sql`select @@global.expire_logs_days * 86400, unix_timestamp()`, signal)
  const [, size] = (await connection.query(sql`show global variables like 'max_binlog_total_size'`, signal))[0] ?? []
  const [keepSeconds, now] = [Number(row?.[0] ?? 0), Number(row?.[1] ?? 0)]
  return {
    keepSeconds,
    bytesMax: BigInt(size ?? '0'),
    secondsLeft: born => (keepSeconds === 0 ? null : Math.max(0, keepSeconds - (now - born))),
  }
}

/** The server removes whole files by the time of their last write, never the one that it writes. */
function troubleOf(needed: string, secondsLeft: number | null, keepSeconds: number): string | null {
  if (secondsLeft === null || secondsLeft > keepSeconds * (1 - NEAR_SHARE)) return null
  return `${needed} is not read, and the server may remove it in ${hours(secondsLeft)}: it keeps files for ${hours(keepSeconds)} (binlog_expire_logs_seconds)`
}

function roomOf(
  index: number,
  files: readonly LogFile[],
  { needed, secondsLeft }: { readonly needed: string; readonly secondsLeft: number | null },
): string {
  const time = secondsLeft === null ? '' : `; kept for ${hours(secondsLeft)} more at least`
  if (index === 0) return `${needed} is the oldest file that the server has${time}`
  return `${index} older files are there (from ${files[0]?.name}, ${sumOf(files.slice(0, index))} bytes)${time}`
}

function sumOf(files: readonly LogFile[]): bigint {
  return files.reduce((sum, { bytes }) => sum + bytes, 0n)
}

function hours(seconds: number): string {
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
}
