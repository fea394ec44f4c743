import { ident, sql, type Sql } from '../core/sql.ts'
import { typeText, type ColumnDef, type ColumnType } from '../core/types.ts'
import { stagedColumns } from './tables.ts'
import { asLog } from '../config/append.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { TablePosition } from './technique.ts'
import { versionsOf, versionsText, type VersionPosition } from './versions.ts'
import type { KeyBound } from '../services/adapter/contract.ts'
import type { Cell, Row, Transaction } from '../services/engine/contract.ts'

/** `all`: the whole table. `delta`: what changed since the position. `range`: a backfill, which leaves the position alone. */
export type LoadScope = 'all' | 'delta' | 'range'

/** The rows of a backfill: half-open, by a time column (microseconds as text) or by the key (text of its one column). */
export interface LoadRange {
  readonly column: string
  readonly from: string
  readonly to: string
}

/** A load that is not published yet: begun by this run or left by one that was broken off. */
export interface OpenLoad {
  readonly load: bigint
  readonly scope: LoadScope
  readonly state: 'reading' | 'accepted'
  readonly horizonMicros: bigint | null
  readonly swept: boolean
  readonly range: LoadRange | null
  /** Its landing has the columns that the config asks for now. */
  readonly fits: boolean
}

/** What a staged table looks like, as text: a load made for other columns or another key is of no use. */
export function layoutOf(table: SourceTableDef): string {
  const columns = stagedColumns(table).map(({ name, type }) => [name, typeText(type)])
  return JSON.stringify({ columns, key: table.key, gone: table.gone ?? [] })
}

interface Layout {
  readonly columns: readonly (readonly [name: string, type: string])[]
  readonly key: readonly string[]
  readonly gone: readonly string[]
}

/** Two layouts hold the same when their columns do, in whatever order. */
function holdsSame(a: string | null, b: string): boolean {
  if (a === b) return true
  const [one, two] = [parsedLayout(a), parsedLayout(b)]
  if (one === null || two === null) return false
  const text = (it: Layout): string => JSON.stringify([it.columns.toSorted(byName), it.key, it.gone.toSorted()])
  return text(one) === text(two)
}

/** Columns that `next` has and `last` has not, when that is the only difference; `null` otherwise. */
function columnsAdded(last: string | null, next: string): readonly string[] | null {
  const [old, now] = [parsedLayout(last), parsedLayout(next)]
  if (old === null || now === null || JSON.stringify(old.key) !== JSON.stringify(now.key)) return null
  const has = (all: Layout['columns'], [name, type]: Layout['columns'][number]): boolean =>
    all.some(other => other[0] === name && other[1] === type)
  if (!old.columns.every(column => has(now.columns, column))) return null
  return now.columns.filter(column => !has(old.columns, column)).map(([name]) => name)
}

function parsedLayout(text: string | null): Layout | null {
  // Databases of the first version kept a hash here: nothing is known of those.
  return text !== null && text.startsWith('{') ? (JSON.parse(text) as Layout) : null
}

function byName(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0
}

/** The technique with the column it goes by: a position reached with another one says nothing. */
function techniqueOf({ change }: SourceTableDef): string {
  switch (change.technique) {
    case 'timestamp':
    case 'version':
      return `${change.technique} ${change.column}`
    case 'combined': {
      const { timestamp, version, flag } = change
      const marks = [timestamp?.column ?? null, version?.column ?? null, flag?.column ?? null, flag?.pending ?? null]
      return `${change.technique} ${JSON.stringify(marks)}`
    }
    default:
      return change.technique
  }
}

export async function findOpenLoad(tx: Transaction, table: SourceTableDef): Promise<OpenLoad | null> {
  const [row] = await tx.rows(sql`
    select load, scope, state, horizon_micros, swept, layout, range_column, range_from, range_to from naru.load
    where ${ofTable(table)} and state in ('reading', 'accepted') order by load desc limit 1`)
  return row === undefined ? null : openLoad(table, row)
}

function openLoad(table: SourceTableDef, row: Row): OpenLoad {
  return {
    load: row['load'] as bigint,
    scope: row['scope'] as OpenLoad['scope'],
    state: row['state'] as OpenLoad['state'],
    horizonMicros: row['horizon_micros'] as bigint | null,
    swept: row['swept'] as boolean,
    range: rangeOf(row),
    fits: row['layout'] === layoutOf(table),
  }
}

/** The range of a backfill. */
export async function readRange(tx: Transaction, load: bigint): Promise<LoadRange | null> {
  const [row] = await tx.rows(sql`select range_column, range_from, range_to from naru.load where load = ${load}`)
  return row === undefined ? null : rangeOf(row)
}

function rangeOf(row: Row): LoadRange | null {
  const column = row['range_column'] as string | null
  if (column === null) return null
  return { column, from: row['range_from'] as string, to: row['range_to'] as string }
}

/** Condition on the `source` and `"table"` columns that all control tables of this stage have. */
export function ofTable(table: SourceTableDef): Sql {
  return sql`source = ${table.source} and "table" = ${table.name}`
}

/** How far a table was read; `null` when it never was, or as another table: with other columns or by another technique. */
export async function readPosition(tx: Transaction, table: SourceTableDef): Promise<TablePosition | null> {
  const [row] = await tx.rows(sql`
    select p.horizon_micros, p.swept_micros, p.versions, l.layout, l.technique
    from naru.position p join naru.load l on l.load = p.load
    where p.source = ${table.source} and p."table" = ${table.name}`)
  if (row === undefined || row['technique'] !== techniqueOf(table)) return null
  if (!holdsSame(row['layout'] as string | null, layoutOf(table))) return null
  return {
    horizonMicros: row['horizon_micros'] as bigint | null,
    sweptMicros: row['swept_micros'] as bigint | null,
    versions: versionsOf(row['versions'] as string | null),
  }
}

export async function beginLoad(
  tx: Transaction,
  table: SourceTableDef,
  begun: {
    readonly run: bigint
    readonly scope: LoadScope
    readonly sinceMicros: bigint | null
    readonly horizonMicros: bigint | null
    readonly takenMicros: bigint | null
    readonly sweep: boolean
    readonly range?: LoadRange | null
    readonly sourceKey?: readonly string[]
  },
): Promise<OpenLoad> {
  const [row] = await tx.rows(sql`select coalesce(max(load), 0) + 1 as load from naru.load`)
  const load = BigInt(row?.['load'] as bigint)
  const range = begun.range ?? null
  await tx.execute(sql`
    insert into naru.load values (${load}, ${table.source}, ${table.name}, ${begun.scope}, ${techniqueOf(table)},
      'reading', ${begun.sinceMicros}, ${begun.horizonMicros}, ${begun.takenMicros}, ${begun.sweep}, 0, 0, 0,
      ${begun.run}, ${null}, ${layoutOf(table)}, ${range?.column ?? null}, ${range?.from ?? null}, ${range?.to ?? null},
      ${begun.sourceKey === undefined ? null : JSON.stringify(begun.sourceKey)}, ${null}, ${null})`)
  const { scope, horizonMicros, sweep: swept } = begun
  return { load, scope, state: 'reading', horizonMicros, swept, range, fits: true }
}

/** True when the present image was made with the columns that are staged now. */
export async function imageFits(tx: Transaction, table: SourceTableDef): Promise<boolean> {
  const layout = await imageLayout(tx, table)
  return layout === undefined || holdsSame(layout, layoutOf(table))
}

/** The same, whichever of its columns the source has no more. */
export async function imageHasColumns(tx: Transaction, table: SourceTableDef): Promise<boolean> {
  const layout = await imageLayout(tx, table)
  if (layout === undefined) return true
  return holdsSame(layout, layoutOf({ ...table, gone: parsedLayout(layout)?.gone ?? [] }))
}

/** True when there is an image, made with the columns that are staged now. */
export async function hasImage(tx: Transaction, table: SourceTableDef): Promise<boolean> {
  const layout = await imageLayout(tx, table)
  return layout !== undefined && holdsSame(layout, layoutOf(table))
}

/** True when there is an image of other columns than the config now has: no stage could read it. */
export async function hasOtherImage(tx: Transaction, table: SourceTableDef): Promise<boolean> {
  const layout = await imageLayout(tx, table)
  return layout !== undefined && !holdsSame(layout, layoutOf(table))
}

/** Columns that the image needs beside those it has, when it can be widened to fit; `null` when it has to be made anew. */
export async function columnsToAdd(tx: Transaction, table: SourceTableDef): Promise<readonly ColumnDef[] | null> {
  const names = columnsAdded((await imageLayout(tx, table)) ?? null, layoutOf(table))
  return names === null ? null : stagedColumns(table).filter(column => names.includes(column.name))
}

async function imageLayout(tx: Transaction, table: SourceTableDef): Promise<string | null | undefined> {
  const [row] = await tx.rows(sql`
    select layout from naru.load where ${ofTable(table)} and state = 'published'
    order by published_run desc, load desc limit 1`)
  return row === undefined ? undefined : (row['layout'] as string | null)
}

/** The key that the source declared at the last load that counts; `null` when it was not asked. */
export async function lastSourceKey(tx: Transaction, table: SourceTableDef): Promise<readonly string[] | null> {
  const [row] = await tx.rows(sql`
    select source_key from naru.load where ${ofTable(table)} and state = 'published' and source_key is not null
    order by published_run desc, load desc limit 1`)
  return row === undefined ? null : (JSON.parse(row['source_key'] as string) as readonly string[])
}

/** The table as the last load knew it: with the columns that it took in, and those that were gone. */
export async function rememberedTable(tx: Transaction, table: SourceTableDef): Promise<SourceTableDef> {
  const rows = await tx.rows(
    sql`select "column" as name, state, type from naru."column" where ${ofTable(table)} order by name`,
  )
  if (rows.length === 0) return table
  const isNamed = (name: string): boolean => table.columns.some(column => column.name === name)
  const evolved = rows
    .filter(row => row['type'] !== null && !isNamed(row['name'] as string))
    .map(row => evolvedColumn(row['name'] as string, JSON.parse(row['type'] as string) as ColumnType))
  const columns = [...table.columns, ...evolved]
  const gone = rows
    .filter(row => row['state'] === 'gone' && columns.some(column => column.name === row['name']))
    .map(row => row['name'] as string)
  return asLog(table, { ...table, columns, ...(gone.length === 0 ? {} : { gone }) })
}

/** A column that nobody described: until somebody does, it may hold personal data and anything may be missing. */
export function evolvedColumn(name: string, type: ColumnType): ColumnDef {
  return { name, type, nullable: true, personal: true }
}

/** Remembers what a table has beside the config. */
export async function rememberColumns(
  tx: Transaction,
  given: { readonly config: SourceTableDef; readonly table: SourceTableDef; readonly run: bigint },
): Promise<void> {
  const { config, table, run } = given
  await tx.execute(sql`delete from naru."column" where ${ofTable(table)}`)
  for (const { name, type } of table.columns) {
    const isGone = table.gone?.includes(name) === true
    const isEvolved = !config.columns.some(column => column.name === name)
    if (!isGone && !isEvolved) continue
    const state = isGone ? 'gone' : 'evolved'
    await tx.execute(sql`
      insert into naru."column" values (${table.source}, ${table.name}, ${name}, ${state},
        ${isEvolved ? JSON.stringify(type) : null}, ${run})`)
  }
}

/** Notes how far a load came by the numbers of a column: known only once its rows are there. */
export async function noteVersions(tx: Transaction, load: bigint, versions: VersionPosition): Promise<void> {
  await tx.execute(sql`update naru.load set versions = ${versionsText(versions)} where load = ${load}`)
}

/** Notes that the keys of the whole source were read for a load that did not plan to. */
export async function noteSwept(tx: Transaction, load: bigint): Promise<void> {
  await tx.execute(sql`update naru.load set swept = true where load = ${load}`)
}

/** Sets a broken or refused load aside; its control rows stay as evidence. */
export async function abandonLoad(tx: Transaction, load: bigint): Promise<void> {
  await tx.execute(sql`update naru.load set state = 'abandoned' where load = ${load}`)
}

/** Sets aside what was read of a table and is not published: none of it may go on. */
export async function abandonOpen(tx: Transaction, table: SourceTableDef): Promise<void> {
  await tx.execute(sql`
    update naru.load set state = 'abandoned' where ${ofTable(table)} and state in ('reading', 'accepted')`)
}

/** Sets aside every load that waits to be published, so that the next run reads the sources again. */
export async function abandonAccepted(tx: Transaction): Promise<void> {
  await tx.execute(sql`update naru.load set state = 'abandoned' where state = 'accepted'`)
}

export type UnitKind = 'chunk' | 'place' | 'slice' | 'delta' | 'file'

/** A finished chunk or file of a load. */
export interface Unit {
  readonly unit: number
  /** chunk: a range of keys. place: a physical range. slice: of a backfill. */
  readonly kind: UnitKind
  readonly after: KeyBound | null
  readonly upTo: KeyBound | null
  readonly file: string | null
  readonly contentHash: string | null
  readonly rows: number
  readonly rejected: number
}

export async function writeUnit(tx: Transaction, load: bigint, unit: Unit): Promise<void> {
  const bound = (key: KeyBound | null): string | null => (key === null ? null : JSON.stringify(key))
  await tx.execute(sql`delete from naru.unit where load = ${load} and unit = ${unit.unit}`)
  await tx.execute(sql`
    insert into naru.unit values (${load}, ${unit.unit}, ${unit.kind}, ${bound(unit.after)}, ${bound(unit.upTo)},
      ${unit.file}, ${unit.contentHash}, ${unit.rows}, ${unit.rejected})`)
}

/** The bounds of chunks are keys: those of persons are kept no longer than a broken load may go on from them. */
export async function forgetBounds(tx: Transaction, table: SourceTableDef, load: bigint): Promise<void> {
  if (!table.columns.some(column => column.personal && table.key.includes(column.name))) return
  await tx.execute(sql`update naru.unit set key_after = ${null}, key_up_to = ${null} where load = ${load}`)
}

/** Finished units of a load, in order. */
export async function readUnits(tx: Transaction, load: bigint): Promise<readonly Unit[]> {
  const rows = await tx.rows(sql`select * from naru.unit where load = ${load} and kind <> 'file' order by unit`)
  const bound = (cell: Cell | undefined): KeyBound | null =>
    typeof cell === 'string' ? (JSON.parse(cell) as KeyBound) : null
  return rows.map(row => ({
    unit: row['unit'] as number,
    kind: row['kind'] as UnitKind,
    after: bound(row['key_after']),
    upTo: bound(row['key_up_to']),
    file: null,
    contentHash: null,
    rows: Number(row['rows_read']),
    rejected: Number(row['rows_rejected']),
  }))
}

/** Accepts a load: its landing is complete and agrees with the source; only publishing is left. */
export async function acceptLoad(
  tx: Transaction,
  load: bigint,
  read: { readonly rows: number; readonly rejected: number },
): Promise<void> {
  await tx.execute(sql`
    update naru.load set state = 'accepted', rows_read = ${read.rows}, rows_rejected = ${read.rejected}
    where load = ${load}`)
}

/** The position commits with the rows it stands for: called in the publishing transaction. */
export async function publishLoad(tx: Transaction, table: SourceTableDef, load: bigint, run: bigint): Promise<void> {
  const [row] = await tx.rows(
    sql`select horizon_micros, versions, taken_micros, scope, swept from naru.load where load = ${load}`,
  )
  await tx.execute(sql`update naru.load set state = 'published', published_run = ${run} where load = ${load}`)
  if (row?.['scope'] === 'range') return
  const sawAllKeys = row?.['scope'] === 'all' || row?.['swept'] === true
  const old = await readPosition(tx, table)
  const swept = sawAllKeys ? (row?.['taken_micros'] as bigint | null) : (old?.sweptMicros ?? null)
  await tx.execute(sql`delete from ${ident('naru', 'position')} where ${ofTable(table)}`)
  await tx.execute(sql`
    insert into naru.position values (${table.source}, ${table.name}, ${row?.['horizon_micros'] as bigint | null},
      ${swept}, ${load}, ${(row?.['versions'] ?? null) as string | null})`)
}

/** A published load, as it may be taken back. */
export interface PublishedLoad {
  readonly load: bigint
  readonly source: string
  readonly table: string
  readonly state: string
}

export async function findLoad(tx: Transaction, load: bigint): Promise<PublishedLoad | null> {
  const [row] = await tx.rows(sql`select load, source, "table", state from naru.load where load = ${load}`)
  if (row === undefined) return null
  return { load, source: row['source'] as string, table: row['table'] as string, state: row['state'] as string }
}

/**
 * Notes that a load is taken back, in the transaction that takes its rows back. Unless its position is kept, the table is
 * read again from where the load before it ended; a backfill never moved it. A load that is half-read goes on from a
 * position that no longer stands, so it is set aside.
 */
export async function undoneLoad(
  tx: Transaction,
  table: SourceTableDef,
  given: { readonly load: bigint; readonly run: bigint; readonly keepPosition: boolean },
): Promise<void> {
  const { load, run, keepPosition } = given
  const [undone] = await tx.rows(sql`select scope from naru.load where load = ${load}`)
  await tx.execute(sql`update naru.load set state = 'undone', undone_run = ${run} where load = ${load}`)
  // The position of a folder is the files that it took: those that are not to be read again are no longer new.
  if (keepPosition) {
    const reason = `load ${load} was undone and its position kept`
    await tx.execute(sql`
      update naru.file set state = 'superseded', reason = ${reason} where ${ofTable(table)} and load = ${load} and state = 'loaded'`)
  }
  if (keepPosition || undone?.['scope'] === 'range') return
  await tx.execute(sql`
    update naru.load set state = 'abandoned' where ${ofTable(table)} and state in ('reading', 'accepted')`)
  await tx.execute(sql`delete from ${ident('naru', 'position')} where ${ofTable(table)}`)
  // What a stream gave is not given again: the table is new to it, and is read as a whole.
  await tx.execute(sql`delete from naru.stream where ${ofTable(table)}`)
  const before = sql`${ofTable(table)} and state = 'published' and scope <> 'range' and load < ${load}`
  const [last] = await tx.rows(sql`
    select load, horizon_micros, versions from naru.load where ${before} order by load desc limit 1`)
  if (last === undefined) return
  const [swept] = await tx.rows(sql`
    select max(taken_micros) as at from naru.load where ${before} and (scope = 'all' or swept)`)
  await tx.execute(sql`
    insert into naru.position values (${table.source}, ${table.name}, ${last['horizon_micros'] as bigint | null},
      ${(swept?.['at'] ?? null) as bigint | null}, ${last['load'] as bigint}, ${last['versions'] as string | null})`)
}
