import assert from 'node:assert/strict'
import { cellText } from '../../core/cell-text.ts'
import { realEnv } from '../../core/env.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import type { TablesSystem } from './conformance-tables.ts'
import type {
  Adapter,
  KeyBound,
  RowFilter,
  RowReject,
  Snapshot,
  SourceBatch,
  TableDescription,
  TableShape,
} from './contract.ts'
import type { TextRows } from './text-totals.ts'

/** A signal that never aborts. */
export const never: AbortSignal = new AbortController().signal
export const int64: ColumnType = { kind: 'int', bits: 64 }
export const text: ColumnType = { kind: 'text' }

/** The table `items` and ways to it. */
export interface Items {
  readonly adapter: Adapter
  readonly shape: TableShape
  readonly snapshot: Snapshot
  insert(rows: TextRows): Promise<void>
  /** Another snapshot; it is closed with the first. */
  snapshotNow(): Promise<Snapshot>
}

/** Makes the table `items` (id, name, size) with `count` rows and a snapshot of it. */
export async function withItems(
  system: TablesSystem,
  count: number,
  body: (items: Items) => Promise<void>,
): Promise<void> {
  const shape = shapeOf(
    'items',
    [
      ['id', int64],
      ['name', text],
      ['size', { kind: 'int', bits: 32 }],
    ],
    ['id'],
  )
  await createTable(system, shape)
  const insert = (rows: TextRows): Promise<void> => insertRows(system, shape, rows)
  await insert(Array.from({ length: count }, (_, i) => [String(i + 1), `name ${i + 1}`, String(-i)]))
  const adapter = await system.open()
  const open: Snapshot[] = []
  const snapshotNow = async (): Promise<Snapshot> => {
    const snapshot = await (adapter.tables as NonNullable<Adapter['tables']>).openSnapshot(never)
    open.push(snapshot)
    return snapshot
  }
  try {
    await body({ adapter, shape, snapshot: await snapshotNow(), insert, snapshotNow })
  } finally {
    for (const snapshot of open) await snapshot.close()
    await adapter.close()
  }
}

/** Opens a snapshot for `body`, and closes everything after it. */
export async function withSnapshot(
  system: TablesSystem,
  body: (snapshot: Snapshot, adapter: Adapter) => Promise<void>,
): Promise<void> {
  const adapter = await system.open()
  try {
    const snapshot = await (adapter.tables as NonNullable<Adapter['tables']>).openSnapshot(never)
    await body(snapshot, adapter)
    await snapshot.close()
  } finally {
    await adapter.close()
  }
}

/** A table with these columns; those of the key are not NULL. */
export function shapeOf(
  remote: string,
  columns: readonly (readonly [string, ColumnType])[],
  key: readonly string[],
): TableShape {
  return {
    remote,
    key,
    columns: columns.map(([name, type]) => ({ ...columnOf(name, type), nullable: !key.includes(name) })),
  }
}

export function columnOf(name: string, type: ColumnType): ColumnDef {
  return { name, type, nullable: true, personal: false }
}

/** Makes the table anew in the system. */
export async function createTable(system: TablesSystem, shape: TableShape): Promise<void> {
  if (system.makeTable !== undefined) return system.makeTable(shape)
  const { remote, columns, key } = shape
  const list = columns.map(
    ({ name, type, nullable }) => `${name} ${system.typeName(type)}${nullable ? '' : ' not null'}`,
  )
  await system.execute(`drop table if exists ${remote}`)
  await system.execute(`create table ${remote} (${list.join(', ')}, primary key (${key.join(', ')}))`)
}

const INSERT_ROWS = 500

/** Adds rows, given as text in the order of the columns. */
export async function insertRows(system: TablesSystem, shape: TableShape, rows: TextRows): Promise<void> {
  if (system.makeTable !== undefined) return system.addRows(shape, rows)
  const { remote, columns } = shape
  const literalOf = (value: string | null, i: number): string =>
    value === null ? 'null' : system.literal((columns[i] as ColumnDef).type, value)
  for (let from = 0; from < rows.length; from += INSERT_ROWS) {
    const values = rows.slice(from, from + INSERT_ROWS).map(row => `(${row.map(literalOf).join(', ')})`)
    await system.execute(`insert into ${remote} values ${values.join(', ')}`)
  }
}

/** The description of one table. */
export async function describeTable(adapter: Adapter, name: string): Promise<TableDescription> {
  const tables = await (adapter.describes as NonNullable<Adapter['describes']>).describe(never)
  const table = tables.find(it => it.name === name)
  assert.ok(table !== undefined, `"${name}" is not described`)
  return table
}

/** The description of one table from the catalog, or from a look at it where there is no catalog. */
export async function lookedUp(
  system: TablesSystem,
  adapter: Adapter,
  snapshot: Snapshot,
  name: string,
): Promise<TableDescription> {
  if (system.can.describes !== false) return describeTable(adapter, name)
  const { denied: _, ...found } = await snapshot.look(name)
  return found
}

/** The column as a config holds it. */
export function withoutNative({ name, type, nullable, personal }: ColumnDef): ColumnDef {
  return { name, type, nullable, personal }
}

/** All columns of the matching rows as text. */
export async function readAll(
  snapshot: Snapshot,
  shape: TableShape,
  filter: RowFilter = {},
): Promise<{ readonly rows: TextRows; readonly rejects: readonly RowReject[] }> {
  const names = shape.columns.map(column => column.name)
  const batches = await collect(snapshot.read(shape, names, filter, never))
  for (const { rejects } of batches) rejects.forEach(assertTellsNoValue)
  const rows = batches.flatMap(({ batch }) =>
    Array.from({ length: batch.rows }, (_, row) =>
      batch.columns.map((data, c) => cellText((shape.columns[c] as ColumnDef).type, data, row)),
    ),
  )
  return { rows, rejects: batches.flatMap(batch => batch.rejects) }
}

/** What is wrong with a row is told to people who may not see its values. */
function assertTellsNoValue({ detail, content }: RowReject): void {
  const start = content.slice(0, 40)
  assert.ok(start.length < 4 || !detail.includes(start), `the detail of a reject holds its value: ${detail}`)
}

/** Everything that a read gives, copied: a batch ends with the next one. */
export async function collect(batches: AsyncIterable<SourceBatch>): Promise<readonly SourceBatch[]> {
  const all: SourceBatch[] = []
  for await (const batch of batches) all.push(structuredClone(batch))
  return all
}

/** Reads a table in chunks of `size` rows and checks that each but the last has exactly so many. */
export async function readChunks(snapshot: Snapshot, shape: TableShape, size: number): Promise<TextRows> {
  const all: (readonly (string | null)[])[] = []
  for (let after: KeyBound | undefined; ;) {
    const upTo: KeyBound | null = await snapshot.boundary(shape, after, size)
    const { rows } = await readAll(snapshot, shape, { after, upTo: upTo ?? undefined })
    all.push(...rows)
    if (upTo === null) {
      assert.ok(rows.length < size)
      return all
    }
    assert.equal(rows.length, size)
    after = upTo
  }
}

/** Rows in the order of their texts: reads promise no order. */
export function byKey(rows: TextRows): TextRows {
  return [...rows].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

/** Rows with floats spelled in one way. */
export function normal(rows: TextRows, columns: readonly ColumnDef[]): TextRows {
  return rows.map(row =>
    row.map((value, c) => (value !== null && columns[c]?.type.kind === 'float' ? String(Number(value)) : value)),
  )
}

/** Lets everything else run for a while. */
export async function turns(count: number): Promise<void> {
  const { clock } = realEnv()
  for (let i = 0; i < count; i++) await clock.sleep(0)
}
