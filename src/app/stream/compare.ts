import { fail, type NaruError } from '../../core/errors.ts'
import { withDeadline } from '../../core/env.ts'
import { sql, type Ident } from '../../core/sql.ts'
import {
  comparable,
  gated,
  gateOf,
  readingOf,
  receive,
  withStagedNames,
  type Gate,
  type InterfaceContext,
  type TableReading,
} from '../../etl/interface/index.ts'
import {
  closeCompared,
  comparedName,
  compareTotals,
  engineTotals,
  findDiffering,
  openCompared,
  rangeCondition,
  isSortedFor,
  sharedOrder,
  tellable,
  DIFFERING_MAX,
  type Differing,
  type KeyRange,
} from '../../etl/staging/index.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { walkOf, writeComparison, type ComparisonResult, type DifferingKey } from '../../run/comparisons.ts'
import { lastSourceKey } from '../../run/loads.ts'
import { countSetAside } from '../../run/set-aside.ts'
import { readStreamPlace, type StreamPlace } from '../../run/streams.ts'
import { stagingNames } from '../../run/tables.ts'
import type { Position } from '../../services/bus/contract.ts'
import type { KeyBound, ReadsTables, Snapshot, SourceBatch } from '../../services/adapter/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { stopsTable } from '../faults.ts'
import { takeChanges } from './land.ts'
import type { OpenStream, StreamTable } from './session.ts'
import { firstUnseen } from './unseen.ts'

/**
 * Most rows of a range: what is held of a source's view, and copied when its figures differ. Where the source looks through the
 * whole table for each range, the rows of a turn are one: 20 times as many in a session.
 */
const rangeRows = 50_000
/** Most rows of a table that is compared as a whole because its source cannot cut it. */
const wholeRowsMax = 1_000_000
/** A difference counts when a second look, so much later, finds it again: a source may show a commit a moment after its log does. */
const secondLookMs = 200
/** Longest wait for the stream to pass the place where its source was when it was looked at. */
const reachMs = 30_000
/** Differing keys that are named. */
const namedMax = 20
/** What changes that are only looked at are marked with: no load has this number. */
const noLoad = -1n

/** Where a comparison is made. */
export interface CompareGiven {
  readonly ctx: Pick<InterfaceContext, 'env' | 'emit' | 'signal' | 'run' | 'commit' | 'isPaused'>
  /** Reads beside the ticks. */
  readonly read: <T>(body: (tx: Transaction) => Promise<T>) => Promise<T>
  readonly stream: OpenStream
  readonly table: StreamTable
}

/** What a turn found. */
export interface Compared {
  /** As `source.table`. */
  readonly table: string
  readonly differing: number
}

/**
 * Compares a table with its source, as many ranges of keys at most, behind where the last turn ended: control totals of both
 * ends, and where those differ the rows. Results are rows of `naru.comparison`; a difference is told as well. Outside the
 * hours of the source nothing is asked. Throws what the source throws.
 */
export async function compareTable(given: CompareGiven, rangesMax: number): Promise<Compared> {
  const { ctx, stream, table } = given
  const name = `${table.config.source}.${table.config.name}`
  const { tables } = stream.adapter
  let differing = 0
  if (tables === undefined || table.known.append === true) return { table: name, differing }
  const gate = gateOf(ctx.env.clock, tables.limits, () => ctx.isPaused?.(table.config.source) === true)
  let { after } = await given.read(tx => walkOf(tx, table.config))
  const isSorted = isSortedFor(table.known, tables.can)
  const rows = Math.min(rangeRows, tables.limits.chunkRows) * (isSorted ? rangesMax : 1)
  const looking: Looking = { ...given, tables, gate, rows, turn: { shown: null } }
  for (let i = 0; i < (isSorted ? 1 : rangesMax) && gate.isOpen(); i++) {
    const found = await compareRange(looking, after)
    if (found === null) break
    await ctx.commit(async tx => {
      const note = await noteOf(tx, table, found)
      const nowMicros = ctx.env.clock.nowMicros()
      await writeComparison(tx, table.config, { run: ctx.run.id, nowMicros, found: { ...found, note } })
    })
    if (found.equal === false) tell(ctx, table, found)
    differing += found.differing
    after = found.upTo
    if (after === null) break
  }
  return { table: name, differing }
}

/** Where the numbers of rows are not the same, those that are set aside are part of the reason. */
async function noteOf(
  tx: Transaction,
  { config }: StreamTable,
  { note, rowsSource, rowsStaged }: ComparisonResult,
): Promise<string | null> {
  if (rowsSource === null || rowsSource === rowsStaged) return note
  const [aside] = await countSetAside(tx, [config])
  if (aside === undefined) return note
  const told = `${aside.rows} ${aside.rows === 1 ? 'row of the table is' : 'rows of the table are'} set aside (${aside.reasons.join(', ')}): naru.reject`
  return note === null ? told : `${note}; ${told}`
}

interface Looking extends CompareGiven {
  readonly tables: ReadsTables
  readonly gate: Gate
  /** Most rows of a range. */
  readonly rows: number
  /** Place in the topic up to which views of the source show everything. */
  readonly turn: { shown: Position | null }
}

/** A difference counts when two views show it; `null` when the table is not followed at the moment. */
async function compareRange(given: Looking, after: KeyRange['after']): Promise<ComparisonResult | null> {
  const first = await lookAt(given, after)
  if (first === null || first.keys.length === 0) return first
  await given.ctx.env.clock.sleep(secondLookMs, given.ctx.signal)
  const second = await lookAt(given, after)
  if (second === null) return null
  const keys = second.keys.filter(it => first.keys.some(other => other.key === it.key && other.what === it.what))
  const shown = tellable(given.table.known, keys.slice(0, namedMax))
  const most = keys.length === DIFFERING_MAX ? `${DIFFERING_MAX} keys or more` : null
  const isEqual = keys.length > 0 ? false : second.equal === false ? true : second.equal
  return { ...second, equal: isEqual, differing: keys.length, keys: shown, note: second.note ?? most }
}

/**
 * Looks at one range. What the stream brought between the place of the image before the view and where the source was after
 * it (or the image is, when that is later) may be in one of the two and not in the other: such keys are left out.
 */
async function lookAt(given: Looking, after: KeyRange['after']): Promise<ComparisonResult | null> {
  const { ctx, table, tables } = given
  const place = await given.read(tx => readStreamPlace(tx, table.config))
  if (place?.state !== 'live' || table.stopped !== null) return null
  const snapshot = gated(await tables.openSnapshot(ctx.signal), given.gate)
  let isClean = false
  try {
    let copied: Copied | ComparisonResult
    try {
      copied = await copyOrTell(given, snapshot, after)
    } finally {
      // It holds the shape of the table, so whoever changes that waits for it, and the stream may wait for him.
      await snapshot.close()
    }
    isClean = !('read' in copied)
    return 'read' in copied ? await lookCloser(given, copied, { place, snapshot }) : copied
  } finally {
    if (!isClean) await ctx.commit(tx => closeLook(tx, table.known))
  }
}

/** What differs in the rows of a range, with what the stream brought meanwhile left out. */
async function lookCloser(
  given: Looking,
  { read, rowsSource }: Copied,
  { place, snapshot }: { readonly place: StreamPlace; readonly snapshot: Snapshot },
): Promise<ComparisonResult | null> {
  const { ctx, stream, turn } = given
  const quiet = await given.read(tx => rowsOf(given, tx, { ...read, touched: null }))
  if (quiet.keys.length === 0) return resultOf(quiet, read.range, rowsSource)
  const head = await stream.captures.head(ctx.signal)
  const limit = { what: `the stream of source "${stream.def.source.name}"`, ms: reachMs, signal: ctx.signal }
  const reached = await withDeadline(ctx.env, limit, signal => stream.reader.reached(head, signal))
  // A view that says what it has seen is not missing what it had not: the window of keys begins before that.
  const includes = snapshot.includes?.bind(snapshot)
  const within = { place: place.place, shown: turn.shown }
  const from = includes === undefined ? place.place : await firstUnseen(stream, within, id => !includes(id), ctx.signal)
  if (from === null) {
    return untold(read.range, 'its source does not show yet what its stream gave before the durable log begins')
  }
  turn.shown = from
  const window = { from: { ...place, place: from }, reached }
  return ctx.commit(tx => differencesIn(given, tx, { ...read, ...window, rowsSource }))
}

/** A range whose rows in the source lie beside those of the image. */
interface Copied {
  readonly read: RangeRead
  readonly rowsSource: bigint
}

/** What needs the view of the source: the figures of a range, and where they differ its rows. */
async function copyOrTell(
  given: Looking,
  snapshot: Snapshot,
  after: KeyRange['after'],
): Promise<Copied | ComparisonResult> {
  const { tables } = given
  const now = await readingNow(given, snapshot)
  if (typeof now === 'string') return untold({ after, upTo: null }, now)
  const order = sharedOrder(now.table, now.shape, tables.can)
  const reading = order === 'common' ? { ...now, shape: { ...now.shape, keyOrder: order } } : now
  const range = { after, upTo: await upperBound(given, snapshot, reading, after) }
  const isTold = order !== null || (range.after === null && range.upTo === null)
  if (!tables.can.chunks && (await rowsStaged(given)) > wholeRowsMax) {
    return untold(range, `its source cannot cut it, and it has more than ${wholeRowsMax} rows`)
  }
  const read = { reading, range, isTold }
  const same = isTold ? await sameTotals(given, snapshot, read) : null
  return same ?? { read, rowsSource: await copyRange(given, snapshot, read) }
}

/** How the table is read now; a sentence when its shape is not the staged one, which the stream will tell. */
async function readingNow({ table, read }: Looking, snapshot: Snapshot): Promise<TableReading | string> {
  try {
    const now = await snapshot.look(table.config.remote)
    const reading = readingOf(table.config, table.known, now, await read(tx => lastSourceKey(tx, table.config)))
    const isSame = reading.table.columns.length === table.known.columns.length
    return isSame ? reading : 'its shape in the source is not the staged one'
  } catch (error) {
    if (stopsTable(error)) return error.message
    throw error
  }
}

async function upperBound(
  { tables, rows }: Looking,
  snapshot: Snapshot,
  { shape }: TableReading,
  after: KeyRange['after'],
): Promise<KeyRange['upTo']> {
  if (!tables.can.chunks || shape.key.length === 0) return null
  return snapshot.boundary(shape, after ?? undefined, rows)
}

async function rowsStaged({ read, table }: Looking): Promise<number> {
  const { image } = stagingNames(table.known)
  const [row] = await read(tx => tx.rows(sql`select count(*) as n from ${image}`))
  return Number(row?.['n'])
}

interface RangeRead {
  readonly reading: TableReading
  readonly range: KeyRange
  /** The rows of the range can be told apart here as well: it is all of the table, or cut in an order that both ends have. */
  readonly isTold: boolean
}

/** The result when all figures of both ends agree; otherwise the rows have to be looked at. */
async function sameTotals(given: Looking, snapshot: Snapshot, it: RangeRead): Promise<ComparisonResult | null> {
  const { table, tables, read, ctx } = given
  if (!tables.can.totals) return null
  const { image } = stagingNames(table.known)
  const { shape, staged } = comparable(it.reading)
  const left = new Set(leftOut(table))
  const kept = staged.flatMap((column, i) => (left.has(column.name) ? [] : [{ column, remote: shape.columns[i] }]))
  const columns = kept.map(({ column }) => column)
  const asked = { ...shape, columns: kept.flatMap(({ remote }) => remote ?? []) }
  const ours = await read(tx =>
    engineTotals(tx, image, columns, { hash: true, where: rangeCondition(tx, table.known, it.range) }),
  )
  const filter = { after: it.range.after ?? undefined, upTo: it.range.upTo ?? undefined }
  const theirs = withStagedNames(await snapshot.totals(asked, filter, { hash: true }, ctx.signal), columns)
  const isSame = compareTotals(theirs, ours, 0).every(control => control.equal === true)
  if (!isSame) return null
  return {
    ...it.range,
    rowsSource: theirs.rows,
    rowsStaged: ours.rows,
    equal: true,
    differing: 0,
    keys: [],
    note: null,
  }
}

/** Takes the source's rows of the range, batch by batch, so that ticks go on between them. */
async function copyRange(given: Looking, snapshot: Snapshot, { reading, range }: RangeRead): Promise<bigint> {
  const { ctx } = given
  const into = await ctx.commit(async tx => {
    await forgetRejects(tx)
    return openCompared(tx, reading.table)
  })
  const landing = { table: reading.table, into, load: noLoad, unit: 0, file: null, reading }
  const names = reading.shape.columns.map(column => column.name)
  const filter = { after: range.after ?? undefined, upTo: range.upTo ?? undefined }
  let rows = 0
  for await (const batch of snapshot.read(reading.shape, names, filter, ctx.signal)) {
    const got = await ctx.commit(tx => receive(ctx, tx, landing, only(batch), () => {}))
    rows += got.rows + got.rejected
  }
  return BigInt(rows)
}

async function* only(batch: SourceBatch): AsyncGenerator<SourceBatch, void> {
  yield batch
}

/** The keys of the range that differ, in the transaction that knows the place of the image. */
async function differencesIn(
  { ctx, stream, table }: Looking,
  tx: Transaction,
  it: RangeRead & { readonly rowsSource: bigint; readonly from: StreamPlace; readonly reached: string },
): Promise<ComparisonResult | null> {
  const { range, rowsSource, from, reached } = it
  const at = await readStreamPlace(tx, table.config)
  if (at?.state !== 'live') return null
  const { topic, reader } = stream
  const upTo = topic.compare(reached, at.place) > 0 ? reached : at.place
  const own = { config: table.config, known: table.known, at: from, load: async () => ({ load: noLoad, lines: 0n }) }
  const asked = { topic, log: reader.log, tables: [own], upTo, bytes: Infinity, signal: ctx.signal, emit: () => {} }
  const [taken] = await takeChanges(tx, asked)
  const isOther = taken?.stopped !== null || taken.needsReload || taken.staged?.truncates === true
  const touched = taken?.staged?.changes ?? null
  const found = isOther ? null : await rowsOf({ table }, tx, { ...it, touched })
  if (found === null) return untold(range, 'it changed as a whole while it was compared')
  return resultOf(found, range, rowsSource)
}

/** What differs between the copied rows of a range and the image. */
async function rowsOf(
  { table }: Pick<Looking, 'table'>,
  tx: Transaction,
  { reading, range, isTold, touched }: RangeRead & { readonly touched: Ident | null },
): Promise<Differing & { readonly isHalf: boolean }> {
  const within = isTold ? rangeCondition(tx, table.known, range) : null
  const left = new Set([...leftOut(table), ...table.known.key, ...(reading.table.gone ?? [])])
  const found = await findDiffering(tx, {
    table: reading.table,
    image: stagingNames(table.known).image,
    compared: comparedName(reading.table),
    columns: reading.staged.map(column => column.name).filter(name => !left.has(name)),
    within,
    touched,
    ignored: ignoredOf(table),
  })
  return { ...found, isHalf: within === null }
}

function resultOf(found: Awaited<ReturnType<typeof rowsOf>>, range: KeyRange, rowsSource: bigint): ComparisonResult {
  const { keys, rowsStaged, unnamed, keyless } = found
  const rows = { ...range, rowsSource, rowsStaged }
  const isSetAside = keys.length > 0 && keys.length <= unnamed && keys.every(it => it.what !== 'not in the source')
  if (isSetAside) return { ...rows, ...nothing, note: `${unnamed} rejected rows do not say which they are` }
  const half = 'rows that the source does not have are not looked for: it alone knows the order of its keys'
  const without = `${keyless} rows of the source have NULL in their key, which no staged row can have`
  return {
    ...rows,
    equal: keys.length === 0,
    differing: keys.length,
    keys,
    note: found.isHalf ? half : keyless > 0 ? without : null,
  }
}

/** Removes what a look left; after a crash, or an end from outside, the next one does. */
async function closeLook(tx: Transaction, table: SourceTableDef): Promise<void> {
  await closeCompared(tx, table)
  await forgetRejects(tx)
}

const nothing = { equal: null, differing: 0, keys: [] } as const

function untold(range: KeyRange, note: string): ComparisonResult {
  return { ...range, rowsSource: null, rowsStaged: null, ...nothing, note }
}

async function forgetRejects(tx: Transaction): Promise<void> {
  await tx.execute(sql`delete from naru.reject where load = ${noLoad}`)
}

/** The flag of claimed rows is set back once they are safe with us. */
function leftOut({ config: { change } }: StreamTable): readonly string[] {
  return change.technique === 'status' ? [change.flag.column] : []
}

/** What the config wants to be so. */
function ignoredOf({ config: { change } }: StreamTable): readonly DifferingKey['what'][] {
  if (change.technique === 'status' && change.deletes.kind === 'keep') return ['not in the source']
  return 'start' in change && change.start === 'now' ? ['missing here'] : []
}

function tell({ emit }: CompareGiven['ctx'], { config }: StreamTable, found: ComparisonResult): void {
  const { message, fix, code } = differenceOf(`${config.source}.${config.name}`, found)
  emit({ kind: 'note', level: 'error', text: `${message}. ${fix}`, code })
}

/** A difference as people are told. */
export function differenceOf(
  table: string,
  { after, upTo, differing, keys }: Pick<ComparisonResult, 'after' | 'upTo' | 'differing' | 'keys'>,
): NaruError {
  const shown = keys.slice(0, 3).map(it => `${it.key} (${it.what})`)
  const bound = (key: KeyBound | null, open: string): string => (key === null ? open : key.join(', '))
  const range =
    after === null && upTo === null ? 'all of it' : `${bound(after, 'the first')} to ${bound(upTo, 'the last')}`
  const more = differing > shown.length ? ', …' : ''
  return fail('COMPARISON_DIFFERS', { table, range, rows: differing, keys: shown.join(', ') + more })
}
