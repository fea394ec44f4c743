import { systemCodeOf } from '../../../core/errors.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { StagedUnit, Written } from '../contract-writes.ts'
import { writtenOf, writtenText } from '../written.ts'
import type { Connection } from './connection.ts'
import { columnDefinition, type TargetPlace, type WriteOrder } from './write-plan.ts'

/**
 * The stage of one write: a table of its rows beside the target, and one of its units. The second outlives the publish,
 * because it says that there was one.
 */
export interface Stage {
  readonly rows: Ident
  readonly units: Ident
  /** The column of `rows` that says which unit a row is of. */
  readonly unitColumn: ColumnDef
}

const ROWS = 'naru_stage_'
const UNITS = 'naru_units_'

/** Names the tables of a stage. */
export function stageOf(order: WriteOrder, { schema }: TargetPlace): Stage {
  let unit = 'naru_unit'
  while (order.columns.some(column => column.name === unit)) unit += '_'
  return {
    rows: ident(schema, ROWS + order.id),
    units: ident(schema, UNITS + order.id),
    unitColumn: { name: unit, type: { kind: 'int', bits: 32 }, nullable: false, personal: false },
  }
}

/** What the stage holds from before. */
export interface StageState {
  readonly staged: readonly StagedUnit[]
  readonly published: Written | null
}

/**
 * Makes the stage, or finds what a broken write left in it. `shape` says what was staged for what: rows of another order
 * never mix with ours. Runs in a transaction.
 */
export async function openStage(
  connection: Connection,
  order: WriteOrder,
  stage: Stage,
  { shape, isIndexed, signal }: { readonly shape: string; readonly isIndexed: boolean; readonly signal: AbortSignal },
): Promise<StageState> {
  const [schema, name] = stage.units.path as [string, string]
  const [there] = await connection.query(
    sql`
    select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${schema} and c.relname = ${name}`,
    signal,
  )
  if (there === undefined) {
    for (const statement of createStage(order, stage, shape, isIndexed)) await connection.query(statement, signal)
    return { staged: [], published: null }
  }
  const [found] = await connection.query(sql`select shape from ${stage.units} where unit is null`, signal)
  const state = await readState(connection, stage, signal)
  if (state.published !== null || found?.[0] === shape) return state
  await dropStage(connection, stage, signal)
  return openStage(connection, order, stage, { shape, isIndexed, signal })
}

function createStage(order: WriteOrder, stage: Stage, shape: string, isIndexed: boolean): readonly Sql[] {
  const columns = [...order.columns, stage.unitColumn].map(column => columnDefinition(column, true))
  const index = sql`create index on ${stage.rows} (${ident(stage.unitColumn.name)})`
  return [
    sql`create table ${stage.rows} (${joinSql(columns)})`,
    sql`create table ${stage.units} (
      place integer primary key, unit text unique, rows bigint not null, shape text, written json,
      touched timestamp with time zone not null default now())`,
    sql`insert into ${stage.units} (place, rows, shape) values (0, 0, ${shape})`,
    ...(isIndexed ? [index] : []),
  ]
}

/** Reads what is staged and whether it was published. */
export async function readState(connection: Connection, { units }: Stage, signal: AbortSignal): Promise<StageState> {
  const rows = await connection.query(sql`select unit, rows, written::text from ${units} order by place`, signal)
  const mark = rows.find(([unit]) => unit === null)?.[2]
  return {
    staged: rows.flatMap(([unit, count]) => (unit == null ? [] : [{ unit, rows: BigInt(count as string) }])),
    published: mark == null ? null : writtenOf(mark),
  }
}

/** Notes what was published. The rows are of no use after it; the note stays until the stage is discarded. */
export async function markPublished(
  connection: Connection,
  stage: Stage,
  written: Written,
  signal: AbortSignal,
): Promise<void> {
  await connection.query(
    sql`update ${stage.units} set written = ${writtenText(written)}, touched = now() where unit is null`,
    signal,
  )
  await connection.query(sql`drop table ${stage.rows}`, signal)
}

/** Removes everything of a stage. */
export async function dropStage(
  connection: Connection,
  { rows, units }: Pick<Stage, 'rows' | 'units'>,
  signal: AbortSignal,
): Promise<void> {
  await connection.query(sql`drop table if exists ${rows}, ${units}`, signal)
}

/** Removes the other stages of the schema that nobody has touched for so long; gives how many. */
export async function dropAbandoned(
  connection: Connection,
  { own, untouchedMs, signal }: { readonly own: Stage; readonly untouchedMs: number; readonly signal: AbortSignal },
): Promise<number> {
  const [schema, ownName] = own.units.path as [string, string]
  const found = await connection.query(
    sql`
    select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${schema} and c.relname like ${'naru\\_units\\_%'} and c.relname <> ${ownName}
      and c.relkind = 'r' and pg_has_role(c.relowner, 'usage')`,
    signal,
  )
  let dropped = 0
  for (const [name] of found) {
    const units = ident(schema, name as string)
    const rows = ident(schema, ROWS + (name as string).slice(UNITS.length))
    try {
      const [row] = await connection.query(
        sql`select max(touched) <= now() - ${untouchedMs} * interval '1 millisecond' from ${units}`,
        signal,
      )
      if (row?.[0] !== 't') continue
      await dropStage(connection, { rows, units }, signal)
      dropped++
    } catch (error) {
      if (!NOT_OURS.includes(systemCodeOf(error) ?? '')) throw error
    }
  }
  return dropped
}

/** The table is gone, has other columns, or is in use: then it is not for us to remove. */
const NOT_OURS = ['42P01', '42703', '42501', '55P03']
