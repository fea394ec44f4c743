import type { ColumnBatch, ColumnData } from '../../core/batch.ts'
import { withoutRows } from '../../core/batch-rows.ts'
import { cellText } from '../../core/cell-text.ts'
import { sql, type Ident } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { stagingControl, stagingLayout } from '../../run/tables.ts'
import { logColumnsOf, readColumns } from './append-log.ts'
import type { RowReject, SourceBatch } from '../../services/adapter/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import type { InterfaceContext } from './context.ts'
import { fitRows, openFitting } from './fit.ts'
import { namesText, type TableReading } from './drift.ts'

/** Where received rows go and what they are marked with. */
export interface Landing {
  readonly table: SourceTableDef
  readonly into: Ident
  readonly load: bigint
  readonly unit: number
  readonly file: string | null
  /** Columns of `into` behind those of the table; those of a landing unless given. */
  readonly control?: readonly ColumnDef[]
  /** When the rows of an append log are of, by the source's clock. */
  readonly atMicros?: bigint
  /** How the rows come; `null` where they come as the table is staged, as those of a file without a contract do. */
  readonly reading: TableReading | null
}

export interface Received {
  readonly rows: number
  readonly rejected: number
  readonly bytes: number
}

/** Rejects written with one statement. */
const rejectsPerInsert = 200

/** Appends batches to the landing table with their control columns, and rejects to `naru.reject`; counts both. */
export async function receive(
  ctx: Pick<InterfaceContext, 'signal' | 'emit'>,
  tx: Transaction,
  landing: Landing,
  batches: AsyncIterable<SourceBatch>,
  onRows: (received: Received) => void,
): Promise<Received> {
  const { reading } = landing
  // Where the source has another shape, rows are brought into the staged one by the engine, after they are there.
  const raw = reading === null ? null : await openFitting(tx, landing, reading)
  const columns = reading === null ? stagingLayout(landing.table) : layoutAsRead(reading)
  let received: Received = { rows: 0, rejected: 0, bytes: 0 }
  for await (const { batch, lines, rejects, unknownColumns, dialect } of batches) {
    ctx.signal.throwIfAborted()
    // With a reading, the contract of the table has told them.
    if (reading === null && unknownColumns !== undefined && unknownColumns.length > 0) {
      noteUnknown(ctx, landing, unknownColumns)
    }
    if (dialect !== undefined) noteDialect(ctx, landing, dialect)
    const whole = withControlColumns(batch, landing, { lines, before: received.rows + received.rejected })
    const unfit = unfitRejects(tx, landing, { columns, batch: whole, lines })
    const fit = unfit.size === 0 ? whole : withoutRows(whole, new Set(unfit.keys()))
    if (fit.rows > 0) await tx.append(raw ?? landing.into, columns, fit)
    if (unfit.size > 0) await writeRejects(tx, { ...landing, reading: null }, [...unfit.values()])
    if (rejects.length > 0) await writeRejects(tx, landing, rejects)
    received = {
      rows: received.rows + fit.rows,
      rejected: received.rejected + rejects.length + unfit.size,
      bytes: received.bytes + batch.columns.reduce((sum, it) => sum + it.data.byteLength, 0),
    }
    onRows(received)
  }
  if (raw === null || reading === null) return received
  const unfit = await fitRows(tx, {
    raw,
    landing,
    reading,
    reject: rejects => writeRejects(tx, { ...landing, reading: null }, rejects),
  })
  return { ...received, rows: received.rows - unfit, rejected: received.rejected + unfit }
}

/** Characters of a value that are kept of it. */
const contentMax = 1_000

/** The rows that the engine cannot hold, by their place in the batch: each names its column and why. */
export function unfitRejects(
  tx: Transaction,
  { table }: Landing,
  given: {
    readonly columns: readonly ColumnDef[]
    readonly batch: ColumnBatch
    readonly lines: Float64Array | undefined
  },
): ReadonlyMap<number, RowReject> {
  const { columns, batch, lines } = given
  const textOf = (place: number, row: number): string | null =>
    cellText((columns[place] as ColumnDef).type, batch.columns[place] as ColumnData, row)
  const found = (tx.unfit?.(columns, batch) ?? []).map(({ row, column, problem }): [number, RowReject] => {
    const { name } = columns[column] as ColumnDef
    const value = textOf(column, row) ?? ''
    const key = table.key.map(
      part =>
        [
          part,
          textOf(
            columns.findIndex(it => it.name === part),
            row,
          ),
        ] as const,
    )
    return [
      row,
      {
        reason: 'VALUE_NOT_IN_TYPE',
        detail: `column ${name}: ${problem}`,
        key: Object.fromEntries(key),
        line: lines?.[row] ?? null,
        bytes: Buffer.byteLength(value),
        content: `${name}: ${value.slice(0, contentMax)}`,
      },
    ]
  })
  return new Map(found)
}

/** The columns as they come: staged names, types of the source. */
export function layoutAsRead(
  { table, shape, staged }: TableReading,
  control: readonly ColumnDef[] = stagingControl,
): readonly ColumnDef[] {
  const data = shape.columns.map((column, i) => ({ ...column, name: (staged[i] as ColumnDef).name, nullable: true }))
  return [...data, ...logColumnsOf(table), ...control]
}

function noteUnknown(ctx: Pick<InterfaceContext, 'emit'>, landing: Landing, columns: readonly string[]): void {
  const { table, file } = landing
  const text = `${file} for ${table.source}.${table.name} has columns that the configuration does not name: ${namesText(columns)}`
  ctx.emit({ kind: 'note', level: 'warn', text, code: 'SOURCE_COLUMN_NEW' })
}

function noteDialect(ctx: Pick<InterfaceContext, 'emit'>, { table, file }: Landing, dialect: string): void {
  const text = `${file} for ${table.source}.${table.name} is written with ${dialect}`
  ctx.emit({ kind: 'note', level: 'info', text, code: 'FILE_DIALECT' })
}

/** `before`: rows of the unit that came before the batch. */
function withControlColumns(
  batch: ColumnBatch,
  landing: Landing,
  { lines, before }: { readonly lines: Float64Array | undefined; readonly before: number },
): ColumnBatch {
  const fixed = (width: 4 | 8, values: BigInt64Array | Int32Array, validity: Uint8Array | null): ColumnData => ({
    layout: 'fixed',
    width,
    validity,
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  })
  const load = new BigInt64Array(batch.rows).fill(landing.load)
  const unit = new Int32Array(batch.rows).fill(landing.unit)
  const line = new BigInt64Array(batch.rows)
  lines?.forEach((number, row) => {
    if (row < batch.rows) line[row] = BigInt(number)
  })
  const noLines = new Uint8Array(Math.ceil(batch.rows / 8))
  return {
    rows: batch.rows,
    columns: [
      ...batch.columns,
      ...(landing.table.append === true ? readColumns(landing, batch.rows, before) : []),
      fixed(8, load, null),
      fixed(4, unit, null),
      fixed(8, line, lines === undefined ? noLines : null),
    ],
  }
}

/** A bad line may hold what no text in SQL can: NUL, or half of a character where it was cut. */
function storable(text: string): string {
  return text.replaceAll('\0', '\\0').toWellFormed()
}

/** The key by the names that staging knows it by. */
function stagedKey({ reading }: Landing, key: NonNullable<RowReject['key']>): NonNullable<RowReject['key']> {
  if (reading === null) return key
  const { shape, staged } = reading
  const nameOf = (remote: string): string =>
    staged[shape.columns.findIndex(column => column.name === remote)]?.name ?? remote
  return Object.fromEntries(Object.entries(key).map(([name, value]) => [nameOf(name), value]))
}

/** Keeps rejected rows with their reason; what may be personal of them is hidden. */
export async function writeRejects(tx: Transaction, landing: Landing, rejects: readonly RowReject[]): Promise<void> {
  const { table, load, unit, file } = landing
  // A rejected row may hold personal data in any column, so none of its text is kept: its key, or file and line, find it
  // again. The key is named by the source itself, so it is personal only when one of its columns is; the detail holds no
  // value at all, by the contract of adapters.
  const personal = table.columns.some(column => column.personal)
  const personalKey = table.columns.some(column => column.personal && table.key.includes(column.name))
  const hide = (text: string): string => (personal ? '***' : storable(text))
  const hideKey = (text: string): string => (personalKey ? '***' : storable(text))
  for (let from = 0; from < rejects.length; from += rejectsPerInsert) {
    const rows = rejects.slice(from, from + rejectsPerInsert).map(reject => {
      const key = reject.key === null ? null : hideKey(JSON.stringify(stagedKey(landing, reject.key)))
      return sql`(${load}, ${unit}, ${table.source}, ${table.name}, ${reject.reason}, ${storable(reject.detail)}, ${key},
        ${file}, ${reject.line}, ${reject.bytes}, ${hide(reject.content)})`
    })
    await tx.execute(sql`insert into naru.reject values ${rows.reduce((a, b) => sql`${a}, ${b}`)}`)
  }
}
