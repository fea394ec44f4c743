import { ident, joinSql, rawSql, renderSql, sql, type Ident } from '../../../../core/sql.ts'
import { idPositionOf, nothingGiven, withoutIds, type IdPosition, type IdsGiven } from '../../id-gaps.ts'
import type { Connection } from '../connection.ts'
import { ownedByOther } from '../../change-owner.ts'
import { mysqlDialect } from '../../../../systems/mysql/dialect.ts'
import type { CapturedTable, CaptureProblem } from '../../contract-capture.ts'
import { STREAM, type TableTechnique } from './names.ts'
import { streamIdent } from './script.ts'

/** A table whose rows are changes with growing numbers. */
export interface Numbered {
  readonly name: string
  readonly table: Ident
  readonly id: string
}

export interface StreamState {
  readonly identity: string
  readonly confirmed: IdPosition | null
}

/** `null` when nothing is installed. */
export async function readStream(
  connection: Connection,
  database: string,
  technique: TableTechnique,
  signal: AbortSignal,
): Promise<StreamState | null> {
  if (!(await hasTable(connection, database, STREAM, signal))) return null
  const [row] = await connection.query(
    sql`select identity, confirmed from ${streamIdent(database)} where technique = ${technique}`,
    signal,
  )
  if (row === undefined) return null
  return { identity: row[0] as string, confirmed: row[1] == null ? null : idPositionOf(row[1]) }
}

/** That the changes of this database are another's, who deletes what it has read; `null` when they are nobody's, or ours. */
export async function ownerProblem(
  connection: Connection,
  { database, technique }: { readonly database: string; readonly technique: TableTechnique },
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<CaptureProblem | null> {
  const owner = tables.find(it => it.owner !== undefined)?.owner
  if (owner === undefined || !(await hasTable(connection, database, STREAM, signal))) return null
  const [row] = await connection.query(
    sql`select owner from ${streamIdent(database)} where technique = ${technique}`,
    signal,
  )
  const found = row?.[0] ?? null
  if (found === null || found === owner) return null
  const release = sql`update ${streamIdent(database)} set owner = null where technique = ${technique}`
  return ownedByOther({ technique, owner: found, take: renderSql(release, mysqlDialect).text })
}

export async function hasTable(
  connection: Connection,
  database: string,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  const found = await connection.query(
    sql`select 1 from information_schema.tables where table_schema = ${database} and table_name = ${name}`,
    signal,
  )
  return found.length > 0
}

/** Everything that is committed now, as a position: one view of all tables. */
export async function readHeads(
  connection: Connection,
  { identity, confirmed }: StreamState,
  tables: readonly Numbered[],
  signal: AbortSignal,
): Promise<IdPosition> {
  const heads = new Map<string, IdsGiven>()
  await connection.run(sql`start transaction with consistent snapshot, read only`, signal)
  try {
    for (const table of tables) {
      heads.set(table.name, await headOf(connection, table, confirmed?.tables.get(table.name) ?? nothingGiven, signal))
    }
  } finally {
    await connection.run(sql`commit`)
  }
  return { log: identity, tables: heads }
}

async function headOf(
  connection: Connection,
  { table, id }: Numbered,
  { max, gaps }: IdsGiven,
  signal: AbortSignal,
): Promise<IdsGiven> {
  const number = ident(id)
  const after = rawSql(String(max))
  const [last] = await connection.query(sql`select max(${number}) from ${table}`, signal)
  const opened = await connection.query(
    sql`select before_it + 1, number - 1 from (
      select ${number} as number, coalesce(lag(${number}) over (order by ${number}), ${after}) as before_it from ${table} where ${number} > ${after}) as r
      where number > before_it + 1 order by 1`,
    signal,
  )
  const within = gaps.map(({ from, to }) => sql`${number} between ${rawSql(String(from))} and ${rawSql(String(to))}`)
  const filled =
    within.length === 0
      ? []
      : await connection.query(
          sql`select ${number} from ${table} where ${joinSql(within, ' or ')} order by ${number}`,
          signal,
        )
  const newest = last?.[0] == null ? max : BigInt(last[0])
  return {
    max: newest > max ? newest : max,
    gaps: [
      ...withoutIds(
        gaps,
        filled.map(([text]) => BigInt(text as string)),
      ),
      ...opened.map(([from, to]) => ({ from: BigInt(from as string), to: BigInt(to as string) })),
    ],
  }
}
