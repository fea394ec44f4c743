import type { ColumnData } from '../../../core/batch.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { SourceBatch } from '../contract.ts'
import { listOf, type FilesShape } from '../contract-files.ts'
import { damaged } from './faults.ts'

/** How Hive writes NULL in a path. */
const nullPartition = '__HIVE_DEFAULT_PARTITION__'

/** The columns that a path may have: of a list the key of its objects, by the names that the objects have. */
export function partitionColumns({ columns, format }: Pick<FilesShape, 'columns' | 'format'>): readonly ColumnDef[] {
  const list = listOf(format)
  if (list === null) return columns
  return columns.flatMap(column => (list.parent[column.name] ?? []).slice(0, 1).map(name => ({ ...column, name })))
}

/** Values of declared columns that stand in the path of a file: `orders/dt=2026-01-01/part.csv`. */
export function partitionValues(file: string, columns: readonly ColumnDef[]): ReadonlyMap<string, string | null> {
  const values = new Map<string, string | null>()
  for (const part of file.split('/').slice(0, -1)) {
    const cut = part.indexOf('=')
    const name = decoded(part.slice(0, Math.max(cut, 0)), file)
    if (!columns.some(column => column.name === name)) continue
    const value = decoded(part.slice(cut + 1), file)
    values.set(name, value === nullPartition ? null : value)
  }
  return values
}

/** Names of the columns that stand in the path of a file. */
export function partitionNames(file: string): readonly string[] {
  const folders = file.split('/').slice(0, -1)
  const names = folders.flatMap(part =>
    part.indexOf('=') > 0 ? [decoded(part.slice(0, part.indexOf('=')), file)] : [],
  )
  return [...new Set(names)]
}

function decoded(text: string, file: string): string {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    throw damaged(file, `the part ${JSON.stringify(text)} of its path is not percent-encoded text`, error)
  }
}

/** Puts the columns of the path among those of the file, which are `own`, as all of `columns` in their order. */
export function withPartitions(
  part: SourceBatch,
  columns: readonly ColumnDef[],
  constants: ReadonlyMap<string, (rows: number) => ColumnData>,
): SourceBatch {
  const { rows } = part.batch
  let next = 0
  const all = columns.map(({ name }) => constants.get(name)?.(rows) ?? (part.batch.columns[next++] as ColumnData))
  return { ...part, batch: { rows, columns: all } }
}

/** The column of one value in every row, in its layout. */
export function constantColumn(
  column: ColumnDef,
  value: string | null,
  file: string,
  asText: boolean,
): (rows: number) => ColumnData {
  if (asText || column.type.kind === 'text' || column.type.kind === 'enum') return rows => constantText(value, rows)
  const refuse = (): Error => damaged(file, `${column.name}=${String(value)} in its path is no ${column.type.kind}`)
  const { type } = column
  if (type.kind === 'int') {
    if (value !== null && !/^-?\d{1,18}$/.test(value)) throw refuse()
    const number = BigInt(value ?? 0)
    if (BigInt.asIntN(type.bits, number) !== number) throw refuse()
    return rows => constantFixed(number, type.bits === 16 ? 2 : type.bits === 32 ? 4 : 8, value === null, rows)
  }
  if (type.kind === 'date') {
    const days = value === null ? 0 : Date.parse(`${value}T00:00:00Z`) / 86_400_000
    if (!Number.isInteger(days) || (value !== null && !/^\d{4}-\d\d-\d\d$/.test(value))) throw refuse()
    return rows => constantFixed(BigInt(days), 4, value === null, rows)
  }
  throw damaged(
    file,
    `column ${column.name} of its path is declared as ${type.kind}; text, int and date can be read there`,
  )
}

function constantText(value: string | null, rows: number): ColumnData {
  const bytes = Buffer.from(value ?? '')
  const offsets = Uint32Array.from({ length: rows + 1 }, (_, row) => row * bytes.length)
  const data = Buffer.alloc(rows * bytes.length, bytes.length === 0 ? undefined : bytes)
  return { layout: 'bytes', validity: validityOf(value === null, rows), offsets, data }
}

function constantFixed(value: bigint, width: 2 | 4 | 8, isNull: boolean, rows: number): ColumnData {
  const one = Buffer.alloc(8)
  one.writeBigInt64LE(value)
  const data = Buffer.alloc(rows * width, one.subarray(0, width))
  return { layout: 'fixed', width, validity: validityOf(isNull, rows), data }
}

function validityOf(isNull: boolean, rows: number): Uint8Array | null {
  return isNull ? new Uint8Array(Math.ceil(rows / 8)) : null
}
