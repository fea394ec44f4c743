import { rejectOf } from '../../core/change-reject.ts'
import type { ChangeSlice, TableChanges } from '../../core/change-slice.ts'
import { fail, isNaruError, type NaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import { joinSql, sql, type Sql } from '../../core/sql.ts'
import { defaultContract, type SourceTableDef } from '../../config/model.ts'
import {
  landChanges,
  readingOfChanges,
  readingOfSchema,
  rejectChanges,
  type TableReading,
} from '../../etl/interface/index.ts'
import { openChanges } from '../../run/changes-table.ts'
import { lastSourceKey } from '../../run/loads.ts'
import type { StreamPlace } from '../../run/streams.ts'
import type { SchemaChange } from '../../services/adapter/contract-capture.ts'
import type { Position, Topic } from '../../services/bus/contract.ts'
import type { StagedChanges } from '../../etl/staging/index.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { stopsTable } from '../faults.ts'
import { decodeMessage } from './message.ts'

/** A table of a stream as one pass over the topic takes it. */
export interface TakenTable {
  readonly config: SourceTableDef
  /** With the columns that earlier loads took in. */
  readonly known: SourceTableDef
  readonly at: StreamPlace
  /**
   * Of rows that nobody sees yet: whether a transaction is in every view that they were read in. Of an append log its changes are
   * left out then, and of a table that takes only some rows, because another condition may have held for its log when they were
   * made; of any other one only when they lack columns that the rows were read with: they are from before the columns came, and
   * would take the values away again. A column that went after the views is NULL in the changes behind it, or
   * stops the table there, by its contract.
   */
  readonly sees?: (transaction: bigint) => boolean
  /** The load that its changes belong to, and how many changes the load has already. Asked at the first change. */
  load(tx: Transaction): Promise<{ readonly load: bigint; readonly lines: bigint }>
}

/** What a pass found for one table. */
export interface TakenChanges {
  readonly table: TakenTable
  /** Where the table is once they are applied. */
  readonly at: StreamPlace
  /** What is to be applied; `null` when the table has no change. `image` and `past` are for whom applies it. */
  readonly staged: Omit<StagedChanges, 'image' | 'past'> | null
  /** Changes that arrived, and those of them that were rejected. */
  readonly rows: number
  readonly rejected: number
  /** Lines of the load with them. */
  readonly lines: bigint
  /** When the transactions with its changes committed, by the source's clock. */
  readonly committedMicros: readonly bigint[]
  /** Why the table goes no further: its shape in the source is none that its contract takes. */
  readonly stopped: NaruError | null
  /** It has to be read again: it has other columns now, which its contract takes, or rows that no change told of. */
  readonly needsReload: boolean
}

export interface PassGiven {
  readonly topic: Topic
  readonly log: string
  readonly tables: readonly TakenTable[]
  /** Nothing behind this message is looked at: it ends whole transactions. */
  readonly upTo: Position
  /** About how many bytes are taken at most; a transaction is taken whole. */
  readonly bytes: number
  readonly signal: AbortSignal
  readonly emit: Emit
}

/** Bytes that are read of a topic at once. */
const readBytes = 4 * 1024 * 1024

/** Commit times that are kept of one pass and table, to tell how far behind it is. */
const timesMax = 256

/** The table as the pass goes on. */
interface Working {
  readonly table: TakenTable
  at: StreamPlace
  load: { readonly load: bigint; readonly into: StagedChanges['changes'] } | null
  lines: bigint
  /** Lines that are part of whole transactions: what is behind them may turn out void. */
  wholeLines: bigint
  /** Lines up to here are of transactions that have ended. */
  endedLines: bigint
  rows: number
  wholeRows: number
  rejected: number
  readonly unchanged: Set<string>
  moves: boolean
  truncates: boolean
  times: bigint[]
  reading: ({ readonly shape: string } & HiddenReading) | null
  stopped: NaruError | null
  needsReload: boolean
  /** Lines behind `endedLines` lack columns of the table. */
  isNarrow: boolean
  /** Why the contract does not take lines behind `endedLines`, unless the rows were read with them. */
  refused: NaruError | null
  /** What is told of columns that the source has no more, unless it has them again. */
  gone: Told | null
}

type Told = TableReading['notes'][number]

/** `refused`: why the contract takes nothing that comes so, unless the rows were read with it. */
interface HiddenReading {
  readonly reading: TableReading
  readonly refused: NaruError | null
}

/**
 * Takes changes from a topic behind the places of the tables, each its own, and appends them to their tables of changes in
 * the given transaction. Ends where transactions of the source end. A table whose shape its contract does not take stops
 * before the message that says so, and the others go on. Throws `STREAM_LOG_GONE` when the topic is another than the one
 * that the places are of.
 */
export async function takeChanges(tx: Transaction, given: PassGiven): Promise<readonly TakenChanges[]> {
  const { topic, tables, upTo, signal } = given
  const working = tables.map(begin)
  const first = tables
    .map(table => table.at.place)
    .toSorted((a, b) => topic.compare(a, b))
    .at(0)
  if (first === undefined || topic.compare(first, upTo) >= 0) return working.map(it => finished(it, given.emit))
  for (const table of tables) if (table.at.log !== given.log) throw logGone(given, table)
  let bytes = 0
  for await (const messages of topic.read(first, { bytes: Math.min(readBytes, given.bytes), signal })) {
    signal.throwIfAborted()
    for (const { position, value } of messages) {
      const isWhole = await takeMessage(tx, given, working, { position, value })
      bytes += value.byteLength
      const isEnd = topic.compare(position, upTo) >= 0
      if (isEnd || (isWhole && bytes >= given.bytes)) return working.map(it => finished(it, given.emit))
    }
  }
  signal.throwIfAborted()
  throw fail('INTERNAL', { what: `the topic ${topic.name} ended before ${upTo}` })
}

function begin(table: TakenTable): Working {
  return {
    table,
    at: table.at,
    load: null,
    lines: 0n,
    wholeLines: 0n,
    endedLines: 0n,
    rows: 0,
    wholeRows: 0,
    rejected: 0,
    unchanged: new Set(),
    moves: false,
    truncates: false,
    times: [],
    reading: null,
    stopped: null,
    needsReload: false,
    isNarrow: false,
    refused: null,
    gone: null,
  }
}

/** True when transactions of the source end here. */
async function takeMessage(
  tx: Transaction,
  given: PassGiven,
  working: readonly Working[],
  { position, value }: { readonly position: Position; readonly value: Uint8Array },
): Promise<boolean> {
  const message = decodeMessage(value)
  const going = working.filter(it => it.stopped === null && given.topic.compare(it.at.place, position) < 0)
  for (const { table } of going) if (message.log !== table.at.log) throw logGone(given, table)
  const isWhole =
    message.kind === 'opened' || (message.kind === 'slice' ? message.slice : message.change).position !== null
  for (const it of going) {
    const { name } = it.table.config
    if (message.kind === 'opened') await dropUnfinished(tx, it)
    else if (message.kind === 'schema' && message.change.table === name) await takeSchema(tx, given, it, message.change)
    else if (message.kind === 'slice') {
      const changes = message.slice.tables.find(table => table.table === name)
      if (changes !== undefined) await takeTable(tx, it, message.slice, changes)
      if (it.table.sees !== undefined) await leaveSeen(tx, it, message.slice, changes)
      await takeRejects(tx, it, message.slice)
    }
    if (!isWhole || it.stopped !== null) continue
    const committed = message.kind === 'slice' ? message.slice.committedMicros : null
    it.at = {
      ...it.at,
      place: position,
      sourcePosition: message.goesOn,
      committedMicros: committed ?? it.at.committedMicros,
    }
    it.wholeLines = it.lines
    it.endedLines = it.lines
    it.wholeRows = it.rows
  }
  return isWhole
}

async function takeTable(tx: Transaction, it: Working, slice: ChangeSlice, changes: TableChanges): Promise<void> {
  if (changes.rows.rows === 0 && changes.ops.length === 0) return
  const reading = await readingFor(tx, it, changes)
  if (reading === null) return
  const to = await loadOf(tx, it)
  const landed = await landChanges(tx, reading, changes, { ...to, slice, firstLine: it.lines + 1n })
  it.lines += BigInt(changes.ops.length)
  it.rows += changes.ops.length
  it.rejected += landed.rejected
  for (const column of landed.unchanged) it.unchanged.add(column)
  it.moves ||= landed.moves
  it.truncates ||= landed.truncates
  noteTimes(it, slice, changes)
}

/**
 * Takes changes back that the rows were read with, where to apply them once more is not harmless: without a key they would be
 * there twice, those that lack columns would empty them, and another condition may have let rows in. A transaction may have
 * begun slices ago; which one it is, is known with its end. One that the contract refuses, and the rows were read without,
 * stops the table.
 */
async function leaveSeen(
  tx: Transaction,
  it: Working,
  { position, transactions: { ids, ends } }: ChangeSlice,
  changes: TableChanges | undefined,
): Promise<void> {
  if (it.load === null || it.stopped !== null) return
  const order = changes?.order ?? new Uint32Array(0)
  const refused = order.length === 0 ? null : (it.reading?.refused ?? null)
  const isNarrow = changes !== undefined && lacksColumns(it.table, changes)
  const before = it.lines - BigInt(order.length)
  const seen: { readonly after: bigint; upTo: bigint }[] = []
  let row = 0
  for (const [i, id] of ids.entries()) {
    while (row < order.length && (order[row] as number) < (ends[i] as number)) row++
    const [after, upTo] = [it.endedLines, before + BigInt(row)]
    it.endedLines = upTo
    if (upTo === after) continue
    const { append, where } = it.table.config
    const isLeft = append === true || where !== undefined || isNarrow || it.isNarrow
    const isSeen = id !== 0n && it.table.sees?.(id) === true
    const why = it.refused ?? refused
    if (!isSeen && why !== null) return stop(tx, it, why)
    it.isNarrow = false
    it.refused = null
    if (!isLeft || !isSeen) continue
    const last = seen.at(-1)
    if (last?.upTo === after) last.upTo = upTo
    else seen.push({ after, upTo })
  }
  it.isNarrow ||= isNarrow && it.endedLines < it.lines
  if (it.endedLines < it.lines) it.refused ??= refused
  // Of no transaction that is named: whether the rows have it nobody knows.
  if (it.refused !== null && position !== null) return stop(tx, it, it.refused)
  if (seen.length === 0) return
  const lines = seen.map(({ after, upTo }): Sql => sql`("_line" > ${after} and "_line" <= ${upTo})`)
  await tx.execute(sql`delete from ${it.load.into} where ${joinSql(lines, ' or ')}`)
}

/** The table is known with columns that these changes do not have. */
function lacksColumns({ config, known }: TakenTable, { columns }: TableChanges): boolean {
  const names = new Set(columns.map(column => column.name))
  return known.columns.some(({ name }) => !names.has(config.renamed?.[name] ?? name))
}

/** Changes that the capture could not take come as messages beside the others. */
async function takeRejects(tx: Transaction, it: Working, { messages }: ChangeSlice): Promise<void> {
  if (it.stopped !== null) return
  const found = messages
    .flatMap(message => rejectOf(message) ?? [])
    .filter(({ table }) => table === it.table.config.name)
  if (found.length === 0) return
  const { load } = await loadOf(tx, it)
  const line = Number(it.lines) + 1
  const rejects = found.map(({ reject }) => ({ ...reject, line: reject.line ?? line }))
  await rejectChanges(tx, it.table.known, load, rejects)
  it.lines += 1n
  it.rows += found.length
  it.rejected += found.length
}

/** How the columns come, looked at anew only when they differ from those of the slice before. */
async function readingFor(tx: Transaction, it: Working, changes: TableChanges): Promise<TableReading | null> {
  const shape = JSON.stringify(changes.columns)
  if (it.reading?.shape === shape) return it.reading.reading
  try {
    const { known } = it.table
    it.reading = { shape, ...readingUnder(it.table, config => readingOfChanges(config, known, changes.columns)) }
    return it.reading.reading
  } catch (error) {
    await stop(tx, it, error)
    return null
  }
}

/**
 * Rows that are read just now have columns that what happened before them lacks, because they came later or were taken up
 * later: that stops nothing by itself, whatever the contract says of columns that go.
 */
function readingUnder({ config, sees }: TakenTable, read: (config: SourceTableDef) => TableReading): HiddenReading {
  try {
    return { reading: read(config), refused: null }
  } catch (error) {
    if (sees === undefined || !isNaruError(error, 'SOURCE_COLUMN_GONE')) throw error
    const contract = { ...(config.contract ?? defaultContract), dropped: 'evolve' as const }
    return { reading: read({ ...config, contract }), refused: error }
  }
}

async function takeSchema(tx: Transaction, given: PassGiven, it: Working, change: SchemaChange): Promise<void> {
  try {
    const { config, known } = it.table
    const lastKey = await lastSourceKey(tx, config)
    const { reading, refused } = readingUnder(it.table, under => readingOfSchema(under, known, change, lastKey))
    it.gone = null
    for (const note of reading.notes) {
      // Of rows that are read just now it may be the shape before the columns came; where the contract freezes, a change will tell.
      if (it.table.sees !== undefined && note.code === 'SOURCE_COLUMN_GONE') it.gone = refused === null ? note : null
      else given.emit({ kind: 'note', level: 'warn', ...note })
    }
    const isUnseen = change.unseen !== undefined
    if (isUnseen) {
      const text = `${config.source}.${config.name} is read again: its rows may be others though no change tells of it (${change.unseen})`
      given.emit({ kind: 'note', level: 'warn', text, code: 'STREAM_UNSEEN' })
    }
    it.needsReload = isUnseen || hasOtherColumns(reading.table, known, it.table.sees !== undefined)
    if (it.needsReload)
      it.stopped = fail('SOURCE_COLUMN_NEW', { source: config.source, table: config.remote, columns: '' })
    if (it.needsReload) await dropUnfinished(tx, it)
  } catch (error) {
    await stop(tx, it, error)
  }
}

/**
 * The rows that are there have no values for columns that came or came back, and values of those that went. Of rows that are
 * read just now a column that is not there may be one that had not come yet.
 */
export function hasOtherColumns(now: SourceTableDef, known: SourceTableDef, isHidden: boolean): boolean {
  const { gone = [] } = now
  return (
    now.columns.some(column => !known.columns.some(it => it.name === column.name)) ||
    (known.gone ?? []).some(name => !gone.includes(name)) ||
    (!isHidden && gone.some(name => known.gone?.includes(name) !== true))
  )
}

async function stop(tx: Transaction, it: Working, error: unknown): Promise<void> {
  if (!stopsTable(error)) throw error
  it.stopped = error
  await dropUnfinished(tx, it)
}

/** Takes back what was landed of a transaction whose end is not there. */
async function dropUnfinished(tx: Transaction, it: Working): Promise<void> {
  if (it.load === null || it.lines === it.wholeLines) return
  await tx.execute(sql`delete from ${it.load.into} where "_line" > ${it.wholeLines}`)
  await tx.execute(sql`delete from naru.reject where load = ${it.load.load} and line > ${it.wholeLines}`)
  it.lines = it.wholeLines
  it.endedLines = it.wholeLines
  it.isNarrow = false
  it.refused = null
  it.rows = it.wholeRows
}

async function loadOf(tx: Transaction, it: Working): Promise<NonNullable<Working['load']>> {
  if (it.load !== null) return it.load
  const { load, lines } = await it.table.load(tx)
  it.lines = lines
  it.wholeLines = lines
  it.endedLines = lines
  it.load = { load, into: await openChanges(tx, it.table.known) }
  return it.load
}

function noteTimes(it: Working, { transactions, committedMicros }: ChangeSlice, { order }: TableChanges): void {
  const { ends, committedMicros: times } = transactions
  if (times.length === 0 && committedMicros !== null) it.times.push(committedMicros)
  let row = 0
  for (let i = 0; i < times.length && it.times.length < timesMax; i++) {
    const end = ends[i] as number
    const begun = row
    while (row < order.length && (order[row] as number) < end) row++
    if (row > begun) it.times.push(times[i] as bigint)
  }
}

function finished(it: Working, emit: Emit): TakenChanges {
  if (it.gone !== null) emit({ kind: 'note', level: 'warn', ...it.gone })
  const { table, at, load, rejected, moves, truncates, stopped, needsReload } = it
  const unchanged = [...it.unchanged]
  return {
    table,
    at,
    staged:
      load === null || it.wholeRows === 0
        ? null
        : { load: load.load, table: table.known, changes: load.into, unchanged, moves, truncates },
    rows: it.wholeRows,
    rejected,
    lines: it.wholeLines,
    committedMicros: it.times,
    stopped: needsReload ? null : stopped,
    needsReload,
  }
}

function logGone({ topic }: PassGiven, { config, at }: TakenTable): Error {
  return fail('STREAM_LOG_GONE', {
    source: config.source,
    topic: topic.name,
    position: at.sourcePosition ?? at.place,
    problem: 'is another one',
  })
}
