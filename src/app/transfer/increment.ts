import path from 'node:path'
import { daysText, microsText } from '../../core/cell-text.ts'
import { daysOfDate } from '../../core/dates.ts'
import { sha256, type Env } from '../../core/env.ts'
import { fail, systemCodeOf, type NaruError } from '../../core/errors.ts'
import { durableWrite } from '../../core/files.ts'
import type { Lease } from '../../core/lease-files.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { RowFilter, Snapshot, TableShape } from '../../services/adapter/contract.ts'
import { localCoordinator } from '../../services/coordinator/local/open.ts'
import { stateDirOf } from './address.ts'
import type { TransferRequest } from './moving.ts'

/**
 * What an incremental transfer reads: rows whose column came after what the last one saw. Values are text: whole numbers
 * and decimals as they are, days and microseconds since 1970 for dates and times.
 */
export interface Increment {
  readonly column: string
  readonly kind: string
  /** What the last transfer saw; `null` when there was none: then everything is read. */
  readonly last: string | null
  /** What this one sees, for the next to begin with. */
  readonly next: string | null
  readonly filter: RowFilter
  /** What was kept by an earlier transfer. */
  readonly kept: Kept | null
}

/** What is kept between two transfers. */
interface Kept {
  readonly last: string | null
  /** What kind of value `last` is: of another kind it would mean another place. */
  readonly kind?: string
  /** The state of a call that was adding rows and did not say whether it ended. */
  readonly pending?: string | null
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
  // A value that is given holds over what was kept, also where that is damaged.
  const kept = request.lastValue === null ? await readKept(env, fileOf(request)) : null
  assertSameKind(column, kept)
  const last = request.lastValue === null ? (kept?.last ?? null) : valueOf(column, request.lastValue)
  const seen = filterOf(column, mode, last, null)
  const where = request.where === null ? {} : { where: request.where }
  const totals = await snapshot.totals({ ...shape, columns: [column] }, { ...seen, ...where }, { hash: false }, signal)
  const max = totals.columns[0]?.max ?? null
  const next = max === null ? last : notOpen(column, max, snapshot.horizonMicros)
  return { column: name, kind: kindOf(column), last, next, filter: filterOf(column, mode, last, next), kept }
}

/** A row that comes twice is there twice, or was handed to a procedure twice. */
export function takesEachOnce(mode: TransferRequest['mode']): boolean {
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
  if (['int', 'decimal', 'date', 'timestamp', 'text'].includes(type.kind)) return
  throw refused(name, `is ${type.kind}, which does not grow; a number, a date, a time or text does`)
}

function isWhole(type: ColumnDef['type']): boolean {
  return type.kind === 'int' || (type.kind === 'decimal' && type.scale === 0)
}

function kindOf({ type }: ColumnDef): string {
  if (isWhole(type)) return 'a whole number'
  return type.kind === 'timestamp' && type.zoned ? 'timestamp with a zone' : type.kind
}

function assertSameKind(column: ColumnDef, kept: Kept | null): void {
  if (kept?.kind === undefined || kept.kind === kindOf(column)) return
  const problem = `was ${kept.kind} and is ${kindOf(column)} now, in which "${kept.last}" says nothing; name the value to begin behind with --last-value`
  throw refused(column.name, problem)
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
  if (last === null) return {}
  if (takesEachOnce(mode)) return { range: { column: name, ...between(type, BigInt(last), next) } }
  if (type.kind === 'timestamp' && type.zoned) return { since: { column: name, atLeastMicros: BigInt(last) } }
  return { range: { column: name, from: spelled(type, last) } }
}

/** `last < value <= next`. The greatest number of its type has none behind it that could be written there. */
function between(
  type: ColumnDef['type'],
  last: bigint,
  next: string | null,
): { from: string; to?: string | undefined } {
  const max = type.kind === 'int' ? (1n << BigInt(type.bits - 1)) - 1n : null
  if (max !== null && last >= max) return { from: String(max), to: String(max) }
  const isOpen = next === null || (max !== null && BigInt(next) >= max)
  return { from: String(last + 1n), to: isOpen ? undefined : String(BigInt(next) + 1n) }
}

/** As the source compares it. A time without a zone is what the wall clock said, and not a moment. */
function spelled(type: ColumnDef['type'], last: string): string {
  if (type.kind === 'timestamp') return microsText(BigInt(last), false)
  return type.kind === 'date' ? daysText(Number(last)) : last
}

const DAY_MICROS = 86_400_000_000n

function notOpen({ type }: ColumnDef, max: string, horizonMicros: bigint | null): string {
  if ((type.kind !== 'timestamp' && type.kind !== 'date') || horizonMicros === null) return max
  const wall = horizonMicros - LATEST_ZONE_MICROS
  const horizon = type.kind === 'date' ? wall / DAY_MICROS : type.zoned ? horizonMicros : wall
  return String(BigInt(max) < horizon ? BigInt(max) : horizon)
}

/** One file for each pair of ends and what is read of them; how it is moved may change between two calls. */
function fileOf({ from, to, query, where, columns, incremental, configFile }: TransferRequest): string {
  const asked = sha256(JSON.stringify({ from, to, query, where, columns, incremental })).slice(0, 24)
  return path.join(stateDirOf(configFile), 'increments', `${asked}.json`)
}

/** Two calls would read from the same place and add the same rows. Held until the rows are in the target. */
export async function acquireIncrement(env: Env, request: TransferRequest): Promise<Lease | null> {
  if (request.incremental === null) return null
  const file = fileOf(request)
  const holder = `naru transfer ${request.from} → ${request.to}`
  return localCoordinator(env, path.dirname(file)).acquire(path.basename(file, '.json'), holder)
}

async function readKept(env: Env, file: string): Promise<Kept | null> {
  try {
    const kept: unknown = JSON.parse(await env.files.readFile(file, 'utf8'))
    if (isKept(kept)) return kept
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

function isKept(value: unknown): value is Kept {
  return (
    typeof value === 'object' &&
    value !== null &&
    'last' in value &&
    (typeof value.last === 'string' || (value.last === null && 'pending' in value))
  )
}

/** A call with other flags cannot tell whether the one before it added its rows: adding them again could double them. */
export function assertNothingPending(request: TransferRequest, { column, kept }: Increment, state: string): void {
  const pending = kept?.pending ?? null
  if (request.mode !== 'insert' || request.lastValue !== null || pending === null || pending === state) return
  throw refused(
    column,
    `cannot tell what is new: an earlier call with other flags, or of a table with other columns, broke off while it added its rows; run that one again, or name the value to begin behind with --last-value`,
  )
}

/** What a table that is not there any more, or does not fit, means to a call that goes on. */
export function targetGone(request: TransferRequest, { column, kept }: Increment, cause: NaruError): Error {
  const problem = `was seen up to ${JSON.stringify(kept?.last)}, and what went into the target before is not there: ${cause.message}. To move everything again, remove ${fileOf(request)}`
  return fail('TRANSFER_INCREMENTAL', { column, problem }, { cause })
}

/** Called before rows are published, by the call of that state. */
export async function keepPending(
  env: Env,
  request: TransferRequest,
  increment: Increment,
  state: string,
): Promise<void> {
  const { column, kept, kind } = increment
  await write(env, request, { column, last: kept?.last ?? null, kind: kept?.kind ?? kind, pending: state })
}

/** Called when the rows are in the target: the next transfer begins here. */
export async function keepLast(
  env: Env,
  request: TransferRequest,
  increment: Increment,
  next: string | null,
): Promise<void> {
  const { column, kind } = increment
  await write(env, request, next === null ? null : { column, last: next, kind })
}

async function write(
  env: Env,
  request: TransferRequest,
  kept: (Kept & { readonly column: string }) | null,
): Promise<void> {
  const { from, to } = request
  const file = fileOf(request)
  if (kept === null) await env.files.rm(file, { force: true })
  else await durableWrite(env, file, JSON.stringify({ from, to, ...kept }))
}
