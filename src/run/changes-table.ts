import { ident, joinSql, rawSql, sql, type Ident } from '../core/sql.ts'
import type { ColumnDef } from '../core/types.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { stagedColumns, stagedName } from './tables.ts'

/**
 * Columns of a change beside its data: the `changeOp`, its place among the changes of its load, and for a change with
 * values that the source did not send one character for each staged column, `1` where the value is unchanged.
 */
export const changeControl: readonly ColumnDef[] = [
  { name: '_op', type: { kind: 'int', bits: 16 }, nullable: false, personal: false },
  { name: '_line', type: { kind: 'int', bits: 64 }, nullable: false, personal: false },
  { name: '_unchanged', type: { kind: 'text' }, nullable: true, personal: false },
]

/** The columns of a table of changes in order: data, then control. */
export function changesLayout(table: SourceTableDef): readonly ColumnDef[] {
  return [...stagedColumns(table).map(column => ({ ...column, nullable: true })), ...changeControl]
}

/**
 * Makes an empty table for the changes of one staged table. It is a temporary one: until they are part of the image,
 * the changes are safe in the durable log, and what is read again from there must not meet what was left of a failure.
 */
export async function openChanges(tx: Transaction, table: SourceTableDef): Promise<Ident> {
  const changes = ident('temp', `changes_${stagedName(table)}`)
  const typed = changesLayout(table).map(
    ({ name, type }) => sql`cast(${null} as ${rawSql(tx.dialect.type(type))}) as ${ident(name)}`,
  )
  await tx.replaceTemp(changes, sql`select ${joinSql(typed)} where false`)
  return changes
}
