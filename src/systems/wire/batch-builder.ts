import { fixedWidth, type ColumnBatch } from '../../core/batch.ts'
import { cellText } from '../../core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import { blockRows, layOver, newBlock, type Block } from './block.ts'
import { bufferPool, type BufferPool } from '../../core/buffer-pool.ts'
import type { ColumnWriter, WriterRoom } from './column-writer.ts'

/** A value that its type cannot hold, and where it stood. */
export interface BadRow {
  readonly column: string
  readonly key: Readonly<Record<string, string | null>> | null
  readonly bytes: number
  readonly content: string
}

export interface BatchBuilder {
  /** Takes over all good rows of the block; gives the bad ones. */
  add(block: Block): readonly BadRow[]
  /** Hands over what was collected, or `null` when there is nothing. */
  flush(): ColumnBatch | null
  /** A batch without rows, for rejects that come alone. */
  empty(): ColumnBatch
  /** True when another block of this many bytes would pass a limit of the batch. */
  isFullFor(bytes: number): boolean
}

export interface BatchShape {
  readonly columns: readonly ColumnDef[]
  /** Columns that name a row in rejects; those that are not read are left out. */
  readonly key: readonly string[]
  /** Where consumed batches come back to. */
  readonly pool: BufferPool
  /** Makes a writer for a column, by its place. */
  readonly writer: (column: number, room: WriterRoom) => ColumnWriter
  /** A value that its type cannot hold, for people. */
  readonly badValueText: (type: ColumnType, value: Buffer) => string
}

/** Bytes of a batch: the contract's limit is 8 MiB, and smaller ones keep memory low without costing time. */
const BATCH_BYTES = 4 * 1024 * 1024
/** Rows of a batch, a multiple of what engines take at once. */
const BATCH_ROWS = 65_536
/** Room for the values of a column in the first batch. */
const FIRST_BYTES = 4096

/** Collects blocks into column batches of bounded size. */
export function batchBuilder(shape: BatchShape): BatchBuilder {
  const { columns, pool, writer } = shape
  const capacity = capacityOf(columns)
  const newWriters = (last: readonly ColumnWriter[]): ColumnWriter[] =>
    columns.map((_, c) => {
      const bytesExpected = Math.max(FIRST_BYTES, Math.min(BATCH_BYTES, Math.ceil((last[c]?.bytes ?? 0) * 1.1)))
      return writer(c, { capacity, pool, bytesExpected })
    })
  let writers = newWriters([])
  let rows = 0

  const addRows = (block: Block, from: number, to: number, bad: (row: number, column: number) => void): void => {
    for (let c = 0; c < writers.length; c++) {
      const writer = writers[c] as ColumnWriter
      writer.append(block, c, { from, to, at: rows }, row => bad(row, c))
    }
    rows += to - from
  }

  return {
    isFullFor: bytes => {
      const varying = writers.reduce((sum, writer) => sum + writer.bytes, 0)
      return rows > 0 && (rows + blockRows(columns.length) > capacity || varying + bytes > BATCH_BYTES)
    },
    add: block => {
      const bad = new Map<number, number>()
      const before = rows
      addRows(block, 0, block.rows, (row, column) => bad.set(row, bad.get(row) ?? column))
      if (bad.size === 0) return []
      // Rare, and at most twice the work: the block is decoded again without its bad rows.
      for (const writer of writers) writer.cut(before)
      rows = before
      for (const { from, to } of goodRuns(block.rows, bad)) addRows(block, from, to, () => {})
      return [...bad].map(([row, column]) => badRow(shape, block, row, column))
    },
    empty: () => ({ rows: 0, columns: columns.map((_, c) => smallWriter(shape, c).finish(0)) }),
    flush: () => {
      if (rows === 0) return null
      const batch = { rows, columns: writers.map(writer => writer.finish(rows)) }
      writers = newWriters(writers)
      rows = 0
      return batch
    },
  }
}

/** Rows that fit by their fixed parts alone, so that a table of a thousand columns keeps the limit too. */
function capacityOf(columns: readonly ColumnDef[]): number {
  const bytes = columns.reduce((sum, column) => sum + (fixedWidth(column.type) ?? 4), 0)
  return Math.max(blockRows(columns.length), Math.min(BATCH_ROWS, Math.floor(BATCH_BYTES / bytes)))
}

/** A writer for one value that is looked at. */
function smallWriter({ writer }: Pick<BatchShape, 'writer'>, column: number): ColumnWriter {
  return writer(column, { capacity: 1, pool: bufferPool(), bytesExpected: 64 })
}

/** The runs of rows between the bad ones. */
export function* goodRuns(rows: number, bad: ReadonlyMap<number, number>): Iterable<{ from: number; to: number }> {
  let from = 0
  for (let row = 0; row <= rows; row++) {
    if (row < rows && !bad.has(row)) continue
    if (row > from) yield { from, to: row }
    from = row + 1
  }
}

/** A row of the block whose value in a column does not fit. */
export function badRow(shape: Omit<BatchShape, 'pool'>, block: Block, row: number, column: number): BadRow {
  const value = valueAt(block, row, column) ?? Buffer.alloc(0)
  const { name, type } = shape.columns[column] as ColumnDef
  const key = keyOf(shape, place => valueAt(block, row, place))
  return { column: name, key, bytes: value.length, content: shape.badValueText(type, value) }
}

function valueAt(block: Block, row: number, column: number): Buffer | null {
  const cell = row * block.columns + column
  const from = block.positions[cell] as number
  const length = block.lengths[cell] as number
  return length < 0 ? null : block.bytes.subarray(from, from + length)
}

/** The key of a row whose values `valueOf` gives by the place of their column; `null` when it is not all read. */
export function keyOf(
  shape: Omit<BatchShape, 'pool'>,
  valueOf: (column: number) => Buffer | null,
): Record<string, string | null> | null {
  const places = shape.key.map(name => shape.columns.findIndex(column => column.name === name))
  if (places.length === 0 || places.includes(-1)) return null
  return Object.fromEntries(
    places.map(place => {
      const bytes = valueOf(place)
      return [(shape.columns[place] as ColumnDef).name, bytes === null ? null : valueText(shape, place, bytes)]
    }),
  )
}

/** The text of one value; `null` when it does not fit its type. */
function valueText(shape: Omit<BatchShape, 'pool'>, column: number, bytes: Buffer): string | null {
  const block = newBlock(1)
  layOver(block, bytes)
  block.lengths[0] = bytes.length
  const writer = smallWriter(shape, column)
  let good = true
  writer.append(block, 0, { from: 0, to: 1, at: 0 }, () => (good = false))
  return good ? cellText((shape.columns[column] as ColumnDef).type, writer.finish(1), 0) : null
}
