import { joinSql, sql, type Sql } from '../core/sql.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { CaptureTechnique } from '../services/adapter/contract-capture.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { ofTable } from './tables.ts'

/** What streams remember in the engine. */
export const streamTables: readonly Sql[] = [
  // The place of each table in the durable log of its source: commits with the rows of the changes before it.
  // log: which log the place is of. state: loading (its rows are read), catching-up (the changes since are applied to rows
  // that nobody sees yet), live. source_position, committed_micros: of the newest change, in the source's words and time.
  sql`create table if not exists naru.stream (
    source varchar, "table" varchar, technique varchar, log varchar, place varchar, source_position varchar,
    state varchar, committed_micros bigint, run bigint)`,
]

/** Where a table is on its way: see `naru.stream`. */
export type StreamState = 'loading' | 'catching-up' | 'live'

/** A table's place in the durable log of its source. */
export interface StreamPlace {
  readonly log: string
  /** Everything up to this message of the topic is in the rows of the table. */
  readonly place: string
  /** The same in the source's own words. */
  readonly sourcePosition: string | null
  readonly state: StreamState
  /** When the newest change that is in committed, by the source's clock. */
  readonly committedMicros: bigint | null
}

/** The techniques that give changes as a stream. */
const captureTechniques: readonly CaptureTechnique[] = ['log', 'trigger', 'event', 'status']

/** How the changes of a table come as a stream; `null` for a table that is read. */
export function streamTechnique({ change }: Pick<SourceTableDef, 'change'>): CaptureTechnique | null {
  return captureTechniques.find(technique => technique === change.technique) ?? null
}

/** The place of a table; `null` when no stream has it, or another technique had it. */
export async function readStreamPlace(tx: Transaction, table: SourceTableDef): Promise<StreamPlace | null> {
  const [row] = await tx.rows(sql`
    select * from naru.stream where ${ofTable(table)} and technique = ${table.change.technique}`)
  if (row === undefined) return null
  return {
    log: row['log'] as string,
    place: row['place'] as string,
    sourcePosition: row['source_position'] as string | null,
    state: row['state'] as StreamState,
    committedMicros: row['committed_micros'] as bigint | null,
  }
}

/** Notes places in the transaction that makes the rows before them. */
export async function writeStreamPlaces(
  tx: Transaction,
  places: readonly { readonly table: SourceTableDef; readonly at: StreamPlace }[],
  run: bigint,
): Promise<void> {
  if (places.length === 0) return
  const isOne = joinSql(
    places.map(({ table }) => sql`(${ofTable(table)})`),
    ' or ',
  )
  await tx.execute(sql`delete from naru.stream where ${isOne}`)
  const rows = places.map(
    ({ table, at }) => sql`(${table.source}, ${table.name}, ${table.change.technique}, ${at.log}, ${at.place},
      ${at.sourcePosition}, ${at.state}, ${at.committedMicros}, ${run})`,
  )
  await tx.execute(sql`insert into naru.stream values ${joinSql(rows)}`)
}

/** Forgets the place of a table: it is new to its stream, and is read again. */
export async function forgetStreamPlace(tx: Transaction, table: SourceTableDef): Promise<void> {
  await tx.execute(sql`delete from naru.stream where ${ofTable(table)}`)
}

/**
 * Forgets the places of the tables of a stream that it is opened without: nobody reads their changes from now on, so they
 * are new to it when they come back. Gives their names.
 */
export async function forgetLeftOut(
  tx: Transaction,
  stream: { readonly source: string; readonly technique: CaptureTechnique; readonly tables: readonly string[] },
): Promise<readonly string[]> {
  const names = joinSql(stream.tables.map(name => sql`${name}`))
  const isLeftOut = sql`source = ${stream.source} and technique = ${stream.technique} and "table" not in (${names})`
  const rows = await tx.rows(sql`select "table" from naru.stream where ${isLeftOut} order by 1`)
  if (rows.length > 0) await tx.execute(sql`delete from naru.stream where ${isLeftOut}`)
  return rows.map(row => row['table'] as string)
}
