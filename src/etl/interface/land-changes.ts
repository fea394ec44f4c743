import type { ColumnBatch, ColumnData } from '../../core/batch.ts'
import { withoutRows } from '../../core/batch-rows.ts'
import { changeOp, type ChangeSlice, type TableChanges } from '../../core/change-slice.ts'
import { fail } from '../../core/errors.ts'
import type { Ident } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { changeControl, changesLayout } from '../../run/changes-table.ts'
import { stagedColumns, stagingNames } from '../../run/tables.ts'
import type { SchemaChange } from '../../services/adapter/contract-capture.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { changeColumns } from './append-log.ts'
import { readingOf, type TableReading } from './drift.ts'
import { fitRows, openFitting } from './fit.ts'
import { layoutAsRead, unfitRejects, writeRejects, type Landing } from './receive.ts'

/** Where the changes of one table go. */
export interface ChangesLanding {
  readonly load: bigint
  /** The table of `openChanges`. */
  readonly into: Ident
  /** Place of the first change of the batch among those of the load. */
  readonly firstLine: bigint
  /** The transactions of the slice. */
  readonly slice: Pick<ChangeSlice, 'transactions'>
}

/** What a batch of changes holds, for whom applies them. */
export interface LandedChanges {
  readonly rejected: number
  /** Staged columns with an unchanged value. */
  readonly unchanged: readonly string[]
  readonly moves: boolean
  readonly truncates: boolean
}

/**
 * How the changes of a table come, by its contract: as `readingOf` for a read of it. `known` is the table of the config with
 * what earlier loads took in. Throws what `readingOf` throws.
 */
export function readingOfChanges(
  config: SourceTableDef,
  known: SourceTableDef,
  columns: TableChanges['columns'],
): TableReading {
  const found = columns.map(column => ({ ...column, nativeType: '' }))
  return readingOf(config, known, { columns: found, key: [], denied: [] }, null)
}

/** The same for what the source says of a table that it changed. `lastKey` is the key that it declared before. */
export function readingOfSchema(
  config: SourceTableDef,
  known: SourceTableDef,
  change: SchemaChange,
  lastKey: readonly string[] | null,
): TableReading {
  if (change.columns.length === 0) throw fail('SOURCE_TABLE_GONE', { source: config.source, table: config.remote })
  if (config.append === true && change.key.length > 0)
    throw fail('APPEND_PART_ROWS', { source: config.source, table: config.remote, key: change.key.join(', ') })
  const columns = change.columns.map(column => ({ ...column, nativeType: '' }))
  return readingOf(config, known, { columns, key: change.key, denied: [] }, lastKey)
}

/**
 * Appends changes to the table that they wait in: buffers go into the engine as they are. Values of another type are tried
 * as those of a read are, and changes whose values the engine or the type does not hold become rejects.
 */
export async function landChanges(
  tx: Transaction,
  reading: TableReading,
  changes: TableChanges,
  to: ChangesLanding,
): Promise<LandedChanges> {
  const { table } = reading
  const places = reading.shape.columns.map(({ name }) => changes.columns.findIndex(column => column.name === name))
  const masks = masksOf(reading, changes, places)
  const data = places.map(place => changes.rows.columns[place] as ColumnData)
  const lines = linesOf(to, changes.rows.rows)
  const isLog = table.append === true
  const ofLog = isLog ? changeColumns(changes, to.slice, to) : []
  const ops = isLog ? new Uint8Array(changes.ops.length).fill(changeOp.insert) : changes.ops
  const control = controlOf(ops, lines, masks.column)
  const batch: ColumnBatch = { rows: lines.length, columns: [...data, ...ofLog, ...control] }
  const landing: Landing = { table, into: to.into, load: to.load, unit: 0, file: null, reading, control: changeControl }
  const raw = await openFitting(tx, landing, reading)
  const columns = raw === null ? changesLayout(table) : layoutAsRead(reading, changeControl)
  const reject = (rejects: Parameters<typeof writeRejects>[2]): Promise<void> =>
    writeRejects(tx, { ...landing, reading: null }, rejects)
  const unfit = unfitRejects(tx, landing, { columns, batch, lines })
  const fit = unfit.size === 0 ? batch : withoutRows(batch, new Set(unfit.keys()))
  if (unfit.size > 0) await reject([...unfit.values()])
  if (fit.rows > 0) await tx.append(raw ?? to.into, columns, fit)
  const refused = raw === null ? 0 : await fitRows(tx, { raw, landing, reading, reject })
  return {
    rejected: unfit.size + refused,
    unchanged: masks.columns,
    moves: ops.includes(changeOp.move),
    truncates: ops.includes(changeOp.truncate),
  }
}

/** Keeps changes that the source gave and nothing can hold, with the reason. Whoever looks for them knows the names of the config. */
export function rejectChanges(
  tx: Transaction,
  table: SourceTableDef,
  load: bigint,
  rejects: Parameters<typeof writeRejects>[2],
): Promise<void> {
  const landing: Landing = { table, into: stagingNames(table).image, load, unit: 0, file: null, reading: null }
  const names = new Map(Object.entries(table.renamed ?? {}).map(([name, remote]) => [remote, name]))
  const renamed = rejects.map(reject => ({
    ...reject,
    key:
      reject.key === null
        ? null
        : Object.fromEntries(Object.entries(reject.key).map(([remote, value]) => [names.get(remote) ?? remote, value])),
  }))
  return writeRejects(tx, landing, renamed)
}

/** One character a staged column for each change that has unchanged values, and which columns have them. */
function masksOf(
  reading: TableReading,
  { rows: { rows }, unchanged }: TableChanges,
  places: readonly number[],
): { readonly columns: readonly string[]; readonly column: ColumnData } {
  const staged = stagedColumns(reading.table).map(column => column.name)
  const bits = reading.staged.flatMap(({ name }, i) => {
    const bitmap = unchanged[places[i] as number] ?? null
    return bitmap === null ? [] : [{ name, at: staged.indexOf(name), bitmap }]
  })
  const isSet = (bitmap: Uint8Array, row: number): boolean => ((bitmap[row >> 3] as number) & (1 << (row & 7))) !== 0
  const validity = new Uint8Array((rows + 7) >> 3)
  const offsets = new Uint32Array(rows + 1)
  if (bits.length === 0) {
    return { columns: [], column: { layout: 'bytes', validity, offsets, data: new Uint8Array() } }
  }
  for (let row = 0; row < rows; row++) {
    const any = bits.some(({ bitmap }) => isSet(bitmap, row))
    if (any) validity[row >> 3] = (validity[row >> 3] as number) | (1 << (row & 7))
    offsets[row + 1] = (offsets[row] as number) + (any ? staged.length : 0)
  }
  const data = new Uint8Array(offsets[rows] as number).fill(0x30)
  for (let row = 0; row < rows; row++) {
    if (offsets[row] === offsets[row + 1]) continue
    for (const { at, bitmap } of bits) if (isSet(bitmap, row)) data[(offsets[row] as number) + at] = 0x31
  }
  return { columns: bits.map(({ name }) => name), column: { layout: 'bytes', validity, offsets, data } }
}

function controlOf(ops: Uint8Array, lines: Float64Array, mask: ColumnData): readonly ColumnData[] {
  const fixed = (width: 2 | 8, data: Uint8Array): ColumnData => ({ layout: 'fixed', width, validity: null, data })
  return [fixed(2, new Uint8Array(new Int16Array(ops).buffer)), fixed(8, asInt64(lines)), mask]
}

function linesOf({ firstLine }: ChangesLanding, rows: number): Float64Array {
  const lines = new Float64Array(rows)
  const first = Number(firstLine)
  for (let row = 0; row < rows; row++) lines[row] = first + row
  return lines
}

/** Numbers from 0 on as 64-bit integers, in halves: a bigint for each would be garbage. */
function asInt64(numbers: Float64Array): Uint8Array {
  const halves = new Uint32Array(numbers.length * 2)
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i] as number
    halves[2 * i] = number >>> 0
    halves[2 * i + 1] = Math.floor(number / 2 ** 32)
  }
  return new Uint8Array(halves.buffer)
}
