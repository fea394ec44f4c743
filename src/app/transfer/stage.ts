import type { ColumnBatch } from '../../core/batch.ts'
import { fail } from '../../core/errors.ts'
import { interleave } from '../../core/interleave.ts'
import { compareTotals } from '../../etl/staging/index.ts'
import type { ControlTotals, KeyBound, RowFilter, RowReject } from '../../services/adapter/contract.ts'
import type { TableWriter } from '../../services/adapter/contract-writes.ts'
import { stepName, type Moving, type Validation } from './moving.ts'
import { writeState, type TransferState, type TransferUnit } from './state.ts'

/** Rows of a stage that is whole. */
export interface Staged {
  readonly rows: bigint
  /** Of them those that a broken transfer had staged already. */
  readonly resumedRows: bigint
}

/** Stages the source range by range; ranges of a broken transfer first, those that are unchanged without reading them. */
export async function stageAll(
  moving: Moving,
  writer: TableWriter,
  left: TransferState,
  file: string,
): Promise<Staged> {
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
    await writeState(env, file, { ...left, units })
    rows += await stageUnit(moving, writer, unit, rows)
  }
  return { rows, resumedRows }
}

/**
 * Rows of a unit that is staged and that the source still has just so, by the content hash of both in this snapshot:
 * with what is read now they are one state of the source, not two. `null` when it must be read.
 */
async function unchangedRows(moving: Moving, writer: TableWriter, unit: TransferUnit): Promise<bigint | null> {
  const { reads, writes, given, shape } = moving
  // The hash leaves these out: a value that changed would not be seen.
  if (shape.columns.some(({ type }) => type.kind === 'float' || type.kind === 'interval')) return null
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
  const { given, filter, shape, snapshot } = moving
  const names = shape.columns.map(column => column.name)
  const reading = unit.bounds.map((upTo, i) => {
    const range = rangeOf((i === 0 ? unit.after : unit.bounds[i - 1]) ?? null, upTo)
    return snapshot.read(shape, names, { ...filter, ...range }, given.signal)
  })
  const staged = await writer.stage(unit.unit, exactBatches(moving, interleave(reading), rowsBefore), given.signal)
  return staged.rows
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
      const place = first.line === null ? 'a row without a key' : `line ${first.line}`
      const key = first.key === null ? place : JSON.stringify(first.key)
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
export async function validate(moving: Moving, writer: TableWriter, rows: bigint): Promise<void> {
  const { given, validation, from, to, reads, writes } = moving
  if (!reads.can.totals) {
    if (validation === 'count') return assertArrived(moving, writer, rows)
    throw fail('TRANSFER_CANNOT', { system: from.text, what: `compute what --validate ${validation} compares` })
  }
  const source = await sourceTotals(moving, {}, validation)
  const differs = (what: string, a: string, b: string): Error =>
    fail('TRANSFER_DIFFERS', { from: from.text, to: to.text, what, source: a, target: b })
  if (source.rows !== rows) throw differs('the number of rows', String(source.rows), String(rows))
  if (!writes.can.totals) {
    if (validation === 'count') return
    throw fail('TRANSFER_CANNOT', { system: to.text, what: `compute what --validate ${validation} compares` })
  }
  const staged = await writer.totals({ hash: validation === 'hash' }, given.signal)
  const all = compareTotals(source, staged, 0)
  const compared = validation === 'count' ? all.filter(it => it.measure === 'rows') : all
  for (const { column, measure, source: a, staged: b, equal } of compared) {
    if (equal === true) continue
    throw differs(column === '' ? `the ${measure}` : `${measure} of column "${column}"`, a ?? 'NULL', b ?? 'NULL')
  }
}

/** A source that counts nothing: the rows that it gave are compared with those that the target counts in its stage. */
async function assertArrived({ given, from, to, writes }: Moving, writer: TableWriter, rows: bigint): Promise<void> {
  const arrived = writes.can.totals
    ? (await writer.totals({ hash: false }, given.signal)).rows
    : writer.staged.reduce((sum, unit) => sum + unit.rows, 0n)
  if (arrived === rows) return
  const [source, target] = [String(rows), String(arrived)]
  throw fail('TRANSFER_DIFFERS', { from: from.text, to: to.text, what: 'the number of rows', source, target })
}

function sourceTotals(moving: Moving, range: RowFilter, validation: Validation): Promise<ControlTotals> {
  const { snapshot, shape, filter, given } = moving
  const columns = validation === 'count' ? [] : shape.columns
  return snapshot.totals({ ...shape, columns }, { ...filter, ...range }, { hash: validation === 'hash' }, given.signal)
}
