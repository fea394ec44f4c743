import { changeOp } from '../../core/change-slice.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { stagedName } from '../../run/tables.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { StagedChanges } from './apply-changes.ts'

/** A stretch of changes (alias `c`) that can be applied at once, or one change that empties the table. */
export interface Cut {
  readonly within: Sql
  readonly isTruncate: boolean
}

/** Keys that moved without all of their values: `_line` of the new row, `_gone` of the old key's delete, the old key as `old_0` … */
export function movesOf(table: SourceTableDef): Ident {
  return ident('temp', `moves_${stagedName(table)}`)
}

/** `old_0` … of a moved key, in the order of the key. */
export function oldKey(alias: string, place: number): Ident {
  return ident(alias, `old_${place}`)
}

/**
 * Cuts changes at each truncate, and before each move that needs values of a row which the stretch itself has changed:
 * those values are then in the image when the next stretch begins.
 */
export async function cutChanges(tx: Transaction, given: StagedChanges): Promise<readonly Cut[]> {
  const { changes } = given
  if (given.moves && given.unchanged.length > 0) await findMoves(tx, given)
  const truncates = given.truncates
    ? await linesOf(tx, sql`select "_line" as line from ${changes} where "_op" = ${changeOp.truncate} order by "_line"`)
    : []
  const cuts: Cut[] = []
  let from = 0n
  for (const line of [...truncates, null]) {
    for (;;) {
      const next = await dependentMove(tx, given, from, line)
      cuts.push({ within: stretch(from, next ?? line), isTruncate: false })
      if (next === null) break
      from = next
    }
    if (line === null) break
    cuts.push({ within: sql`c."_line" = ${line}`, isTruncate: true })
    from = line + 1n
  }
  return cuts
}

function stretch(from: bigint, to: bigint | null): Sql {
  return to === null ? sql`c."_line" >= ${from}` : sql`c."_line" >= ${from} and c."_line" < ${to}`
}

async function linesOf(tx: Transaction, query: Sql): Promise<readonly bigint[]> {
  return (await tx.rows(query)).map(row => BigInt(row['line'] as bigint))
}

async function findMoves(tx: Transaction, { table, changes }: StagedChanges): Promise<void> {
  const old = table.key.map((part, i) => sql`lag(${ident(part)}) over (order by "_line") as ${ident(`old_${i}`)}`)
  await tx.replaceTemp(
    movesOf(table),
    sql`select * from (
      select "_line", "_op", "_unchanged", lag("_line") over (order by "_line") as "_gone", ${joinSql(old)} from ${changes}) m
    where "_op" = ${changeOp.move} and "_unchanged" is not null`,
  )
}

/** The delete of the first move whose old row has been changed since `from`. */
async function dependentMove(
  tx: Transaction,
  { table, changes, moves, unchanged }: StagedChanges,
  from: bigint,
  to: bigint | null,
): Promise<bigint | null> {
  if (!moves || unchanged.length === 0) return null
  const isOld = table.key.map((part, i) => sql`${ident('c', part)} = ${oldKey('m', i)}`)
  const [row] = await tx.rows(sql`
    select min(m."_gone") as line from ${movesOf(table)} m
    where m."_gone" > ${from} and ${to === null ? sql`true` : sql`m."_gone" < ${to}`} and exists (
      select 1 from ${changes} c
      where ${joinSql(isOld, ' and ')} and c."_line" >= ${from} and c."_line" < m."_gone")`)
  const line = row?.['line'] ?? null
  return line === null ? null : BigInt(line as bigint)
}

/** Joins the image row of a moved row's old key. */
export function equalOldKey(table: SourceTableDef, moves: string, image: string): Sql {
  return joinSql(
    table.key.map((part, i) => sql`${ident(image, part)} = ${oldKey(moves, i)}`),
    ' and ',
  )
}
