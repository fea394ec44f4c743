import assert from 'node:assert/strict'
import type { ColumnBatch } from '../../core/batch.ts'
import { cellText } from '../../core/cell-text.ts'
import { isNaruError } from '../../core/errors.ts'
import { typeText, type ColumnType } from '../../core/types.ts'
import { batchOf, type TestValue } from '../../testing/suite/batches.ts'
import { byKey, int64, never, readAll, shapeOf, text } from './conformance-support.ts'
import type { Adapter, Snapshot, TableShape } from './contract.ts'
import type { TableWriter, WriteMode, WritesTables, WriteTarget } from './contract-writes.ts'
import type { TextRows } from './text-totals.ts'

/** A system that is written: how a test looks at it from outside. */
export interface WritesSystem {
  /** The adapter under test, newly opened on a database that other tests leave alone. It reads what it wrote as well. */
  open(): Promise<Adapter>
  /** Runs one statement as another account would, and commits it. */
  execute(statement: string): Promise<void>
  /** Where there is the mode `call`: a statement for each that makes it in `execute`, taking the columns of `goods` in order. */
  readonly procedures?: {
    /** `add_good`: adds the row to `goods`; raises an error with the words `no such price` when its price is negative. */
    readonly addGood: string
    /** `commit_good`: adds the row and commits. */
    readonly commitGood: string
  }
}

/** One promise of the contract's `WritesTables` and `TableWriter`. */
export interface WritesPromise {
  readonly name: string
  readonly when?: (can: WritesTables['can']) => boolean
  readonly check: (system: WritesSystem) => Promise<void>
}

/** For promises about modes that not every system has. */
export const has =
  (...modes: readonly WriteMode[]) =>
  (can: WritesTables['can']): boolean =>
    modes.every(mode => can.modes.includes(mode))

/** The table that most promises write: `goods (id, name, price)`. */
export const goods: TableShape = shapeOf(
  'goods',
  [
    ['id', int64],
    ['name', text],
    ['price', { kind: 'decimal', precision: 12, scale: 2 }],
  ],
  ['id'],
)

/** A row of it. */
export type GoodsRow = readonly [id: bigint, name: string | null, cents: bigint | null]

/** Rows as a test writes them. */
export type Rows = readonly (readonly TestValue[])[]

/** The table `goods` and ways to it. */
export interface Goods {
  readonly adapter: Adapter
  /** Opens a writer; all of them are closed in the end. */
  writer(mode: WriteMode, id?: string, more?: Partial<WriteTarget>): Promise<TableWriter>
  /** Stages, publishes and discards in one go. */
  write(
    mode: WriteMode,
    rows: Rows,
    more?: Partial<WriteTarget> & { readonly missed?: 'refuse' | 'report' },
  ): ReturnType<TableWriter['publish']>
  rows(): Promise<TextRows>
  shapeNow(): ReturnType<Snapshot['look']>
  /** Names of all tables. */
  tables(): Promise<readonly string[]>
}

/** Makes `goods` with these rows (`null`: it is not there) and opens the adapter. */
export async function withGoods(
  system: WritesSystem,
  given: readonly GoodsRow[] | null,
  body: (goods: Goods) => Promise<void>,
): Promise<void> {
  await system.execute('drop table if exists goods')
  const adapter = await system.open()
  const writes = adapter.writes as WritesTables
  await writes.connect?.(never)
  const open: TableWriter[] = []
  const writer: Goods['writer'] = async (mode, id = 'one', more = {}) => {
    const one = await writes.openWriter({ id, ...goods, mode, create: true, ...more }, never)
    open.push(one)
    return one
  }
  const write: Goods['write'] = async (mode, rows, { missed = 'refuse', ...more } = {}) => {
    const one = await writer(mode, 'whole', more)
    await one.stage('all', batchesOf({ columns: more.columns ?? goods.columns }, rows), never)
    const written = await one.publish({ missed }, never)
    await one.discard(never)
    return written
  }
  const shapeNow = (): ReturnType<Snapshot['look']> => inSnapshot(adapter, snapshot => snapshot.look('goods'))
  const tables = async (): Promise<readonly string[]> =>
    ((await adapter.describes?.describe(never)) ?? []).map(table => table.name).sort()
  try {
    if (given !== null) await write('replace', given)
    await body({ adapter, writer, write, rows: () => rowsOf(adapter, goods), shapeNow, tables })
  } finally {
    for (const one of open) await one.close()
    await adapter.close()
  }
}

/** Writes values into a table of their own: they must come back as they are (true), or one be refused by its column (false). */
export async function areKept(
  system: WritesSystem,
  adapter: Adapter,
  type: ColumnType,
  values: readonly TestValue[],
): Promise<boolean> {
  const shape = shapeOf(
    'one_value',
    [
      ['id', int64],
      ['v', type],
    ],
    ['id'],
  )
  await system.execute('drop table if exists one_value')
  const target = { id: 'value', ...shape, mode: 'insert', create: true } as const
  const one = await (adapter.writes as WritesTables).openWriter(target, never)
  const batch = batchOf(shape.columns, [values.map((_, i) => BigInt(i)), values])
  const data = batch.columns[1] as ColumnBatch['columns'][number]
  try {
    await one.stage('a', of(batch), never)
    await one.publish({ missed: 'refuse' }, never)
  } catch (error) {
    assert.ok(isNaruError(error, 'WRITE_VALUE') && error.message.includes('"v"'), `${typeText(type)}: ${String(error)}`)
    return false
  } finally {
    await one.discard(never)
    await one.close()
  }
  const found = await inSnapshot(adapter, async snapshot => {
    const { columns } = await snapshot.look('one_value')
    return { rows: (await readAll(snapshot, { ...shape, columns })).rows, type: columns[1]?.type as ColumnType }
  })
  const texts = new Map(found.rows.map(([id, text]) => [id, text ?? null]))
  values.forEach((_, i) => {
    const expected = spelled(cellText(type, data, i), type)
    assert.equal(
      spelled(texts.get(String(i)) ?? null, found.type),
      expected,
      `${typeText(type)} ${expected?.slice(0, 60)}`,
    )
  })
  return true
}

/** Floats are equal by value, also where a wider one keeps a narrow one. */
function spelled(value: string | null, type: ColumnType): string | null {
  if (value === null || type.kind !== 'float') return value
  return String(type.bits === 32 ? Math.fround(Number(value)) : Number(value))
}

/** Rows of a table in the order of its key. */
export async function rowsOf(adapter: Adapter, shape: TableShape): Promise<TextRows> {
  return inSnapshot(adapter, async snapshot => byKey((await readAll(snapshot, shape)).rows))
}

async function inSnapshot<T>(adapter: Adapter, body: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  const snapshot = await (adapter.tables as NonNullable<Adapter['tables']>).openSnapshot(never)
  try {
    return await body(snapshot)
  } finally {
    await snapshot.close()
  }
}

/** So many rows of `goods`. */
export function fill(count: number): readonly GoodsRow[] {
  return Array.from({ length: count }, (_, i) => [BigInt(i + 1), `name ${i + 1}`, BigInt(i + 1)] as const)
}

/** Rows of `goods`, or of its first or last columns when they are shorter, as one batch; none without rows. */
export function batches(...rows: Rows): AsyncGenerator<ColumnBatch> {
  const width = rows[0]?.length ?? goods.columns.length
  const startsWithId = typeof rows[0]?.[0] === 'bigint' || rows.length === 0
  const columns = startsWithId ? goods.columns.slice(0, width) : goods.columns.slice(-width)
  return batchesOf({ columns }, rows)
}

/** Rows of any table as one batch; none without rows. */
export async function* batchesOf({ columns }: Pick<TableShape, 'columns'>, rows: Rows): AsyncGenerator<ColumnBatch> {
  if (rows.length === 0) return
  yield batchOf(
    columns,
    columns.map((_, i) => rows.map(row => row[i] as TestValue)),
  )
}

/** Likewise, and then it breaks. */
export async function* breaking(...rows: Rows): AsyncGenerator<ColumnBatch> {
  yield* batches(...rows)
  throw new Error('broken on purpose')
}

async function* of(batch: ColumnBatch): AsyncGenerator<ColumnBatch> {
  yield batch
}
