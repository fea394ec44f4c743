import { sha256 } from '../core/env.ts'
import { ident, sql, type Sql } from '../core/sql.ts'
import { stagingLayout } from './tables.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { TablePosition } from './technique.ts'
import type { KeyBound } from '../services/adapter/contract.ts'
import type { Cell, Row, Transaction } from '../services/engine/contract.ts'

/** A load that is not published yet: begun by this run or left by one that was broken off. */
export interface OpenLoad {
  readonly load: bigint
  readonly scope: 'all' | 'delta'
  readonly state: 'reading' | 'accepted'
  readonly horizonMicros: bigint | null
  readonly swept: boolean
  /** Its landing has the columns that the config asks for now. */
  readonly fits: boolean
}

/** A hash of what a staged table looks like: a load made for other columns or another key is of no use. */
export function layoutOf(table: SourceTableDef): string {
  return sha256(JSON.stringify([stagingLayout(table), table.key]))
}

/** The technique with the column it goes by: a position reached with another one says nothing. */
export function techniqueOf(table: SourceTableDef): string {
  const { change } = table
  return change.technique === 'timestamp' ? `${change.technique} ${change.column}` : change.technique
}

export async function findOpenLoad(tx: Transaction, table: SourceTableDef): Promise<OpenLoad | null> {
  const [row] = await tx.rows(sql`
    select load, scope, state, horizon_micros, swept, layout from naru.load
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
    fits: row['layout'] === layoutOf(table),
  }
}

/** Condition on the `source` and `"table"` columns that all control tables of this stage have. */
export function ofTable(table: SourceTableDef): Sql {
  return sql`source = ${table.source} and "table" = ${table.name}`
}

/** How far a table was read; `null` when it never was, or as another table: with other columns or by another technique. */
export async function readPosition(tx: Transaction, table: SourceTableDef): Promise<TablePosition | null> {
  const [row] = await tx.rows(sql`
    select p.horizon_micros, p.swept_micros, l.layout, l.technique
    from naru.position p join naru.load l on l.load = p.load
    where p.source = ${table.source} and p."table" = ${table.name}`)
  if (row === undefined || row['layout'] !== layoutOf(table) || row['technique'] !== techniqueOf(table)) return null
  return {
    horizonMicros: row['horizon_micros'] as bigint | null,
    sweptMicros: row['swept_micros'] as bigint | null,
  }
}

export async function beginLoad(
  tx: Transaction,
  table: SourceTableDef,
  begun: {
    readonly run: bigint
    readonly scope: 'all' | 'delta'
    readonly sinceMicros: bigint | null
    readonly horizonMicros: bigint | null
    readonly takenMicros: bigint | null
    readonly sweep: boolean
  },
): Promise<OpenLoad> {
  const [row] = await tx.rows(sql`select coalesce(max(load), 0) + 1 as load from naru.load`)
  const load = BigInt(row?.['load'] as bigint)
  await tx.execute(sql`
    insert into naru.load values (${load}, ${table.source}, ${table.name}, ${begun.scope}, ${techniqueOf(table)},
      'reading', ${begun.sinceMicros}, ${begun.horizonMicros}, ${begun.takenMicros}, ${begun.sweep}, 0, 0, 0,
      ${begun.run}, ${null}, ${layoutOf(table)})`)
  const { scope, horizonMicros, sweep: swept } = begun
  return { load, scope, state: 'reading', horizonMicros, swept, fits: true }
}

/** True when the present image was made with the columns that the config asks for now. */
export async function imageFits(tx: Transaction, table: SourceTableDef): Promise<boolean> {
  const [row] = await tx.rows(sql`
    select l.layout from naru.position p join naru.load l on l.load = p.load
    where p.source = ${table.source} and p."table" = ${table.name}`)
  return row === undefined || row['layout'] === layoutOf(table)
}

/** Sets a broken or refused load aside; its control rows stay as evidence. */
export async function abandonLoad(tx: Transaction, load: bigint): Promise<void> {
  await tx.execute(sql`update naru.load set state = 'abandoned' where load = ${load}`)
}

/** Sets aside every load that waits to be published, so that the next run reads the sources again. */
export async function abandonAccepted(tx: Transaction): Promise<void> {
  await tx.execute(sql`update naru.load set state = 'abandoned' where state = 'accepted'`)
}

/** A finished chunk or file of a load. */
export interface Unit {
  readonly unit: number
  readonly kind: 'chunk' | 'delta' | 'file'
  readonly after: KeyBound | null
  readonly upTo: KeyBound | null
  readonly file: string | null
  readonly contentHash: string | null
  readonly rows: number
  readonly rejected: number
}

export async function writeUnit(tx: Transaction, load: bigint, unit: Unit): Promise<void> {
  const bound = (key: KeyBound | null): string | null => (key === null ? null : JSON.stringify(key))
  await tx.execute(sql`
    insert into naru.unit values (${load}, ${unit.unit}, ${unit.kind}, ${bound(unit.after)}, ${bound(unit.upTo)},
      ${unit.file}, ${unit.contentHash}, ${unit.rows}, ${unit.rejected})`)
}

/** The bounds of chunks are keys: those of persons are kept no longer than a broken load may go on from them. */
export async function forgetBounds(tx: Transaction, table: SourceTableDef, load: bigint): Promise<void> {
  if (!table.columns.some(column => column.personal && table.key.includes(column.name))) return
  await tx.execute(sql`update naru.unit set key_after = ${null}, key_up_to = ${null} where load = ${load}`)
}

/** Chunks of a broken load, in order. */
export async function readChunks(tx: Transaction, load: bigint): Promise<readonly Unit[]> {
  const rows = await tx.rows(sql`select * from naru.unit where load = ${load} and kind = 'chunk' order by unit`)
  const bound = (cell: Cell | undefined): KeyBound | null =>
    typeof cell === 'string' ? (JSON.parse(cell) as KeyBound) : null
  return rows.map(row => ({
    unit: row['unit'] as number,
    kind: 'chunk',
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
    sql`select horizon_micros, taken_micros, scope, swept from naru.load where load = ${load}`,
  )
  const sawAllKeys = row?.['scope'] === 'all' || row?.['swept'] === true
  const old = await readPosition(tx, table)
  const swept = sawAllKeys ? (row?.['taken_micros'] as bigint | null) : (old?.sweptMicros ?? null)
  await tx.execute(sql`delete from ${ident('naru', 'position')} where ${ofTable(table)}`)
  await tx.execute(sql`
    insert into naru.position values (${table.source}, ${table.name}, ${row?.['horizon_micros'] as bigint | null},
      ${swept}, ${load})`)
  await tx.execute(sql`update naru.load set state = 'published', published_run = ${run} where load = ${load}`)
}
