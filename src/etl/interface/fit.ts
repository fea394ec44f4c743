import { asText } from '../../core/dialect-functions.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import { typeText, type ColumnDef } from '../../core/types.ts'
import { columnList, stagedColumns, stagedName, stagingControl } from '../../run/tables.ts'
import type { RowReject } from '../../services/adapter/contract.ts'
import type { Cell, Transaction } from '../../services/engine/contract.ts'
import { logColumnsOf } from './append-log.ts'
import type { TableReading } from './drift.ts'
import type { Landing } from './receive.ts'

/** Rejected rows that are brought here at once, and the longest text of a value that is kept. */
const rejectsPerPage = 10_000
const contentMax = 1_000

/**
 * A temporary table for rows whose shape is not the staged one: a column is gone in the source, or has another type.
 * `null` when rows come as they are staged.
 */
export async function openFitting(tx: Transaction, landing: Landing, reading: TableReading): Promise<Ident | null> {
  if (reading.converted.size === 0 && reading.table.gone === undefined) return null
  const raw = ident('temp', `raw_${stagedName(landing.table)}_${landing.unit}`)
  const data = reading.shape.columns.map((column, i) => ({ ...column, name: (reading.staged[i] as ColumnDef).name }))
  const typed = [...data, ...logColumnsOf(landing.table), ...(landing.control ?? stagingControl)].map(
    ({ name, type }) => sql`cast(${null} as ${rawSql(tx.dialect.type(type))}) as ${ident(name)}`,
  )
  await tx.replaceTemp(raw, sql`select ${joinSql(typed)} where false`)
  return raw
}

/** Moves the rows that fit into the landing, and rejects the others with the value that does not. Gives their number. */
export async function fitRows(
  tx: Transaction,
  given: {
    readonly raw: Ident
    readonly landing: Landing
    readonly reading: TableReading
    readonly reject: (rejects: readonly RowReject[]) => Promise<void>
  },
): Promise<number> {
  const { raw, landing, reading } = given
  const tried = (column: ColumnDef): Sql => tx.dialect.tryCast(sql`${ident(column.name)}`, column.type)
  const converted = reading.staged.filter(column => reading.converted.has(column.name))
  const isUnfit = (column: ColumnDef): Sql => sql`(${ident(column.name)} is not null and ${tried(column)} is null)`
  const unfit = converted.length === 0 ? sql`false` : joinSql(converted.map(isUnfit), ' or ')
  const count = converted.length === 0 ? 0 : await rejectRows(tx, given, { converted, isUnfit, unfit })

  const layout = [...stagedColumns(landing.table), ...(landing.control ?? stagingControl)]
  const names = layout.map(column => column.name)
  const values = layout.map(column => {
    if (reading.table.gone?.includes(column.name) === true) return sql`null`
    return reading.converted.has(column.name) ? tried(column) : sql`${ident(column.name)}`
  })
  await tx.execute(sql`
    insert into ${landing.into} (${columnList(names)}) select ${joinSql(values)} from ${raw} where not (${unfit})`)
  await tx.execute(sql`drop table ${raw}`)
  return count
}

async function rejectRows(
  tx: Transaction,
  { raw, landing, reject }: Parameters<typeof fitRows>[1],
  unfitting: {
    readonly converted: readonly ColumnDef[]
    readonly isUnfit: (column: ColumnDef) => Sql
    readonly unfit: Sql
  },
): Promise<number> {
  const { converted, isUnfit, unfit } = unfitting
  const { key } = landing.table
  const keys = key.map((name, i) => sql`${asText(sql`${ident(name)}`)} as ${ident(`k${i}`)}`)
  const which = joinSql(
    converted.map((column, i) => sql`when ${isUnfit(column)} then ${i}`),
    ' ',
  )
  const text = joinSql(
    converted.map(column => sql`when ${isUnfit(column)} then ${asText(sql`${ident(column.name)}`)}`),
    ' ',
  )
  for (let from = 0; ; from += rejectsPerPage) {
    const rows = await tx.rows(sql`
      select ${joinSql(keys)}, "_line" as line, case ${which} end as which, case ${text} end as value
      from ${raw} where ${unfit}
      order by ${columnList(key)} limit ${rejectsPerPage} offset ${from}`)
    await reject(
      rows.map(row => {
        const { name, type } = converted[Number(row['which'])] as ColumnDef
        const value = textOf(row['value'])
        return {
          reason: 'VALUE_NOT_IN_TYPE',
          detail: `column ${name} of the source no longer fits ${typeText(type)}`,
          key: Object.fromEntries(key.map((column, i) => [column, textOf(row[`k${i}`])])),
          line: lineOf(row['line']),
          bytes: Buffer.byteLength(value ?? ''),
          content: `${name}: ${(value ?? '').slice(0, contentMax)}`,
        }
      }),
    )
    if (rows.length < rejectsPerPage) return from + rows.length
  }
}

function textOf(cell: Cell | undefined): string | null {
  return cell === null || cell === undefined ? null : String(cell)
}

function lineOf(cell: Cell | undefined): number | null {
  return cell === null || cell === undefined ? null : Number(cell)
}
