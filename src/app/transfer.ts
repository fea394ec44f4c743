import path from 'node:path'
import type { ColumnBatch } from '../core/batch.ts'
import type { Env } from '../core/env.ts'
import { fail } from '../core/errors.ts'
import type { Emit } from '../core/events.ts'
import { fileExists } from '../core/files.ts'
import { interleave } from '../core/interleave.ts'
import { typeText } from '../core/types.ts'
import { compareTotals } from '../etl/staging/index.ts'
import type {
  Adapter,
  ControlTotals,
  KeyBound,
  ReadsTables,
  RowFilter,
  RowReject,
  Snapshot,
  TableNow,
  TableShape,
  TableWriter,
  WriteMode,
  WriteTarget,
  WritesTables,
  Written,
} from '../services/adapter/contract.ts'
import { localCoordinator } from '../services/coordinator/local/open.ts'
import { readAddress, type Address } from './address.ts'
import { openSource } from './extract.ts'
import type { AdapterImplementation } from './registry.ts'
import { secretRefsIn, secretResolver } from './secrets.ts'
import {
  readState,
  removeState,
  stateFile,
  writeState,
  type TransferState,
  type TransferUnit,
} from './transfer-state.ts'

/** What is to be moved, as the command line says it. */
export interface TransferRequest {
  readonly from: string
  readonly to: string
  /** A SELECT of the source instead of a table. */
  readonly query: string | null
  /** A condition in the source's own SQL. */
  readonly where: string | null
  /** All columns when empty. */
  readonly columns: readonly string[]
  readonly mode: WriteMode
  /** Columns that find a row of the target; the source's own key when empty. */
  readonly key: readonly string[]
  /** Columns by whose order the source is cut into chunks; its own key when empty. */
  readonly splitBy: readonly string[]
  /** Chunks that are read at the same time. */
  readonly parallel: number
  readonly chunkRows: number
  readonly validate: Validation
  readonly missed: 'refuse' | 'report'
  /** Makes the target when it is not there. */
  readonly create: boolean
  readonly configFile: string
}

/** How the stage is compared with the source before it is published. */
export type Validation = 'count' | 'totals' | 'hash'

export interface Transferred extends Written {
  readonly from: string
  readonly to: string
  readonly rows: bigint
  /** Rows of chunks that a broken transfer had staged already. */
  readonly resumedRows: bigint
  readonly validated: Validation
  readonly ms: number
}

interface Given {
  readonly env: Env
  readonly emit: Emit
  readonly signal: AbortSignal
  readonly adapters?: Readonly<Record<string, AdapterImplementation>>
}

/**
 * Moves a table or a query between two systems: read in one snapshot, staged beside the target chunk by chunk, compared
 * with the source's own figures, then made visible at once. A transfer that breaks leaves the target as it was; the same
 * command again goes on behind the chunks whose source is unchanged.
 */
export async function transfer(given: Given, request: TransferRequest): Promise<Transferred> {
  const { env, signal } = given
  const beganMs = env.clock.monotonicMs()
  const [from, to] = [
    await readAddress(env, request.from, request.configFile),
    await readAddress(env, request.to, request.configFile),
  ]
  const [source, target] = [await openEnd(given, from, request), await openEnd(given, to, request)]
  try {
    if (source.tables === undefined) throw fail('TRANSFER_CANNOT', { system: from.text, what: 'read tables' })
    if (target.writes === undefined) throw fail('TRANSFER_CANNOT', { system: to.text, what: 'be written' })
    await target.writes.connect?.(signal)
    const snapshot = await source.tables.openSnapshot(signal)
    try {
      const moving = await prepare({ given, request, from, to, snapshot, reads: source.tables, writes: target.writes })
      return { ...(await moveAlone(moving)), ms: env.clock.monotonicMs() - beganMs }
    } finally {
      await snapshot.close()
    }
  } finally {
    await source.close()
    await target.close()
  }
}

async function openEnd(given: Given, { system }: Address, request: TransferRequest): Promise<Adapter> {
  const { env } = given
  const configDir = path.dirname(request.configFile)
  const secret = await secretResolver(env, configDir, secretRefsIn(system.options))
  const place = { env, configDir, stateDir: stateDirOf(request), secret }
  return openSource(place, { ...system, tables: [] }, given.adapters)
}

function stateDirOf(request: TransferRequest): string {
  return path.join(path.dirname(request.configFile), '.naru')
}

/** A transfer whose both ends are open and fit each other. */
interface Moving {
  readonly given: Given
  readonly request: TransferRequest
  readonly from: Address
  readonly to: Address
  readonly snapshot: Snapshot
  readonly reads: ReadsTables
  readonly writes: WritesTables
  /** What is read, its `key` being what it is cut by. */
  readonly shape: TableShape
  /** Columns that find a row of the target. */
  readonly key: readonly string[]
  readonly rowsEstimate: number | null
}

async function prepare(open: Omit<Moving, 'shape' | 'key' | 'rowsEstimate'>): Promise<Moving> {
  const { request, from, to, writes, reads } = open
  if (request.mode !== 'insert' && request.mode !== 'replace' && !writes.can.modes.includes(request.mode)) {
    throw fail('TRANSFER_CANNOT', { system: to.text, what: `be written with --mode ${request.mode}` })
  }
  const now = await lookAtSource(open)
  const columns = chosen(now, request.columns)
  for (const { name, type } of columns) {
    if (writes.typeName(type) !== null) continue
    throw fail('TRANSFER_TYPE', { column: name, type: typeText(type), system: to.text })
  }
  const splitBy = request.splitBy.length > 0 ? request.splitBy : now.key
  assertColumns(now, [...splitBy, ...request.key])
  const shape: TableShape = { remote: now.name, columns, key: reads.can.chunks ? splitBy : [] }
  const names = columns.map(column => column.name)
  const key = request.key.length > 0 ? request.key : now.key.every(name => names.includes(name)) ? now.key : []
  if (key.length === 0 && request.mode !== 'insert' && request.mode !== 'replace') {
    throw fail('TRANSFER_CANNOT', {
      system: from.text,
      what: `tell the key for --mode ${request.mode}: name it with --key`,
    })
  }
  const isWhole = request.where === null && request.query === null
  return { ...open, shape, key, rowsEstimate: isWhole ? now.rowsEstimate : null }
}

/** What the query is called among the tables of the source: no table has such a name. */
const queryName = '(query)'

async function lookAtSource({
  request,
  from,
  snapshot,
}: Pick<Moving, 'request' | 'from' | 'snapshot'>): Promise<TableNow> {
  if (request.query === null) {
    if (from.table === null) throw fail('TRANSFER_ADDRESS', { address: from.text, problem: 'it names no table' })
    return snapshot.look(from.table)
  }
  if (from.table !== null) {
    throw fail('TRANSFER_ADDRESS', { address: from.text, problem: 'with --query it must name no table' })
  }
  if (snapshot.define === undefined) throw fail('TRANSFER_CANNOT', { system: from.text, what: 'run a query' })
  await snapshot.define(queryName, request.query)
  return snapshot.look(queryName)
}

function chosen(now: TableNow, names: readonly string[]): TableShape['columns'] {
  const plain = now.columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal }))
  if (names.length === 0) {
    const [denied] = now.denied
    if (denied === undefined) return plain
    // Leaving out what may not be read would be a copy that looks whole.
    throw fail('SOURCE_DENIED', {
      source: now.name,
      object: `column "${denied}"`,
      problem: 'name the other columns with --columns to leave it out',
    })
  }
  assertColumns(now, names)
  return names.map(name => plain.find(column => column.name === name) as TableShape['columns'][number])
}

function assertColumns(now: TableNow, names: readonly string[]): void {
  for (const column of names) {
    if (now.columns.some(it => it.name === column)) continue
    const known = now.columns.map(it => it.name).join(', ')
    throw fail('TRANSFER_COLUMN', { column, table: now.name, known })
  }
}

/** Two calls of one command would share a stage: the second is refused while the first lives. */
async function moveAlone(moving: Moving): Promise<Omit<Transferred, 'ms'>> {
  const { given, request, shape } = moving
  const file = stateFile(stateDirOf(request), { ...request, parallel: 0, configFile: null, shape })
  const name = path.basename(file, '.json')
  const lease = await localCoordinator(given.env, path.dirname(file)).acquire(name, `naru transfer ${stepName(moving)}`)
  try {
    return await move(moving, file)
  } finally {
    await lease.release()
    // Its number counts holders of one stage, and the stage is gone.
    if (!(await fileExists(given.env, file))) await removeLeases(given.env, path.dirname(file), name)
  }
}

async function removeLeases(env: Env, folder: string, name: string): Promise<void> {
  const files = await env.files.readdir(folder)
  for (const file of files.filter(it => it.startsWith(`${name}.lease.`))) {
    await env.files.rm(path.join(folder, file), { force: true })
  }
}

async function move(moving: Moving, file: string): Promise<Omit<Transferred, 'ms'>> {
  const { given, request, from, to, shape, key } = moving
  const { env, signal } = given
  const beganMs = env.clock.monotonicMs()
  const left = await readState(env, file)
  const state: TransferState = left ?? { id: `t${env.random.uuid().replaceAll('-', '').slice(0, 20)}`, units: [] }
  const remote = targetOf(moving)
  const { mode, create } = request
  // Noted before the stage is made: a stage that nobody knows of would stay for ever.
  if (left === null) await writeState(env, file, state)
  const columns = mode === 'delete' ? shape.columns.filter(({ name }) => key.includes(name)) : shape.columns
  const asked = { ...moving, shape: { ...shape, columns } }
  const target = { id: state.id, remote, columns, key, mode, create }
  const writer = await openWriter(asked, target, left === null ? file : null)
  try {
    const facts = { from: from.text, to: to.text, validated: request.validate }
    if (writer.published !== null) {
      await finish(env, writer, file, signal)
      const rows = writer.staged.reduce((sum, unit) => sum + unit.rows, 0n)
      return { ...facts, ...writer.published, rows, resumedRows: rows }
    }
    const step = stepName(moving)
    given.emit({ kind: 'step', step, state: 'begin' })
    const staged = await stageAll(asked, writer, state, file)
    await validate(asked, writer, staged.rows)
    const written = await writer.publish({ missed: request.missed }, signal)
    await finish(env, writer, file, signal)
    const ms = env.clock.monotonicMs() - beganMs
    given.emit({ kind: 'step', step, state: 'end', ms, rows: Number(staged.rows) })
    return { ...facts, ...written, ...staged }
  } finally {
    await writer.close()
  }
}

/** A target that is refused needs nothing to be remembered. */
async function openWriter({ writes, given }: Moving, target: WriteTarget, fresh: string | null): Promise<TableWriter> {
  try {
    return await writes.openWriter(target, given.signal)
  } catch (error) {
    if (fresh !== null) await removeState(given.env, fresh)
    throw error
  }
}

function targetOf({ to, shape, request }: Moving): string {
  const name = to.table ?? (request.query === null ? shape.remote : null)
  if (name !== null) return name
  throw fail('TRANSFER_ADDRESS', { address: to.text, problem: 'with --query it must name the table that is written' })
}

/** The outcome is known: the stage goes first, so that a crash in between is told as published by the next call. */
async function finish(env: Env, writer: TableWriter, file: string, signal: AbortSignal): Promise<void> {
  await writer.discard(signal)
  await removeState(env, file)
}

/** Stages the source range by range; ranges of a broken transfer first, those that are unchanged without reading them. */
async function stageAll(
  moving: Moving,
  writer: TableWriter,
  left: TransferState,
  file: string,
): Promise<{ readonly rows: bigint; readonly resumedRows: bigint }> {
  const { env, emit } = moving.given
  const units = [...left.units]
  let [rows, resumedRows] = [0n, 0n]
  for (const unit of units) {
    const kept = await unchangedRows(moving, writer, unit)
    if (kept !== null) resumedRows += kept
    rows += kept ?? (await stageUnit(moving, writer, unit, rows))
  }
  if (resumedRows > 0n) {
    emit({ kind: 'note', level: 'info', text: `${resumedRows} rows were staged before and have not changed since` })
  }
  for (let last = units.at(-1); last === undefined || upToOf(last) !== null; last = units.at(-1)) {
    const after = last === undefined ? null : upToOf(last)
    const unit = { unit: String(units.length + 1), after, bounds: await nextBounds(moving, after) }
    units.push(unit)
    await writeState(env, file, { id: left.id, units })
    rows += await stageUnit(moving, writer, unit, rows)
  }
  return { rows, resumedRows }
}

/**
 * Rows of a unit that is staged and that the source still has just so, by the content hash of both in this snapshot:
 * with what is read now they are one state of the source, not two. `null` when it must be read.
 */
async function unchangedRows(moving: Moving, writer: TableWriter, unit: TransferUnit): Promise<bigint | null> {
  const { reads, writes, given } = moving
  const staged = writer.staged.find(it => it.unit === unit.unit)
  if (staged === undefined || !reads.can.totals || !writes.can.totals) return null
  const source = await sourceTotals(moving, rangeOf(unit.after, upToOf(unit)), 'hash')
  if (source.rows !== staged.rows) return null
  const target = await writer.totals({ hash: true, units: [unit.unit] }, given.signal)
  return compareTotals(source, target, 0).every(it => it.equal === true) ? staged.rows : null
}

/** Where a unit ends; `null` when it is open. */
function upToOf(unit: TransferUnit): KeyBound | null {
  return unit.bounds.at(-1) ?? null
}

function rangeOf(after: KeyBound | null, upTo: KeyBound | null): RowFilter {
  return { after: after ?? undefined, upTo: upTo ?? undefined }
}

/** Upper keys of the chunks that are read together next; the last is `null` when fewer rows follow. */
async function nextBounds(moving: Moving, after: KeyBound | null): Promise<readonly (KeyBound | null)[]> {
  const { shape, snapshot, request } = moving
  if (shape.key.length === 0) return [null]
  const bounds: (KeyBound | null)[] = []
  while (bounds.length < request.parallel && bounds.at(-1) !== null) {
    bounds.push(await snapshot.boundary(shape, bounds.at(-1) ?? after ?? undefined, request.chunkRows))
  }
  return bounds
}

/** Reads the chunks of a unit at once, each over a connection of its own, and stages them together; gives their rows. */
async function stageUnit(moving: Moving, writer: TableWriter, unit: TransferUnit, rowsBefore: bigint): Promise<bigint> {
  const { given, request, shape, snapshot } = moving
  const names = shape.columns.map(column => column.name)
  const reading = unit.bounds.map((upTo, i) => {
    const range = rangeOf((i === 0 ? unit.after : unit.bounds[i - 1]) ?? null, upTo)
    return snapshot.read(shape, names, { ...range, where: request.where ?? undefined }, given.signal)
  })
  const staged = await writer.stage(unit.unit, exactBatches(moving, interleave(reading), rowsBefore), given.signal)
  return staged.rows
}

function stepName({ from, to }: Moving): string {
  return `${from.text} → ${to.text}`
}

/** Batches of rows that were all read exactly: one that could not be ends the transfer. */
async function* exactBatches(
  moving: Moving,
  read: AsyncIterable<{ readonly batch: ColumnBatch; readonly rejects: readonly RowReject[] }>,
  rowsBefore: bigint,
): AsyncGenerator<ColumnBatch, void> {
  const { given, from, rowsEstimate } = moving
  let [done, bytes] = [Number(rowsBefore), 0]
  for await (const { batch, rejects } of read) {
    const [first] = rejects
    if (first !== undefined) {
      const key = first.key === null ? 'a row without a key' : JSON.stringify(first.key)
      const example = `${key}: ${first.detail}`
      throw fail('TRANSFER_REJECTS', { rows: rejects.length, table: from.table ?? 'the query', example })
    }
    if (batch.rows === 0) continue
    yield batch
    done += batch.rows
    bytes += batch.columns.reduce((sum, column) => sum + column.data.byteLength, 0)
    given.emit({ kind: 'rows', step: stepName(moving), done, total: rowsEstimate, bytes })
  }
}

/** Compares what the source says of the rows with what the target says of its stage. Throws `TRANSFER_DIFFERS`. */
async function validate(moving: Moving, writer: TableWriter, rows: bigint): Promise<void> {
  const { given, request, from, to, reads, writes } = moving
  if (!reads.can.totals) {
    if (request.validate === 'count') return
    throw fail('TRANSFER_CANNOT', { system: from.text, what: `compute what --validate ${request.validate} compares` })
  }
  const source = await sourceTotals(moving, {}, request.validate)
  const differs = (what: string, a: string, b: string): Error =>
    fail('TRANSFER_DIFFERS', { from: from.text, to: to.text, what, source: a, target: b })
  if (source.rows !== rows) throw differs('the number of rows', String(source.rows), String(rows))
  if (!writes.can.totals) {
    if (request.validate === 'count') return
    throw fail('TRANSFER_CANNOT', { system: to.text, what: `compute what --validate ${request.validate} compares` })
  }
  const staged = await writer.totals({ hash: request.validate === 'hash' }, given.signal)
  const all = compareTotals(source, staged, 0)
  const compared = request.validate === 'count' ? all.filter(it => it.measure === 'rows') : all
  for (const { column, measure, source: a, staged: b, equal } of compared) {
    if (equal === true) continue
    throw differs(column === '' ? `the ${measure}` : `${measure} of column "${column}"`, a ?? 'NULL', b ?? 'NULL')
  }
}

function sourceTotals(moving: Moving, range: RowFilter, validation: Validation): Promise<ControlTotals> {
  const { snapshot, shape, request, given } = moving
  const columns = validation === 'count' ? [] : shape.columns
  const filter = { ...range, where: request.where ?? undefined }
  return snapshot.totals({ ...shape, columns }, filter, { hash: validation === 'hash' }, given.signal)
}
