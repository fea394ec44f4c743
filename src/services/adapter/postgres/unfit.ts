import { fail } from '../../../core/errors.ts'
import { ident, joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { Connection } from './connection.ts'
import { keyText } from './publish.ts'
import type { Stage } from './stage.ts'
import { isValueError } from './write-errors.ts'
import { fits, isDoubtful, type WriteColumn } from './write-fit.ts'
import type { WriteOrder } from './write-plan.ts'

/** One unit that was just staged, still in its transaction. */
export interface FreshUnit {
  readonly order: WriteOrder
  readonly columns: readonly WriteColumn[]
  readonly stage: Stage
  readonly unit: string
  /** The number that its rows are marked with. */
  readonly place: number
  readonly rows: bigint
  readonly signal: AbortSignal
}

/** `WRITE_VALUE`. */
export function valueError(order: WriteOrder, column: string, row: string, problem: string): Error {
  return fail('WRITE_VALUE', { system: order.system, table: order.remote, column, row, problem })
}

/**
 * Looks at the values of a unit that the target may not hold, in one pass. When there is one, it is looked for: throws
 * `WRITE_VALUE` for the first row of the first column.
 */
export async function findUnfit(connection: Connection, fresh: FreshUnit): Promise<void> {
  const doubtful = fresh.columns.filter(isDoubtful)
  if (doubtful.length === 0 || fresh.rows === 0n) return
  if (await areFit(connection, fresh, doubtful, wholeUnit(fresh))) return
  for (const column of doubtful) {
    if (await areFit(connection, fresh, [column], wholeUnit(fresh))) continue
    throw await describeUnfit(connection, fresh, column)
  }
}

function wholeUnit({ stage, place }: FreshUnit): Sql {
  return sql`(select * from ${stage.rows} where ${ident(stage.unitColumn.name)} = ${place}) s`
}

/** Some rows of the unit, counted from 1 as they came. The offset keeps the server from casting other rows as well. */
function someRows({ stage, place }: FreshUnit, from: bigint, to: bigint): Sql {
  const number = ident(`${stage.unitColumn.name}_row`)
  const numbered = sql`select *, row_number() over (order by ctid) as ${number} from ${stage.rows}
    where ${ident(stage.unitColumn.name)} = ${place} offset 0`
  return sql`(select * from (${numbered}) n where ${number} between ${from} and ${to} offset 0) s`
}

/** False also when the server could not even convert one: what it has refused ends with the savepoint. */
async function areFit(
  connection: Connection,
  { signal }: FreshUnit,
  columns: readonly WriteColumn[],
  rows: Sql,
): Promise<boolean> {
  const all = joinSql(
    columns.map(column => sql`coalesce(${fits(column)}, true)`),
    ' and ',
  )
  await connection.query(sql`savepoint fits`, signal)
  try {
    const [row] = await connection.query(sql`select coalesce(bool_and(${all}), true) from ${rows}`, signal)
    await connection.query(sql`release savepoint fits`, signal)
    return row?.[0] === 't'
  } catch (error) {
    if (!isValueError(error)) throw error
    await connection.query(sql`rollback to savepoint fits`, signal)
    return false
  }
}

/** Finds the first unfit row by halves, because a conversion that fails does not say where. */
async function describeUnfit(connection: Connection, fresh: FreshUnit, column: WriteColumn): Promise<Error> {
  let [from, to] = [1n, fresh.rows]
  while (from < to) {
    const middle = (from + to) / 2n
    if (await areFit(connection, fresh, [column], someRows(fresh, from, middle))) from = middle + 1n
    else to = middle
  }
  const { order, unit, signal } = fresh
  const key = order.key.length === 0 ? sql`null` : keyText(order.key)
  const [row] = await connection.query(
    sql`select ${key}, left(${ident('s', column.name)}::text, 60) from ${someRows(fresh, from, from)}`,
    signal,
  )
  const [keyOfRow, value] = row ?? []
  const problem = value == null ? 'it must not be NULL' : `${column.native} does not hold '${value}'`
  return valueError(order, column.name, keyOfRow ?? `row ${from} of unit "${unit}"`, problem)
}
