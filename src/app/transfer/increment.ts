import path from 'node:path'
import { daysText } from '../../core/cell-text.ts'
import { daysOfDate } from '../../core/dates.ts'
import { sha256, type Env } from '../../core/env.ts'
import { fail, systemCodeOf } from '../../core/errors.ts'
import { durableWrite } from '../../core/files.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { RowFilter, Snapshot, TableShape } from '../../services/adapter/contract.ts'
import { stateDirOf } from './address.ts'
import type { TransferRequest } from './moving.ts'

/**
 * What an incremental transfer reads: rows whose column came after what the last one saw. Values are text: whole numbers
 * and decimals as they are, days and microseconds since 1970 for dates and times.
 */
export interface Increment {
  readonly column: string
  /** What the last transfer saw; `null` when there was none: then everything is read. */
  readonly last: string | null
  /** What this one sees, for the next to begin with. */
  readonly next: string | null
  readonly filter: RowFilter
  /** Where `next` is kept. */
  readonly file: string
}

/** A wall clock may be this far behind UTC, so an instant may be written as one so much earlier. */
const LATEST_ZONE_MICROS = 12n * 3_600_000_000n

/**
 * Looks up how far the source has come in this snapshot. Adding rows goes by whole numbers, each of which is read once;
 * every other mode finds rows by key, so that rows at the last value are read again and none of them is missed. A time
 * goes no further than the oldest transaction that is open, where the source can tell: what it commits comes next time.
 */
export async function incrementOf(
  env: Env,
  { request, snapshot, shape }: { request: TransferRequest; snapshot: Snapshot; shape: TableShape },
  signal: AbortSignal,
): Promise<Increment | null> {
  const { incremental: name, mode } = request
  if (name === null) return null
  const column = shape.columns.find(it => it.name === name)
  if (column === undefined) throw refused(name, 'is not among the columns that are moved')
  assertFits(column, mode)
  const file = fileOf(request)
  const last = request.lastValue === null ? await readLast(env, file) : valueOf(column, request.lastValue)
  const seen = filterOf(column, mode, last, null)
  const where = request.where === null ? {} : { where: request.where }
  const totals = await snapshot.totals({ ...shape, columns: [column] }, { ...seen, ...where }, { hash: false }, signal)
  const max = totals.columns[0]?.max ?? null
  const next = max === null ? last : notOpen(column, max, snapshot.horizonMicros)
  return { column: name, last, next, filter: filterOf(column, mode, last, next), file }
}

/** A row that comes twice is there twice, or was handed to a procedure twice. */
function takesEachOnce(mode: TransferRequest['mode']): boolean {
  return mode === 'insert' || mode === 'call'
}

function assertFits({ name, type }: ColumnDef, mode: TransferRequest['mode']): void {
  if (mode === 'replace' || mode === 'delete') {
    throw refused(name, `does not go with --mode ${mode}, which takes a whole table; say insert or upsert`)
  }
  if (takesEachOnce(mode) && !isWhole(type)) {
    throw refused(
      name,
      `is no whole number: rows with the same value would be ${mode === 'call' ? 'handed over' : 'added'} twice or missed; say --mode upsert`,
    )
  }
  if (isWhole(type) || ['decimal', 'date', 'timestamp', 'text'].includes(type.kind)) return
  throw refused(name, `is ${type.kind}, which does not grow; a number, a date, a time or text does`)
}

function isWhole(type: ColumnDef['type']): boolean {
  return type.kind === 'int' || (type.kind === 'decimal' && type.scale === 0)
}

/** A value as a person writes it. */
function valueOf({ name, type }: ColumnDef, text: string): string {
  if (type.kind === 'text') return text
  if (type.kind === 'date' || type.kind === 'timestamp') {
    const moment = momentOf(text)
    if (moment !== null) return String(type.kind === 'date' ? moment.days : moment.micros)
  } else if ((isWhole(type) ? /^-?\d+$/ : /^-?\d+(\.\d+)?$/).test(text)) return text
  const wanted = isWhole(type) ? 'a whole number' : 'a number, text, or a date and time such as 2026-01-31 10:00:00'
  throw refused(name, `cannot begin behind ${JSON.stringify(text)}: ${wanted}`)
}

const momentText = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?Z?$/

/** Days and microseconds since 1970 of a date and time in UTC; `null` for other texts, and for a day that no month has. */
function momentOf(text: string): { readonly days: number; readonly micros: bigint } | null {
  const parts = momentText.exec(text) ?? []
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1, 7).map(it => Number(it ?? 0))
  const days = daysOfDate(year, month, day)
  if (days === null || hour > 23 || minute > 59 || second > 59) return null
  const seconds = BigInt(((days * 24 + hour) * 60 + minute) * 60 + second)
  return { days, micros: seconds * 1_000_000n + BigInt((parts[7] ?? '').padEnd(6, '0')) }
}

function refused(column: string, problem: string): Error {
  return fail('TRANSFER_INCREMENTAL', { column, problem })
}

function filterOf(
  column: ColumnDef,
  mode: TransferRequest['mode'],
  last: string | null,
  next: string | null,
): RowFilter {
  const { name, type } = column
  if (takesEachOnce(mode)) {
    const to = next === null ? undefined : String(BigInt(next) + 1n)
    if (last !== null) return { range: { column: name, from: String(BigInt(last) + 1n), to } }
    return {}
  }
  if (last === null) return {}
  if (type.kind === 'timestamp') return { since: { column: name, atLeastMicros: BigInt(last) } }
  return { range: { column: name, from: type.kind === 'date' ? daysText(Number(last)) : last } }
}

function notOpen({ type }: ColumnDef, max: string, horizonMicros: bigint | null): string {
  if (type.kind !== 'timestamp' || horizonMicros === null) return max
  const horizon = type.zoned ? horizonMicros : horizonMicros - LATEST_ZONE_MICROS
  return String(BigInt(max) < horizon ? BigInt(max) : horizon)
}

/** One file for each pair of ends and what is read of them; how it is moved may change between two calls. */
function fileOf({ from, to, query, where, columns, incremental, configFile }: TransferRequest): string {
  const asked = sha256(JSON.stringify({ from, to, query, where, columns, incremental })).slice(0, 24)
  return path.join(stateDirOf(configFile), 'increments', `${asked}.json`)
}

async function readLast(env: Env, file: string): Promise<string | null> {
  try {
    const kept: unknown = JSON.parse(await env.files.readFile(file, 'utf8'))
    if (typeof kept === 'object' && kept !== null && 'last' in kept && typeof kept.last === 'string') return kept.last
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null
    if (!(error instanceof SyntaxError)) throw error
  }
  // Beginning anew would add every row a second time.
  throw fail('TRANSFER_INCREMENTAL', {
    column: path.basename(file),
    problem: `keeps no last value any more: ${file} is damaged; name the value with --last-value`,
  })
}

/** Called when the rows are in the target: the next transfer begins here. */
export async function keepLast(env: Env, request: TransferRequest, next: string | null): Promise<void> {
  if (request.incremental === null || next === null) return
  const { from, to, incremental: column } = request
  await durableWrite(env, fileOf(request), JSON.stringify({ from, to, column, last: next }))
}
