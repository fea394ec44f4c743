import { ident, sql } from '../core/sql.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { Row, Transaction } from '../services/engine/contract.ts'
import { hasSameRows, holdsSame, layoutOf } from './layouts.ts'
import { forgetStreamPlace } from './streams.ts'
import { ofTable } from './tables.ts'
import type { TablePosition } from './technique.ts'
import { versionsOf, versionsText, type VersionPosition } from './versions.ts'

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

/** How far a table was read; `null` when it never was, or as another table: with other columns, other rows, or by another technique. */
export async function readPosition(tx: Transaction, table: SourceTableDef): Promise<TablePosition | null> {
  const [row] = await tx.rows(sql`
    select p.horizon_micros, p.swept_micros, p.versions, l.layout, l.technique, l.taken_micros, l.ours_micros
    from naru.position p join naru.load l on l.load = p.load
    where p.source = ${table.source} and p."table" = ${table.name}`)
  if (row === undefined || row['technique'] !== techniqueOf(table)) return null
  const layout = row['layout'] as string | null
  if (!holdsSame(layout, layoutOf(table)) || !hasSameRows(layout, table)) return null
  return {
    horizonMicros: row['horizon_micros'] as bigint | null,
    sweptMicros: row['swept_micros'] as bigint | null,
    versions: versionsOf(row['versions'] as string | null),
    clocks: clocksOf(row),
  }
}

function clocksOf(row: Row): NonNullable<TablePosition['clocks']> | null {
  const [theirs, ours] = [row['taken_micros'] as bigint | null, row['ours_micros'] as bigint | null]
  return theirs === null || ours === null ? null : { theirsMicros: theirs, oursMicros: ours }
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
    readonly oursMicros?: bigint
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
      ${begun.sourceKey === undefined ? null : JSON.stringify(begun.sourceKey)}, ${null}, ${null}, ${begun.oursMicros ?? null})`)
  const { scope, horizonMicros, sweep: swept } = begun
  return { load, scope, state: 'reading', horizonMicros, swept, range, fits: true }
}

/** The key that the source declared at the last load that counts; `null` when it was not asked. */
export async function lastSourceKey(tx: Transaction, table: SourceTableDef): Promise<readonly string[] | null> {
  const [row] = await tx.rows(sql`
    select source_key from naru.load where ${ofTable(table)} and state = 'published' and source_key is not null
    order by published_run desc, load desc limit 1`)
  return row === undefined ? null : (JSON.parse(row['source_key'] as string) as readonly string[])
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
  await abandonOpen(tx, table)
  await tx.execute(sql`delete from ${ident('naru', 'position')} where ${ofTable(table)}`)
  // What a stream gave is not given again: the table is new to it, and is read as a whole.
  await forgetStreamPlace(tx, table)
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
